"""A template: copy this file to ``methods/<name>.py`` and replace its contents.

The stem of the file is the public name. No other file needs to change: the method
appears in ``nstbench list methods``, in the conformance tests and on the leaderboard.
Files whose names start with an underscore are ignored.

Begin with the facts that a reader of the leaderboard needs: the paper, the authors'
code, the loss conventions (scale of the activations, divisor of the Gram matrix,
sum or mean), and the differences between this file and the paper. Code that two methods
share belongs in ``nstbench/nn/``, or in ``nstbench/training/`` for trained methods.
Methods never import from each other.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from nstbench.contracts import Flexibility, Method, MethodInfo, OnStep, Parameters, Picture, Step


class MeanColour(Method):
    """Shifts the mean colour of the content towards that of the style; a minimal example."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Mean colour",
        authors="A. Author, B. Author",
        year=2024,
        paper="https://arxiv.org/abs/0000.00000",
        code="https://github.com/author/repository",
        family="colour transfer",
        flexibility=Flexibility.ARBITRARY,
        licence="MIT",
        # Tags of the statistics that the method minimises, for example "vgg16-gram". The report
        # marks metrics that measure the same statistics, because they favour the method.
        trained_on=(),
        deviations=("One sentence per known difference from the paper.",),
        # Files that must be there before `load`; see nstbench.contracts.Weight.
        weights=(),
    )

    class Params(Parameters):
        """Give every field the paper's default, limits, and a description with its unit."""

        strength: float = Field(
            1.0, ge=0.0, le=1.0, description="0 keeps the content's colour, 1 takes the style's"
        )
        iterations: int = Field(1, ge=1, description="number of equal steps")

    params: Params
    _target: torch.Tensor

    def load(self, device: torch.device) -> None:
        """Load networks onto ``device`` here (timed as ``load``). This method has none."""

    def prepare(self, style: Picture) -> None:
        """Compute everything that depends on the style only (timed as the cost per style)."""
        self._target = style.pixels.mean(dim=(-2, -1), keepdim=True)

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the stylised picture (timed); same shape, float32, values in [0, 1].

        Take random numbers from ``generator`` only, which is on the CPU. Do not write into
        ``content.pixels``. Report losses as detached tensors, without ``.item()``.
        """
        pixels = content.pixels
        shift = self.params.strength * (self._target - pixels.mean(dim=(-2, -1), keepdim=True))
        for index in range(self.params.iterations):
            pixels = pixels + shift / self.params.iterations
            distance = (self._target - pixels.mean(dim=(-2, -1), keepdim=True)).square().sum()
            on_step(Step(index, self.params.iterations, {"total": distance.detach()}))
        return pixels.clamp(0.0, 1.0)
