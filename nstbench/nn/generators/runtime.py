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
from nstbench.nn.generators.decoder import fuse
from nstbench.nn.generators.transformation_network import TransformationNetwork
from nstbench.nn.inference.fused_transformation import FusedTransformation
from nstbench.nn.inference.replay import replayed

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
    lower = number_format(params.precision, device) == torch.bfloat16
    # weights that are cast in a graph may not stay in a cache: the graph owns their memory
    cast = torch.autocast(device.type, torch.bfloat16, enabled=lower, cache_enabled=False)
    with torch.inference_mode(), cast:
        yield


def picture_of(network: nn.Module, params: InferenceParams, *inputs: torch.Tensor) -> torch.Tensor:
    """Return the picture that a network makes, float32 (B, 3, H, W), contiguous.

    On a GPU, repeated calls with the same shapes replay a graph
    (:mod:`nstbench.nn.inference.replay`).

    Args:
        network: from :func:`for_inference`, or a module of such networks.
        params: number format and compilation.
        inputs: the network's arguments, all on its device.
    """
    with inference(params, inputs[0].device):
        return pass_of(network, params, *inputs).float().contiguous()


def pass_of(network: nn.Module, params: InferenceParams, *inputs: torch.Tensor) -> torch.Tensor:
    """Return what a network computes, in the context of :func:`inference`.

    See :func:`picture_of` for the arguments.
    """
    made: torch.Tensor = network(*inputs) if params.compiled else replayed(network, *inputs)
    return made


def for_inference(network: _Network, params: InferenceParams, device: torch.device) -> _Network:
    """Freeze a network, move it to the device in channels-last order, compile it on request.

    On a GPU, see :func:`suit_gpu` as well.
    """
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.eval().requires_grad_(False)
    if device.type == "cuda":
        suit_gpu(network, number_format(params.precision, device))
    if params.compiled:
        network.compile()
    return network


def suit_gpu(network: nn.Module, dtype: torch.dtype) -> None:
    """Store the weights of convolutions in ``dtype``, and use the fused form of 16-bit networks.

    Casting weights at every call would launch a kernel for each. Normalisations keep float32.
    """
    if dtype != torch.float32:
        fuse(network, dtype)
        for module in network.modules():
            if isinstance(module, TransformationNetwork):
                module.fused = FusedTransformation(module, dtype)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.to(dtype)
