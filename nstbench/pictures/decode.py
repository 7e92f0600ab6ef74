"""Read picture files as pixels.

Pixels are uint8 RGB arrays (H, W, 3) in sRGB. Users supply the files, so any content may
occur: :func:`read_image` returns pixels or raises :class:`~nstbench.core.errors.ImageError`,
and no other exception. No global setting of Pillow is changed.
"""

from __future__ import annotations

import io
import stat
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError, features

from nstbench.core.errors import ImageError
from nstbench.core.text import printable

PICTURE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".jfif", ".jpe"
)  # fmt: skip
"""Suffixes, in small letters, by which picture files are found in a folder."""

OTHER_READERS = {
    ".heic": "pillow-heif",
    ".heif": "pillow-heif",
    ".jxl": "pillow-jxl-plugin",
}
"""Suffixes of pictures that nstbench does not read, with the package that reads them."""

MAX_PIXELS = 100_000_000
MAX_BYTES = 1 << 30
MAX_PROFILE = 1 << 26
# At this size the deepest layers of VGG and AlexNet still have one position.
MIN_SIDE = 16
MAX_ASPECT = 16.0

# Older versions of Pillow have no decoder for AVIF.
_AVIF = "avif" in features.get_supported()
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", *(("AVIF",) if _AVIF else ()))
_PNG = b"\x89PNG"
_ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
_MAGIC = (b"\xff\xd8", _PNG, b"RIFF", b"BM", b"II*\0", b"MM\0*", b"GIF8")
_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_JXL_MAGIC = (b"\xff\x0a", b"\0\0\0\x0cJXL ")
_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_ORIENTATION = 0x0112
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262
# All threads share one list of warning filters. Two threads that save and restore it at the
# same time can leave it changed permanently.
_warnings_lock = threading.Lock()


def read_image(path: Path, *, single: bool = False) -> np.ndarray:
    """Read an image file as a viewer would show it.

    EXIF orientation is applied. An embedded ICC profile is converted to sRGB; a damaged
    profile is ignored. Transparency is composited on white. Only the first of several frames
    is read. 16-bit grey is scaled to 8 bits; 16-bit colour keeps its high byte, which is at
    most one level off. Files with 32-bit integers or floats do not state their white level:
    it is the smallest of 1 (floats only), 255 and 65535 that no sample exceeds.

    Args:
        path: a JPEG, PNG, WebP, AVIF, BMP, TIFF or GIF file with any suffix.
        single: refuse an animation.

    Returns:
        uint8 RGB (H, W, 3), contiguous and writable.

    Raises:
        ImageError: if the file cannot be read, has another format, is damaged, has more
            than ``MAX_PIXELS`` pixels or ``MAX_BYTES`` bytes, a side shorter than
            ``MIN_SIDE``, or one side more than ``MAX_ASPECT`` times the other.
    """
    try:
        data = _read_bytes(Path(path))
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(data, single)
    # On damaged files, decoders raise exceptions of many types, from SyntaxError to
    # MemoryError. All of them mean that this file cannot be used.
    except Exception as error:
        raise ImageError(f"{printable(path)}: {_reason(error)}") from error


def _read_bytes(path: Path) -> bytes:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ImageError("is a folder")
    # Opening a named pipe would block until another process writes to it.
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("is not a regular file")
    if status.st_size == 0:
        raise ImageError("the file is empty")
    if status.st_size > MAX_BYTES:
        raise ImageError(f"the file has {status.st_size:,} bytes; at most {MAX_BYTES:,} are read")
    return path.read_bytes()


def _decode(data: bytes, single: bool) -> np.ndarray:
    try:
        return _pixels(data, single)
    except ValueError as error:
        # Pillow refuses a PNG file with more than 1 MiB of compressed text or profile.
        if "too large" not in str(error).lower() or not data.startswith(_PNG):
            raise
    kept, profile = _without_text(data)
    return _pixels(kept, single, profile)


def _pixels(data: bytes, single: bool, profile: bytes | None = None) -> np.ndarray:
    try:
        opened = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise ImageError(_unknown(data)) from error
    with opened as image:
        _check_size(*image.size)
        if single and image.format in _ANIMATED and getattr(image, "n_frames", 1) > 1:
            raise ImageError(
                f"is an animation of {getattr(image, 'n_frames', 1)} frames; save the frame to "
                "score as a picture of its own"
            )
        image.load()
        # Read after loading: Pillow turns TIFF files itself while it loads them.
        orientation = _orientation(image)
        base, alpha = _split_alpha(_eight_bit(image))
        rgb = _to_srgb(base, profile or image.info.get("icc_profile"))
    if alpha is not None:
        white = Image.new("RGB", rgb.size, "white")
        white.paste(rgb, mask=alpha)
        rgb = white
    return np.array(turned(np.asarray(rgb), orientation), order="C")


def _without_text(data: bytes) -> tuple[bytes, bytes | None]:
    """Return a PNG file without compressed text and without its profile, and the profile."""
    profile: bytes | None = None
    kept, start = [data[:8]], 8
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        kind, content = data[start + 4 : start + 8], data[start + 8 : end - 4]
        if kind == b"iCCP":
            compressed = content.partition(b"\0")[2][1:]
            profile = zlib.decompressobj().decompress(compressed, MAX_PROFILE)
        elif kind not in (b"zTXt", b"iTXt"):
            kept.append(data[start:end])
        start = end
    return b"".join(kept), profile


def orientation_of(path: Path) -> int:
    """Return the EXIF orientation of a picture file, 1 (upright) to 8; 1 if it has none."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            return _orientation(image)
    except Exception:
        return 1


def _unknown(data: bytes) -> str:
    """Return the reason why Pillow does not know the format of a file."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if data.startswith(_JXL_MAGIC):
        return other_reader(".jxl")
    if brand in _HEIC_BRANDS:
        return other_reader(".heic")
    if brand in _AVIF_BRANDS and not _AVIF:
        return "AVIF needs Pillow 11.3 or later; run pip install --upgrade pillow"
    if data.startswith(_MAGIC) or brand in _AVIF_BRANDS:
        return "its header is damaged or of an unsupported kind"
    return "not a JPEG, PNG, WebP, AVIF, BMP, TIFF or GIF picture"


def other_reader(suffix: str) -> str:
    """Return the reason why a file with a suffix of ``OTHER_READERS`` is left out.

    Example:
        >>> other_reader(".heic")
        'nstbench does not read HEIC; convert the file to PNG with the package pillow-heif'
    """
    kind = suffix[1:].upper()
    return (
        f"nstbench does not read {kind}; convert the file to PNG with the package "
        f"{OTHER_READERS[suffix]}"
    )


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{width} x {height} pixels are more than the limit of {MAX_PIXELS // 10**6} megapixels"
        )
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{width} x {height} pixels; both sides need at least {MIN_SIDE}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"{width} x {height} pixels; one side is more than {MAX_ASPECT:g} times the other"
        )


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    # A damaged EXIF block does not affect the pixels.
    except Exception:
        return 1


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels (H, W, 3) upright, as the orientation tag of EXIF 2.3 says."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _eight_bit(image: Image.Image) -> Image.Image:
    """Reduce grey with more than 8 bits to 8 bits; return other images unchanged."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    samples = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    white = _white_level(image.mode, samples, tags.get(_TIFF_BITS, (16,))[0])
    levels = np.clip(np.rint(samples * (255.0 / white)), 0, 255).astype(np.uint8)
    if tags.get(_TIFF_PHOTOMETRIC) == 0:
        levels = 255 - levels
    grey = Image.fromarray(levels)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        opaque = np.where(samples == transparent, 0, 255).astype(np.uint8)
        grey = Image.merge("LA", (grey, Image.fromarray(opaque)))
    return grey


def _white_level(mode: str, samples: np.ndarray, bits: int) -> float:
    if mode.startswith("I;16"):
        return float(2 ** min(bits, 16) - 1)
    if not np.isfinite(samples).all():
        raise ImageError("has samples that are not finite")
    highest = float(samples.max())
    for white in (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0):
        if highest <= white:
            return white
    raise ImageError(f"has samples up to {highest:g}, and no white level is known for that range")


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    if not image.has_transparency_data:
        return image, None
    if image.mode in ("1", "L", "LA"):
        grey = image.convert("LA")
        return grey.getchannel("L"), grey.getchannel("A")
    rgba = image.convert("RGBA")
    return rgba.convert("RGB"), rgba.getchannel("A")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to RGB, with the embedded profile if it is intact and fits the image's mode."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            mode = _PROFILE_MODES[source.profile.xcolor_space.strip()]
            if mode == "RGB" and image.mode != "CMYK":
                image = image.convert("RGB")
            transform = ImageCms.buildTransform(
                source,
                ImageCms.createProfile("sRGB"),
                mode,
                "RGB",
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            if image.mode == mode:
                converted: Image.Image = transform.apply(image)
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError, KeyError):
            pass
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return f"has more pixels than the limit of {MAX_PIXELS // 10**6} megapixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"the picture is damaged ({printable(error) or type(error).__name__})"
