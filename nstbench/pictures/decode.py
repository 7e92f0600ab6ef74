"""Picture files to pixels.

Pixels are uint8 RGB arrays (H, W, 3) in sRGB. Files come from users, so reading them ends
either in pixels or in one :class:`~nstbench.core.errors.ImageError`, whatever the file holds.
No global setting of Pillow is changed.
"""

from __future__ import annotations

import io
import stat
import threading
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from nstbench.core.errors import ImageError
from nstbench.core.text import printable

MAX_PIXELS = 100_000_000
MAX_BYTES = 1 << 30
# VGG's and AlexNet's deepest layers still see one position of such a picture.
MIN_SIDE = 16
MAX_ASPECT = 16.0

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_MAGIC = (b"\xff\xd8", b"\x89PNG", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"GIF8")
_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_ORIENTATION = 0x0112
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262
# The list of warning filters belongs to the process: two threads that save and restore
# it at once can leave it changed for good.
_warnings_lock = threading.Lock()


def read_image(path: Path) -> np.ndarray:
    """Read an image file as it is meant to be seen.

    EXIF orientation is applied; an embedded ICC profile is converted to sRGB (a damaged
    one is ignored); transparency is composited on white; of several frames the first is
    taken; 16-bit grey is scaled to 8 bits, 16-bit colour keeps its high byte, which is at
    most one level off. Integer samples of 32 bits and floats have no white level of
    their own: the smallest of 1 (floats only), 255 and 65535 that no sample exceeds is
    taken.

    Args:
        path: a JPEG, PNG, WebP, BMP, TIFF or GIF file, whatever its extension.

    Returns:
        uint8 RGB (H, W, 3), contiguous and writable.

    Raises:
        ImageError: if the file cannot be read, is not such a picture, is damaged, has
            more than ``MAX_PIXELS`` pixels, a side shorter than ``MIN_SIDE``, or sides
            in a proportion beyond ``MAX_ASPECT``.
    """
    try:
        data = _read_bytes(Path(path))
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(data)
    # Decoders fail on damaged files in every way there is, from SyntaxError to
    # MemoryError; all of them mean the same to the user.
    except Exception as error:
        raise ImageError(f"{printable(path)}: {_reason(error)}") from error


def _read_bytes(path: Path) -> bytes:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ImageError("is a folder")
    # opening a named pipe would wait for ever
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("is not a regular file")
    if status.st_size == 0:
        raise ImageError("the file is empty")
    if status.st_size > MAX_BYTES:
        raise ImageError(f"the file has {status.st_size:,} bytes; at most {MAX_BYTES:,} are read")
    return path.read_bytes()


def _decode(data: bytes) -> np.ndarray:
    try:
        opened = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        if data.startswith(_MAGIC):
            raise ImageError("its header is damaged or of a kind that is not supported") from error
        raise ImageError("not a JPEG, PNG, WebP, BMP, TIFF or GIF picture") from error
    with opened as image:
        _check_size(*image.size)
        image.load()
        # only now: Pillow itself turns TIFF files while loading
        orientation = _orientation(image)
        base, alpha = _split_alpha(_eight_bit(image))
        rgb = _to_srgb(base, image.info.get("icc_profile"))
    if alpha is not None:
        white = Image.new("RGB", rgb.size, "white")
        white.paste(rgb, mask=alpha)
        rgb = white
    return np.array(_turn(np.asarray(rgb), orientation), order="C")


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
    # a damaged EXIF block leaves the picture itself intact
    except Exception:
        return 1


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply EXIF 2.3's orientation tag to (H, W, 3)."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _eight_bit(image: Image.Image) -> Image.Image:
    """Return the image itself, or grey with 8 bits for grey with more of them."""
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
        raise ImageError("holds samples that are not finite")
    highest = float(samples.max())
    for white in (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0):
        if highest <= white:
            return white
    raise ImageError(f"has samples up to {highest:g}, for which no white level is known")


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    if not image.has_transparency_data:
        return image, None
    if image.mode in ("1", "L", "LA"):
        grey = image.convert("LA")
        return grey.getchannel("L"), grey.getchannel("A")
    rgba = image.convert("RGBA")
    return rgba.convert("RGB"), rgba.getchannel("A")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to RGB, through the embedded profile where it is sound and fits the image."""
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
