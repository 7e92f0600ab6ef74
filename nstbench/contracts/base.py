"""What methods, metrics and datasets share: parameters, pictures, progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from nstbench.core.records import ImageRecord, Step

if TYPE_CHECKING:
    import torch

OnStep = Callable[[Step], None]


class Parameters(BaseModel):
    """Base of every plug-in's parameters: typed, frozen, unknown names refused.

    Each field has a default and a ``description``; the defaults are the paper's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_enum_values=True)


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """An image as methods and metrics see it.

    Attributes:
        pixels: float32 RGB tensor (B, 3, H, W) with values in [0, 1], on the method's device.
        name: the image's slug.
        sha256: checksum of the decoded, resized pixels.
        record: where the picture came from; ``None`` for outputs.
        semantic_map: float32 label colours (B, 3, H, W) in [0, 1], or ``None``.
    """

    pixels: torch.Tensor
    name: str
    sha256: str = ""
    record: ImageRecord | None = None
    semantic_map: torch.Tensor | None = None

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[-2])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[-1])
