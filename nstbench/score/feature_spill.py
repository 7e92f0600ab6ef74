"""Write tensors that do not fit into memory to disk.

All of them are in one unnamed temporary file, which disappears when the process ends.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import torch

K = TypeVar("K")

_log = logging.getLogger(__name__)

# Share of the free disk space to use; other programs may need the rest.
_DISK_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Place:
    """Position, layout and device of a tensor in the file; ``offset`` is in bytes."""

    offset: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    device: torch.device


class Overflow:
    """Writes tensors and reads them back, bit for bit and in their memory format.

    Args:
        folder: folder of the file; created if it does not exist.
        budget: largest size of the file in bytes. By default a quarter of the free space.
    """

    def __init__(self, folder: Path, budget: int | None = None) -> None:
        self._folder = folder
        self._given = self._budget = budget
        self._file: IO[bytes] | None = None
        self._end = 0

    def write(self, tensors: Mapping[K, torch.Tensor]) -> dict[K, Place] | None:
        """Append tensors.

        Returns:
            Their places, or ``None`` if they do not fit or writing fails; the caller recomputes
            them.
        """
        try:
            return self._write(tensors)
        except OSError as error:
            _log.debug("features are not kept on disk: %s", error)
            self._budget = 0
            return None

    def read(self, places: Mapping[K, Place]) -> dict[K, torch.Tensor]:
        """Return tensors that :meth:`write` wrote, on their original devices.

        Raises:
            OSError: if reading fails.
        """
        return {name: self._read(place) for name, place in places.items()}

    def close(self) -> None:
        """Free the disk space; earlier places are invalid afterwards."""
        if self._file is not None:
            self._file.close()
        self._file, self._end, self._budget = None, 0, self._given

    def _write(self, tensors: Mapping[K, torch.Tensor]) -> dict[K, Place] | None:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  closed by self
            weakref.finalize(self, self._file.close)
            if self._budget is None:
                self._budget = int(_DISK_SHARE * shutil.disk_usage(self._folder).free)
        assert self._budget is not None
        if self._end + sum(tensor.nbytes for tensor in tensors.values()) > self._budget:
            return None
        places: dict[K, Place] = {}
        end = self._end
        self._file.seek(end)
        for name, tensor in tensors.items():
            laid_out = _dense(tensor)
            places[name] = Place(
                end, tensor.dtype, tuple(tensor.shape), laid_out.stride(), tensor.device
            )
            self._file.write(_bytes(laid_out.cpu()))
            end += tensor.nbytes
        self._end = end
        return places

    def _read(self, place: Place) -> torch.Tensor:
        assert self._file is not None
        tensor = torch.empty_strided(place.shape, place.stride, dtype=place.dtype)
        self._file.seek(place.offset)
        # typeshed declares readinto for buffered files, but not for IO
        count = self._file.readinto(_bytes(tensor))  # type: ignore[attr-defined]
        if count != tensor.nbytes:
            raise OSError("a file of features ends too early")
        return tensor.to(place.device)


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor without gaps; channels-last tensors stay channels last."""
    last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return tensor if last else tensor.contiguous()


def _bytes(tensor: torch.Tensor) -> memoryview:
    """Return the memory of a tensor without gaps."""
    flat = tensor.as_strided((tensor.numel(),), (1,))
    return flat.view(torch.uint8).numpy().data
