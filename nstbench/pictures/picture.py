"""Pictures as pixels and as tensors: fitting to a size, hashing, and writing PNG files.

Pixels are uint8 RGB arrays (H, W, 3) in sRGB; tensors are float32 RGB (B, 3, H, W)
with values in [0, 1]. :mod:`nstbench.pictures.decode` reads the files.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from nstbench.contracts import ImageRecord, Picture
from nstbench.core.errors import ImageError
from nstbench.core.text import printable
from nstbench.pictures.decode import read_image
from nstbench.store.atomic_files import write_bytes

if TYPE_CHECKING:
    import torch

Fit = Literal["crop", "inside"]

# Scaling to whole pixels changes the proportions a little. A larger difference means that the
# two files show different pictures, or different parts of one.
PROPORTION_TOLERANCE = 0.02


def fit(pixels: np.ndarray, size: int, fit: Fit) -> np.ndarray:
    """Scale a picture with an antialiased Lanczos filter; small pictures are enlarged.

    Args:
        pixels: uint8 RGB (H, W, 3).
        size: target size in pixels.
        fit: ``"crop"`` scales the shorter side to ``size`` and cuts out the middle;
            ``"inside"`` scales the longer side to ``size`` and keeps the proportions.

    Returns:
        uint8 RGB, (size, size, 3) for ``"crop"``. Fitting a second time changes nothing.

    Raises:
        ValueError: if ``pixels`` is not uint8 RGB, or ``fit`` is another word.

    Example:
        >>> wide = np.zeros((60, 120, 3), np.uint8)
        >>> fit(wide, 30, "crop").shape, fit(wide, 30, "inside").shape
        ((30, 30, 3), (15, 30, 3))
    """
    return _fit(pixels, size, fit, Image.Resampling.LANCZOS)


def fit_picture(record: ImageRecord, size: int, fit: Fit) -> tuple[np.ndarray, np.ndarray | None]:
    """Read a picture and fit it, and its semantic map with the same geometry.

    The map is scaled with nearest neighbour, because a mixture of two label colours is not
    a label. Every file is decoded once, and torch is not loaded.

    Args:
        record: the picture; ``record.sha256`` is not checked here.
        size: target size in pixels.
        fit: see :func:`fit`.

    Returns:
        Pixels and map, both uint8 RGB (H, W, 3); the map is ``None`` if the record has none.

    Raises:
        ImageError: if the picture or its map cannot be read, or the map's proportions
            differ from the picture's.
    """
    source = read_image(record.path)
    pixels = _fit(source, size, fit, Image.Resampling.LANCZOS)
    if record.semantic_map is None:
        return pixels, None
    labels = Image.fromarray(read_map(record.semantic_map, source))
    # First to the size of the picture, so that map and picture are cut at the same pixels.
    height, width = source.shape[:2]
    scaled = np.asarray(labels.resize((width, height), Image.Resampling.NEAREST))
    return pixels, _fit(scaled, size, fit, Image.Resampling.NEAREST)


def load_picture(record: ImageRecord, size: int, fit: Fit, device: str = "cpu") -> Picture:
    """Read and fit a picture and its semantic map, as tensors; see :func:`fit_picture`.

    Args:
        record: the picture; ``record.sha256`` is not checked here.
        size: target size in pixels.
        fit: see :func:`fit`.
        device: device of the tensors.

    Returns:
        The picture, with float32 RGB (1, 3, H, W) in [0, 1] and the hash of its pixels.

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

    Args:
        path: file of the map.
        picture: pixels (H, W, 3) of the picture that the map belongs to.

    Raises:
        ImageError: if the map cannot be read or its proportions differ from the picture's.
    """
    labels = read_image(path)
    if not same_proportions(labels, picture):
        height, width = picture.shape[:2]
        raise ImageError(
            f"{printable(path)}: the semantic map is {labels.shape[1]} x {labels.shape[0]}, "
            f"which is not the shape of its picture ({width} x {height})"
        )
    return labels


def same_proportions(pixels: np.ndarray, reference: np.ndarray) -> bool:
    """Return True if two pictures (H, W, 3) differ in width / height by rounding only.

    The quotient of the two proportions may be off 1 by ``PROPORTION_TOLERANCE``.

    Example:
        >>> reference = np.zeros((300, 400, 3), np.uint8)
        >>> same_proportions(np.zeros((75, 101, 3), np.uint8), reference)
        True
        >>> same_proportions(np.zeros((75, 105, 3), np.uint8), reference)
        False
    """
    height, width = reference.shape[:2]
    ratio = (pixels.shape[1] / pixels.shape[0]) / (width / height)
    return abs(ratio - 1.0) <= PROPORTION_TOLERANCE


def pixel_hash(pixels: np.ndarray) -> str:
    """Return the SHA-256 of shape and values of uint8 RGB (H, W, 3), as hexadecimal.

    Raises:
        ValueError: if ``pixels`` is not uint8 RGB.

    Example:
        >>> pixel_hash(np.zeros((16, 16, 3), np.uint8))[:12]
        'ad6deab3113f'
    """
    _check_pixels(pixels)
    digest = hashlib.sha256(np.asarray(pixels.shape, dtype="<i8").tobytes())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """Return uint8 RGB (H, W, 3) as contiguous float32 (1, 3, H, W) in [0, 1].

    Raises:
        ValueError: if ``pixels`` is not uint8 RGB.

    Example:
        >>> grey = to_tensor(np.full((16, 24, 3), 51, np.uint8))
        >>> grey.shape, round(float(grey.mean()), 3)
        (torch.Size([1, 3, 16, 24]), 0.2)
    """
    import torch  # commands that only list datasets must start without it

    _check_pixels(pixels)
    channels_first = torch.tensor(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    return channels_first.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0)


def to_pixels(tensor: torch.Tensor) -> np.ndarray:
    """Return a float (1, 3, H, W) or (3, H, W) as uint8 RGB (H, W, 3), clamped and rounded.

    Raises:
        ValueError: if the tensor is not one RGB picture or has values that are not finite.

    Example:
        >>> import torch
        >>> to_pixels(torch.full((1, 3, 16, 16), 0.5))[0, 0]
        array([128, 128, 128], dtype=uint8)
    """
    image = tensor.detach().float().cpu()
    image = image[0] if image.dim() == 4 and image.shape[0] == 1 else image
    if image.dim() != 3 or image.shape[0] != 3:
        raise ValueError(f"expected one RGB picture (1, 3, H, W), got {tuple(tensor.shape)}")
    if not bool(image.isfinite().all()):
        raise ValueError("the picture has values that are not finite")
    levels = image.clamp(0.0, 1.0).mul(255.0).round().byte()
    return levels.permute(1, 2, 0).contiguous().numpy()


def resize(tensor: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Scale float (B, 3, H, W) in [0, 1] to ``size`` = (height, width).

    Bicubic with antialiasing, clamped to [0, 1]. A tensor that already has this size is
    returned itself, not a copy.
    """
    import torch.nn.functional as F  # commands that only list datasets must start without it

    if tuple(tensor.shape[-2:]) == tuple(size):
        return tensor
    scaled = F.interpolate(tensor, size=size, mode="bicubic", align_corners=False, antialias=True)
    return scaled.clamp(0.0, 1.0)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 RGB (H, W, 3) as PNG, atomically: after an error the old file is unchanged.

    Raises:
        StoreError: if the file cannot be written.
        ValueError: if ``pixels`` is not uint8 RGB.
    """
    _check_pixels(pixels)
    encoded = io.BytesIO()
    # On photographs Pillow's default level takes eight times as long and saves no space.
    Image.fromarray(pixels).save(encoded, "PNG", compress_level=1)
    write_bytes(path, encoded.getvalue())


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
