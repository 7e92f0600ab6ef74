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
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from nstbench.contracts import Picture
from nstbench.core.errors import ImageError, StoreError, way_out
from nstbench.core.records import ImageRecord
from nstbench.core.text import printable
from nstbench.pictures.decode import read_image

if TYPE_CHECKING:
    import torch

Fit = Literal["crop", "inside"]

# A map drawn by hand at another size is off by rounding; more means another picture.
MAP_ASPECT_TOLERANCE = 0.02


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
        mend = way_out(error) or "free space or change permissions"
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


def load_picture(record: ImageRecord, size: int, fit: Fit, device: str = "cpu") -> Picture:
    """Read and fit a picture, and its semantic map with the same geometry.

    The map is scaled with nearest neighbour, so that no colours appear that are no label.

    Args:
        record: the picture; ``record.sha256`` is not checked here.
        size: target size in pixels.
        fit: see :func:`fit`.
        device: where the tensors go.

    Raises:
        ImageError: if the picture or its map cannot be read, or the map's proportions
            differ from the picture's.
    """
    source = read_image(record.path)
    pixels = _fit(source, size, fit, Image.Resampling.LANCZOS)
    labels = None
    if record.semantic_map is not None:
        labels = read_map(record.semantic_map, source)
        # the picture's own proportions, so that map and picture agree to the pixel
        labels = np.asarray(
            Image.fromarray(labels).resize(
                (source.shape[1], source.shape[0]), Image.Resampling.NEAREST
            )
        )
        labels = _fit(labels, size, fit, Image.Resampling.NEAREST)
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
