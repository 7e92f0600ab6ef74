"""Loss networks that the trainings of a process share."""

from __future__ import annotations

from weakref import WeakValueDictionary

import torch

from nstbench.nn.backbones.loss_network import Precision, load_loss_network
from nstbench.nn.backbones.vgg import Pooling
from nstbench.nn.generators.decoder import reflect_borders
from nstbench.nn.layers.layered import LayeredNetwork

_shared: WeakValueDictionary[object, LayeredNetwork] = WeakValueDictionary()


def shared_loss_network(
    name: str,
    device: torch.device,
    pooling: Pooling = "max",
    precision: Precision = "auto",
    *,
    mirrored: bool = False,
) -> LayeredNetwork:
    """Return a frozen network; the same one again while a training uses it. Do not change it.

    Args:
        name: see :func:`nstbench.nn.backbones.loss_network.load_loss_network`.
        device: device of the network.
        pooling: ``"max"`` or ``"average"``.
        precision: number format.
        mirrored: reflect the borders of pictures and activations.

    Raises:
        WeightsError: see :func:`nstbench.nn.weights.cache.path`.
    """
    key = (name, str(device), pooling, precision, mirrored)
    found = _shared.get(key)
    if found is None:
        found = load_loss_network(name, device, pooling, precision)
        _shared[key] = reflect_borders(found) if mirrored else found
    return found
