"""Image files to pixels and tensors, and back.

Pixels are uint8 RGB arrays (H, W, 3) in sRGB; tensors are float32 RGB (B, 3, H, W)
with values in [0, 1]. Files come from users, so reading them ends either in pixels
or in one :class:`~nstbench.core.errors.ImageError`, whatever the file holds. No global
setting of Pillow is changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import stat
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from nstbench.contracts import Picture
from nstbench.core.errors import ImageError, StoreError, fix_for
from nstbench.core.records import ImageRecord
from nstbench.core.text import printable

if TYPE_CHECKING:
    import torch

Fit = Literal["crop", "inside"]

MAX_PIXELS = 100_000_000
MAX_BYTES = 1 << 30
# VGG's and AlexNet's deepest layers still see one position of such a picture.
MIN_SIDE = 16
MAX_ASPECT = 16.0
# A map drawn by hand at another size is off by rounding; more means another picture.
MAP_ASPECT_TOLERANCE = 0.02

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


def fit(pixels: np.ndarray, size: int, fit: Fit) -> np.ndarray:
    """Scale a picture with an antialiased Lanczos filter; small ones are enlarged.

    Args:
        pixels: uint8 RGB (H, W, 3).
        size: target size in pixels.
        fit: ``"crop"`` scales the shorter side to ``size`` and cuts out the middle;
            ``"inside"`` scales the longer side to ``size`` and keeps the proportions.

    Returns:
        uint8 RGB, (size, size, 3) for ``"crop"``. Fitting twice changes nothing.
    """
    return _fit(pixels, size, fit, Image.Resampling.LANCZOS)


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """Return uint8 RGB (H, W, 3) as contiguous float32 (1, 3, H, W) in [0, 1]."""
    import torch  # listing datasets must not wait for it

    _check_pixels(pixels)
    channels_first = torch.tensor(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    return channels_first.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0)


def to_pixels(tensor: torch.Tensor) -> np.ndarray:
    """Return a float (1, 3, H, W) or (3, H, W) as uint8 RGB (H, W, 3), clamped and rounded.

    Raises:
        ValueError: if the tensor is not one RGB picture or holds numbers that are not finite.
    """
    image = tensor.detach().float().cpu()
    image = image[0] if image.dim() == 4 and image.shape[0] == 1 else image
    if image.dim() != 3 or image.shape[0] != 3:
        raise ValueError(f"expected one RGB picture (1, 3, H, W), got {tuple(tensor.shape)}")
    if not bool(image.isfinite().all()):
        raise ValueError("the picture holds numbers that are not finite")
    levels = image.clamp(0.0, 1.0).mul(255.0).round().byte()
    return levels.permute(1, 2, 0).contiguous().numpy()


def resize(tensor: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Scale float (B, 3, H, W) in [0, 1] to ``size`` = (height, width).

    Bicubic with antialiasing, clamped to [0, 1]; a tensor of that size is returned as it is.
    """
    import torch.nn.functional as F  # listing datasets must not wait for it

    if tuple(tensor.shape[-2:]) == tuple(size):
        return tensor
    scaled = F.interpolate(tensor, size=size, mode="bicubic", align_corners=False, antialias=True)
    return scaled.clamp(0.0, 1.0)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 RGB (H, W, 3) as PNG: ``path`` holds the whole picture or is untouched.

    Raises:
        StoreError: if the file cannot be written.
    """
    _check_pixels(pixels)
    encoded = io.BytesIO()
    # On photographs the default level takes eight times as long and saves nothing.
    Image.fromarray(pixels).save(encoded, "PNG", compress_level=1)
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(encoded.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        mend = fix_for(error) or "free space or change permissions"
        raise StoreError(
            f"{printable(path)} cannot be written: {error.strerror}. To mend it, {mend}, then "
            "run the same command again."
        ) from error


def pixel_hash(pixels: np.ndarray) -> str:
    """Return the SHA-256 of shape and values of uint8 RGB (H, W, 3), as hexadecimal."""
    _check_pixels(pixels)
    digest = hashlib.sha256(np.asarray(pixels.shape, dtype="<i8").tobytes())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def fit_picture(record: ImageRecord, size: int, fit: Fit) -> tuple[np.ndarray, np.ndarray | None]:
    """Read and fit a picture, and its semantic map with the same geometry.

    The map is scaled with nearest neighbour, so that it keeps to its label colours.

    Args:
        record: the picture; ``record.sha256`` is not checked here.
        size: target size in pixels.
        fit: see :func:`fit`.

    Returns:
        Pixels and map, uint8 RGB (H, W, 3); the map is ``None`` if the record has none.

    Raises:
        ImageError: if the picture or its map cannot be read, or the map's proportions
            differ from the picture's.
    """
    source = read_image(record.path)
    pixels = _fit(source, size, fit, Image.Resampling.LANCZOS)
    if record.semantic_map is None:
        return pixels, None
    labels = Image.fromarray(read_map(record.semantic_map, source))
    # the picture's own proportions, so that map and picture agree to the pixel
    height, width = source.shape[:2]
    scaled = np.asarray(labels.resize((width, height), Image.Resampling.NEAREST))
    return pixels, _fit(scaled, size, fit, Image.Resampling.NEAREST)


def load_picture(record: ImageRecord, size: int, fit: Fit, device: str = "cpu") -> Picture:
    """Read and fit a picture and its semantic map as tensors (see :func:`fit_picture`).

    Args:
        record: the picture; ``record.sha256`` is not checked here.
        size: target size in pixels.
        fit: see :func:`fit`.
        device: device of the tensors.

    Raises:
        ImageError: if the picture or its map cannot be read, or the map's proportions
            differ from the picture's.
    """
    pixels, labels = fit_picture(record, size, fit)
    return Picture(
        pixels=to_tensor(pixels).to(device),
        name=record.name,
        sha256=pixel_hash(pixels),
        record=record,
        semantic_map=None if labels is None else to_tensor(labels).to(device),
    )


def read_map(path: Path, picture: np.ndarray) -> np.ndarray:
    """Read the semantic map of a picture: uint8 RGB label colours (H', W', 3).

    Raises:
        ImageError: if it cannot be read or its proportions differ from the picture's.
    """
    labels = read_image(path)
    height, width = picture.shape[:2]
    ratio = (labels.shape[1] / labels.shape[0]) / (width / height)
    if abs(ratio - 1.0) > MAP_ASPECT_TOLERANCE:
        raise ImageError(
            f"{printable(path)}: the semantic map is {labels.shape[1]} x {labels.shape[0]}, "
            f"which is not the shape of its picture ({width} x {height})"
        )
    return labels


def _fit(pixels: np.ndarray, size: int, fit: Fit, filter: Image.Resampling) -> np.ndarray:
    _check_pixels(pixels)
    height, width = pixels.shape[:2]
    if fit == "crop":
        side = min(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        target = (size, size)
    elif fit == "inside":
        scale = size / max(height, width)
        box = (0.0, 0.0, float(width), float(height))
        target = (max(1, round(width * scale)), max(1, round(height * scale)))
    else:
        raise ValueError(f"fit must be 'crop' or 'inside', not {fit!r}")
    if target == (width, height):
        return np.ascontiguousarray(pixels)
    return np.array(Image.fromarray(pixels).resize(target, filter, box=box))


def _check_pixels(pixels: np.ndarray) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"expected uint8 RGB (H, W, 3), got {pixels.dtype} {pixels.shape}")


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
