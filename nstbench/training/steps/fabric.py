"""Lightning Fabric: devices, processes and number formats of a training."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from nstbench.nn.backbones.loss_network import number_format
from nstbench.training.order import Order

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Autocast = Callable[[], contextlib.AbstractContextManager[Any]]


def make_fabric(order: Order, device: torch.device) -> Fabric:
    """Return a Fabric for the devices of an order; it is not launched yet.

    Args:
        order: number of devices.
        device: kind of device, and its index for a training on one GPU.
    """
    from lightning_fabric import Fabric  # two seconds, which only a training should take

    if device.type == "cuda":
        # Unless this is set before its first use, a GPU serves 8 streams at the same time.
        os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")
    one_gpu = [device.index or 0] if device.type == "cuda" else 1
    with _silenced():
        return Fabric(
            accelerator=device.type,
            devices=one_gpu if order.devices == 1 else order.devices,
            strategy="auto" if order.devices == 1 else "ddp",
        )


def make_autocast(order: Order, device: torch.device) -> Autocast:
    """Return a function that returns the context of ``Task.autocast``.

    Weights are converted at every use. A cache of converted weights could outlive the CUDA graph
    in which it was made.
    """
    if number_format(order.precision, device) == torch.float32:
        return contextlib.nullcontext
    return lambda: torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Hide the advice of Fabric about clusters, precision and unused GPUs."""
    logger = logging.getLogger("lightning_fabric")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning_fabric")
            yield
    finally:
        logger.setLevel(before)
