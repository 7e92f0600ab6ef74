"""The frozen network of an image-optimisation method, in the precision that pays here."""

from __future__ import annotations

from typing import Literal

import torch

from nstbench.nn.backbones.load import load_backbone
from nstbench.nn.backbones.vgg import Pooling
from nstbench.nn.layers.frozen_convolution import FrozenConvolution
from nstbench.nn.layers.layered import LayeredNetwork

Precision = Literal["auto", "float32", "bfloat16"]


def fast_precision(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the device multiplies it natively, else float32.

    The answer comes from what the hardware says, not from a stopwatch, so that it is
    the same in every process of a run. Without AVX-512 BF16 or AMX, CPUs emulate
    bfloat16, which is slower than float32.
    """
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    elif device.type == "cpu":
        # These two are private to torch and may go; float32 is then always right.
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        native = any(getattr(torch.cpu, probe, bool)() for probe in probes)
    else:
        native = False
    return torch.bfloat16 if native else torch.float32


def number_format(precision: Precision, device: torch.device) -> torch.dtype:
    """Return what ``precision`` asks for on a device."""
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    return fast_precision(device) if precision == "auto" else dtypes[precision]


def load_loss_network(
    name: str, device: torch.device, pooling: Pooling, precision: Precision = "auto"
) -> LayeredNetwork:
    """Return a feature network for differentiating with respect to the picture.

    Pictures go in as float32 and are normalised as such; activations come out in the
    network's precision, channels last.

    Args:
        name: ``"vgg16"`` or ``"vgg19"``.
        device: where to put it.
        pooling: ``"max"`` or ``"average"``.
        precision: ``"auto"`` takes :func:`fast_precision`.

    Raises:
        WeightsError: see :func:`nstbench.nn.weights.cache.path`.
    """
    network = load_backbone(name, device, pooling)
    dtype = number_format(precision, device)
    if dtype != torch.float32:
        lower_precision(network, dtype)
    for module in network.modules():
        if isinstance(module, FrozenConvolution):
            module.pack()
    return network


def lower_precision(network: LayeredNetwork, dtype: torch.dtype) -> None:
    """Cast a network's weights, once; its normalised input follows them.

    Autocast would convert frozen weights anew at each step, and pictures are normalised in the
    precision in which they come.
    """
    mean, std = network.mean, network.std
    network.to(dtype)
    network.mean, network.std = mean, std
