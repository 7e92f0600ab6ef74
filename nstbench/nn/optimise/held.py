"""Evaluations of an objective that can be replayed, apart from those that cannot."""

from __future__ import annotations

import torch

from nstbench.nn.optimise.minimise import Losses, Objective, Renewing, evaluate


class Held:
    """An objective whose targets are renewed apart from its evaluation."""

    def __init__(self, objective: Objective) -> None:
        self._renewing = objective if isinstance(objective, Renewing) else None
        self.losses = objective.held if isinstance(objective, Renewing) else objective

    def renews(self, index: int) -> bool:
        """Return True if evaluation ``index`` has new targets."""
        return self._renewing is not None and index % self._renewing.every == 0

    def renew(self, pixels: torch.Tensor) -> None:
        """Find the targets for a picture (B, 3, H, W)."""
        assert self._renewing is not None
        with torch.no_grad():
            self._renewing.renew(pixels)

    def evaluate(self, pixels: torch.Tensor, scale: torch.Tensor) -> tuple[Losses, torch.Tensor]:
        """Return detached losses, and the gradient of ``scale`` (0-d) times their total."""
        return evaluate(self.losses, pixels, scale)
