"""Lightning Fabric: devices, processes and number formats of a training."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from nstbench.nn.backbones.loss_network import fast_precision
from nstbench.training.order import Order

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(order: Order, device: torch.device) -> Fabric:
    """Return a Fabric for the devices and the precision of an order; it is not launched yet.

    Args:
        order: number of devices, and number format of convolutions.
        device: kind of device, and its index for a training on one GPU.
    """
    from lightning_fabric import Fabric  # two seconds, which only a training should take

    fast = fast_precision(device) if order.precision == "auto" else None
    reduced = order.precision == "bfloat16" or fast == torch.bfloat16
    one_gpu = [device.index or 0] if device.type == "cuda" else 1
    with _silenced():
        return Fabric(
            accelerator=device.type,
            devices=one_gpu if order.devices == 1 else order.devices,
            strategy="auto" if order.devices == 1 else "ddp",
            precision="bf16-mixed" if reduced else "32-true",
        )


@contextmanager
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
