"""Floating-point operations of one call, counted apart from any timing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

_log = logging.getLogger(__name__)


def count_flops(function: Callable[[], Any]) -> int | None:
    """Call a function once and return the floating-point operations of its torch operators.

    Counted are matrix products, convolutions and attention, forward and backward, a multiply-add
    as two operations. Everything else counts as nothing: element-wise arithmetic, pooling,
    normalisation, sorting, and whatever is computed outside torch. So a count is a lower bound,
    a good one for convolutional networks.

    The counting slows the call down: never time it.

    Returns:
        The count; ``None`` if nothing was counted, which says that the work is of another kind
        and not that there is none, or if the call cannot be counted.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_packed_convolution())
    try:
        with counter:
            function()
    # What runs without the counter may fail under it, in compiled code for example.
    except Exception as error:
        _log.debug("operations could not be counted", exc_info=error)
        return None
    return int(counter.get_total_flops()) or None


def _packed_convolution() -> dict[Any, Callable[..., int]]:
    """Return what torch's counter does not know; see :mod:`nstbench.nn.layers.frozen_convolution`."""

    def count(x: torch.Size, weight: torch.Size, *_: Any, out_shape: torch.Size, **__: Any) -> int:
        """Multiply and add every weight of a filter at every place of its output."""
        return 2 * prod(out_shape) * prod(weight[1:])

    packet = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
    return {} if packet is None else {packet: count}
