"""Counts the floating-point operations of one call."""

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

    Matrix products, convolutions and attention are counted, forward and backward; a multiply-add
    is two operations. Element-wise arithmetic, pooling, normalisation, sorting and work outside
    torch are not counted. The count is therefore a lower bound, and a close one for
    convolutional networks.

    Counting slows the call down, so a counted call must not be timed.

    Returns:
        The count. None if the call cannot be counted, or if nothing was counted because all its
        work is of another kind.

    Example:
        >>> count_flops(lambda: torch.ones(4, 5) @ torch.ones(5, 6))
        240
    """
    counter = FlopCounterMode(display=False, custom_mapping=_packed_convolution())
    try:
        with counter:
            function()
    # A call that works can still fail under the counter, for example in compiled code.
    except Exception as error:
        _log.debug("operations could not be counted", exc_info=error)
        return None
    return int(counter.get_total_flops()) or None


def _packed_convolution() -> dict[Any, Callable[..., int]]:
    """Return the count of an operator that torch's counter does not know.

    It is used by :mod:`nstbench.nn.layers.frozen_convolution`.
    """

    def count(x: torch.Size, weight: torch.Size, *_: Any, out_shape: torch.Size, **__: Any) -> int:
        """Count a multiplication and an addition per weight of a filter and pixel of its output."""
        return 2 * prod(out_shape) * prod(weight[1:])

    packet = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
    return {} if packet is None else {packet: count}
