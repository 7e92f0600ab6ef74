"""Parameters, pictures and progress, which all plug-ins use."""

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
    """Base of a plug-in's parameters: typed and frozen; unknown names are errors.

    Give each field a default and a ``description``. The defaults are those of the paper.

    Example:
        >>> class Params(Parameters):
        ...     iterations: int = 500
        >>> Params(iterations=20).iterations
        20
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_enum_values=True)


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """A picture as methods and metrics receive it.

    Attributes:
        pixels: float32 RGB tensor (B, 3, H, W) with values in [0, 1], on the method's device.
        name: name of the picture.
        sha256: checksum of the decoded, resized pixels.
        record: file and provenance of the picture; ``None`` for outputs.
        semantic_map: float32 label colours (B, 3, H, W) in [0, 1], or ``None``.

    Example:
        >>> import torch
        >>> picture = Picture(torch.zeros(1, 3, 48, 64), "black")
        >>> (picture.height, picture.width)
        (48, 64)
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
