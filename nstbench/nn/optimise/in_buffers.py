"""Minimise in buffers that stay in place, so that GPUs can replay the steps as CUDA graphs."""

from __future__ import annotations

import torch

from nstbench.nn.optimise.minimise import Descent, Objective, Report
from nstbench.nn.optimise.static_descent import descend_in_buffers
from nstbench.nn.optimise.static_lbfgs import lbfgs_in_buffers


def minimise_in_buffers(
    start: torch.Tensor, objective: Objective, descent: Descent, report: Report
) -> torch.Tensor:
    """Return what :func:`nstbench.nn.optimise.minimise.minimise` does, up to rounding.

    The losses that ``report`` receives are on the CPU; with Adam and SGD, it is called for ten
    steps at a time.

    Args:
        start: float32 (B, 3, H, W); not changed.
        objective: the loss.
        descent: optimiser and number of evaluations.
        report: receives the index of each evaluation and its losses.

    Raises:
        Diverged: see :func:`nstbench.nn.optimise.minimise.minimise`.
    """
    if descent.iterations == 0:
        return start.detach().clone()
    solve = lbfgs_in_buffers if descent.optimizer == "lbfgs" else descend_in_buffers
    return solve(start, objective, descent, report)
