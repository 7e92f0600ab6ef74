"""Mix several styles: pictures in addition to the unit's own style, and their shares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from nstbench.contracts import Picture
from nstbench.core.records import ImageRecord
from nstbench.pictures.picture import load_picture


def check_mix(mix: Sequence[float], extra_styles: Sequence[Path]) -> None:
    """Check the weights of the style and of each extra style; no weights mean equal ones.

    Raises:
        ValueError: if their number is wrong, one is negative, or none is above 0.
    """
    styles = 1 + len(extra_styles)
    if mix and len(mix) != styles:
        raise ValueError(f"style_mix has {len(mix)} entries for {styles} styles")
    if mix and (min(mix) < 0 or sum(mix) <= 0):
        raise ValueError("style_mix needs weights of at least 0, and one of them above 0")


def shares(mix: Sequence[float], styles: int) -> tuple[float, ...]:
    """Return the share of each style; the shares add up to one.

    Example:
        >>> shares((3.0, 1.0), 2)
        (0.75, 0.25)
        >>> shares((), 2)
        (0.5, 0.5)
    """
    weights = mix or (1.0,) * styles
    return tuple(weight / sum(weights) for weight in weights)


def extra_pixels(path: Path, style: Picture) -> torch.Tensor:
    """Read an extra style (1, 3, H, W), scaled so that its longer side is that of the unit's style.

    Raises:
        ImageError: if it cannot be read.
    """
    size = max(style.height, style.width)
    record = ImageRecord(path.stem, path)
    return load_picture(record, size, "inside", str(style.pixels.device)).pixels
