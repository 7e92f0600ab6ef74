"""One pass through a trained network, as fast as its picture allows.

bfloat16 keeps eight bits of a number, as many as a pixel of a picture has. Over the starter
pairs it moves the universal error factor of each of our feed-forward methods by less than
0.1 % (docs/speed.md), at up to twice the speed on processors that multiply it natively.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TypeVar

import torch
from pydantic import Field
from torch import nn

from nstbench.contracts import Parameters
from nstbench.nn.backbones.loss_network import Precision, number_format

_Network = TypeVar("_Network", bound=nn.Module)


class InferenceParams(Parameters):
    """Parameters of stylisation by trained networks; they play no part in training."""

    precision: Precision = Field(
        "auto",
        description="number format of the convolutions; auto takes bfloat16 where the hardware "
        "multiplies it natively",
    )
    compiled: bool = Field(
        False,
        description="compile the networks by torch.compile: the first picture of a size takes "
        "long, the others may take less",
    )


RUNTIME_PARAMS = frozenset(InferenceParams.model_fields)
"""Their names, which belong to ``runtime_params`` of every trainable method."""


@contextlib.contextmanager
def inference(params: InferenceParams, device: torch.device) -> Iterator[None]:
    """Record no gradients in a block, and let convolutions and products run in ``precision``.

    What they return may be bfloat16, so cast a picture by ``float()`` in the end.
    """
    dtype = number_format(params.precision, device)
    lower = torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)
    with torch.inference_mode(), lower:
        yield


def for_inference(network: _Network, params: InferenceParams, device: torch.device) -> _Network:
    """Return a network frozen, on its device in channels-last order, compiled on request."""
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.eval().requires_grad_(False)
    if params.compiled:
        network.compile()
    return network
