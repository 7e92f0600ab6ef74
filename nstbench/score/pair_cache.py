"""Numbers of a content and a style that later runs use again, one small file each.

The bar of a pair takes four passes of every network, and depends on no output. The key of a file
covers both pictures, the code that makes the numbers, the weights of the networks and the kind of
device. A file that is missing, torn or altered is made again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

import nstbench
from nstbench.core.errors import NstbenchError
from nstbench.nn.backbones.load import backbone_weight
from nstbench.nn.weights.cache import checksum
from nstbench.plugins.source_hash import hash_of_files, module_files
from nstbench.score import feature_bank
from nstbench.store.atomic_files import read_json, write_json
from nstbench.store.keys import SCHEMA, key_of

MOST = 512
"""Greatest number of values of a stored tensor."""

_log = logging.getLogger(__name__)


class PairCache:
    """Small float64 tensors of pairs in a folder, shared by all runs.

    Args:
        folder: folder of the files; created if it does not exist.
        device: device of the networks.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._folder, self._device = folder, device

    def tensor(
        self,
        name: str,
        pictures: Sequence[str],
        networks: Sequence[str],
        make: Callable[[], torch.Tensor],
        code: str,
    ) -> torch.Tensor:
        """Return the stored tensor, or make and store it.

        Args:
            name: what the tensor contains.
            pictures: keys of the pictures that it depends on, in order.
            networks: networks whose features it is made of.
            make: function that makes it.
            code: full name of the module of that function. Only the code of nstbench has a
                checksum here, so other tensors are made and not stored.
        """
        if code.partition(".")[0] != nstbench.__name__:
            return make()
        parts = {
            "tensor": name, "pictures": list(pictures), "source": _source(code), "schema": SCHEMA,
            "weights": {network: checksum(backbone_weight(network)) for network in networks},
            "device": self._device.type,
        }  # fmt: skip
        key = key_of(parts)
        file = self._folder / key[:2] / f"{key}.json"
        found = _read(file)
        if found is not None:
            return found.to(self._device)
        made = make()
        if made.dtype == torch.float64 and made.numel() <= MOST:
            _write(file, made)
        return made


@cache
def _source(code: str) -> str:
    """Return a checksum of a module, of what it imports, and of the code of features."""
    return hash_of_files((*module_files(code), *module_files(feature_bank.__name__)))


def _write(file: Path, made: torch.Tensor) -> None:
    content = {"shape": list(made.shape), "values": made.flatten().tolist()}
    if not all(map(math.isfinite, content["values"])):
        return
    try:
        write_json(file, content | {"checksum": key_of(content)})
    except (OSError, NstbenchError) as error:
        _log.debug("%s is not stored: %s", file, error)


def _read(file: Path) -> torch.Tensor | None:
    """Return the tensor of a file, or ``None`` if it is missing, torn or altered."""
    data: Any = read_json(file)
    if not isinstance(data, dict):
        return None
    content: dict[str, Any] = {name: data.get(name) for name in ("shape", "values")}
    if data.get("checksum") != key_of(content):
        return None
    return torch.tensor(content["values"], dtype=torch.float64).view(content["shape"])
