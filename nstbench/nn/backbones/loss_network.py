"""The frozen network of an image-optimisation method, in the fastest suitable precision."""

from __future__ import annotations

from typing import Literal

import torch

from nstbench.nn.backbones.load import load_backbone
from nstbench.nn.backbones.vgg import Pooling
from nstbench.nn.layers.layered import LayeredNetwork

Precision = Literal["auto", "float32", "bfloat16"]


def fast_precision(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the device multiplies it natively, else float32.

    The decision depends on features of the hardware and not on a measurement, so it is the
    same in every process of a run. CPUs without AVX-512 BF16 or AMX emulate bfloat16, which is
    slower than float32.
    """
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    elif device.type == "cpu":
        # Both functions are private to torch; if one is missing, float32 is always correct.
        probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        native = any(getattr(torch.cpu, probe, bool)() for probe in probes)
    else:
        native = False
    return torch.bfloat16 if native else torch.float32


def number_format(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype of a ``precision`` on a device."""
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    return fast_precision(device) if precision == "auto" else dtypes[precision]


def load_loss_network(
    name: str, device: torch.device, pooling: Pooling, precision: Precision = "auto"
) -> LayeredNetwork:
    """Return a feature network for gradients with respect to the picture.

    Input pictures are float32 and are normalised in float32. Activations have the precision of
    the network and are channels last.

    Args:
        name: ``"vgg16"`` or ``"vgg19"``.
        device: device of the network.
        pooling: ``"max"`` or ``"average"``.
        precision: ``"auto"`` means :func:`fast_precision`.

    Raises:
        WeightsError: see :func:`nstbench.nn.weights.cache.path`.
    """
    network = load_backbone(name, device, pooling)
    dtype = number_format(precision, device)
    if dtype != torch.float32:
        lower_precision(network, dtype)
    return network


def lower_precision(network: LayeredNetwork, dtype: torch.dtype) -> None:
    """Cast a network's weights once; the normalised input is cast to the same dtype.

    Autocast would convert the frozen weights again at every step. Mean and deviation of the
    normalisation stay float32, so pictures are normalised in float32.
    """
    mean, std = network.mean, network.std
    network.to(dtype)
    network.mean, network.std = mean, std
