"""Run trained networks fast: inference mode, low precision, compilation.

bfloat16 has eight significant bits, as many as a pixel value. On the starter pairs it changes the
universal error factor of every feed-forward method of nstbench by less than 0.1 %
(docs/speed.md), at up to twice the speed on processors that multiply it natively.
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
    """Parameters of stylisation by trained networks; training does not use them."""

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
"""The names of these parameters, for ``runtime_params`` of every trainable method."""


@contextlib.contextmanager
def inference(params: InferenceParams, device: torch.device) -> Iterator[None]:
    """Disable gradients in a block, and run convolutions and matrix products in ``precision``.

    Results may be bfloat16, so convert the final picture by ``float()``.
    """
    dtype = number_format(params.precision, device)
    lower = torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)
    with torch.inference_mode(), lower:
        yield


def for_inference(network: _Network, params: InferenceParams, device: torch.device) -> _Network:
    """Freeze a network, move it to the device in channels-last order, compile it on request."""
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.eval().requires_grad_(False)
    if params.compiled:
        network.compile()
    return network
