"""A template: copy this file to ``methods/<name>.py`` and change what it says.

The stem of the file is the public name, and nothing else has to be edited: the
method appears in ``nstbench list methods``, in the conformance tests and on the
leaderboard. Files whose names start with an underscore are not listed.

Begin with what a reader of the leaderboard has to know: the paper, the authors'
code, the loss conventions (scale of the activations, divisor of the Gram matrix,
sum or mean), and where this file departs from the paper. What two methods share
belongs into ``nstbench/nn/``; methods never import from each other.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from nstbench.contracts import Flexibility, Method, MethodInfo, OnStep, Parameters, Picture, Step


class MeanColour(Method):
    """Shifts the content's mean colour towards the style's; a toy that shows every hook."""

    info: ClassVar[MethodInfo] = MethodInfo(
        title="Mean colour",
        authors="A. Author, B. Author",
        year=2024,
        paper="https://arxiv.org/abs/0000.00000",
        code="https://github.com/author/repository",
        family="colour transfer",
        flexibility=Flexibility.ARBITRARY,
        licence="MIT",
        # Name the features whose statistics the method minimises ("vgg16-gram"), so that
        # metrics on the same features are shown as its home ground.
        trained_on=(),
        deviations=("One sentence per known difference from the paper.",),
        # Files that must be there before `load`; see nstbench.nn.weights.cache.Weight.
        weights=(),
    )

    class Params(Parameters):
        """Every field has the paper's default, limits, and a description with its unit."""

        strength: float = Field(
            1.0, ge=0.0, le=1.0, description="0 keeps the content's colour, 1 takes the style's"
        )
        iterations: int = Field(1, ge=1, description="number of equal steps")

    params: Params
    _target: torch.Tensor

    def load(self, device: torch.device) -> None:
        """Put networks onto ``device`` here (timed as ``load``). This method has none."""

    def prepare(self, style: Picture) -> None:
        """Compute what depends on the style alone (timed as the per-style cost)."""
        self._target = style.pixels.mean(dim=(-2, -1), keepdim=True)

    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the stylised picture (timed); same shape, float32, values in [0, 1].

        Take randomness from ``generator`` only (it lives on the CPU), never write into
        ``content.pixels``, and report losses as detached tensors, without ``.item()``.
        """
        pixels = content.pixels
        shift = self.params.strength * (self._target - pixels.mean(dim=(-2, -1), keepdim=True))
        for index in range(self.params.iterations):
            pixels = pixels + shift / self.params.iterations
            distance = (self._target - pixels.mean(dim=(-2, -1), keepdim=True)).square().sum()
            on_step(Step(index, self.params.iterations, {"total": distance.detach()}))
        return pixels.clamp(0.0, 1.0)
