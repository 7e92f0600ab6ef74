"""Export rows of image datasets on the Hugging Face hub to picture files, once per row.

Rows are streamed: to export twenty rows of a dataset of thirty gigabytes, only the rows up to
the last of the twenty are transferred. A JPEG or PNG picture is kept as published; other
formats become PNG. The JSON record of a row is written after its pictures, and a row with a
record is not fetched again.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
import os
import re
import socket
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nstbench.core.errors import ImageError, NstbenchError, UsageError
from nstbench.core.paths import cache_dir, offline
from nstbench.core.records import Availability
from nstbench.core.text import printable, slugify
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import write_png
from nstbench.store.atomic_files import read_json, write_bytes, write_json
from nstbench.store.keys import key_of

INSTALL = "pip install 'nstbench[hub]'"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PROBE_SECONDS = 3.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HubSource:
    """A column of pictures in a hub dataset, or in a local folder of the hub's layout.

    Attributes:
        repo: ``owner/name`` on the hub, or a local folder.
        revision: commit, branch or tag; ``None`` for the main branch. Only a full commit
            can be served from the cache without asking the hub.
        split: split of the dataset.
        column: column with the pictures.
        config: configuration of the dataset, if it has several.
        file: one data file of the repository. Row numbers then count the rows of this file,
            and ``split`` is ignored.
        map_column: column with semantic maps.
    """

    repo: str
    revision: str | None = None
    split: str = "train"
    column: str = "image"
    config: str | None = None
    file: str | None = None
    map_column: str | None = None

    @property
    def folder(self) -> Path | None:
        """The local folder, or ``None`` if the dataset is on the hub."""
        path = Path(self.repo).expanduser()
        return path.resolve() if path.is_dir() else None


@dataclass(frozen=True, slots=True)
class HubRow:
    """One exported row.

    Attributes:
        index: number of the row.
        path: the picture file; ``None`` if it cannot be used.
        sha256: checksum of the file.
        semantic_map: file of the map, if a map column was given.
        labels: the row's text, number and class columns as text.
        source: dataset, revision, split and number of the row, as text.
        reason: why there is no picture; empty if there is one.
    """

    index: int
    path: Path | None
    sha256: str
    semantic_map: Path | None
    labels: Mapping[str, str]
    source: str
    reason: str = ""


def package_missing() -> bool:
    """Return True if Hugging Face's ``datasets`` is not installed.

    Without it, Python finds a folder called ``datasets`` on the import path, such as the
    folder of this repository, and treats it as a namespace package. A namespace package has
    no origin, which tells it from the real one.
    """
    spec = importlib.util.find_spec("datasets")
    return spec is None or spec.origin is None


def availability(source: HubSource, indices: Sequence[int]) -> Availability:
    """Return whether rows can be read from the cache, a local folder, or over the network.

    Args:
        source: dataset and column.
        indices: row numbers, counted from 0.
    """
    pinned = source.folder is None and _COMMIT.fullmatch(source.revision or "")
    if pinned and not _missing(source, indices):
        return Availability()
    if package_missing():
        return Availability(False, "the package 'datasets' is not installed", INSTALL)
    if source.folder is not None:
        return Availability()
    if offline():
        return Availability(
            False,
            f"{source.repo} is not in the cache, and NSTBENCH_OFFLINE forbids downloads",
            "Unset NSTBENCH_OFFLINE and connect to the network",
        )
    if not _hub_answers(os.environ.get("HF_ENDPOINT") or "https://huggingface.co"):
        return Availability(
            False,
            f"{source.repo} is not in the cache, and the Hugging Face hub cannot be reached",
            "Connect to the network (HTTPS_PROXY and HF_ENDPOINT are honoured)",
        )
    return Availability()


def export(source: HubSource, indices: Sequence[int], *, all_needed: bool) -> list[HubRow]:
    """Return rows in the order of ``indices``; rows that are not in the cache are fetched.

    Args:
        source: dataset and column.
        indices: row numbers, counted from 0.
        all_needed: True to raise for a row beyond the end of the split; False to leave such
            rows out.

    Raises:
        UsageError: if the dataset, the split, a column or a needed row does not exist,
            or the rows cannot be fetched.
    """
    source = _pinned(source)
    missing = _missing(source, indices)
    if missing:
        _fetch(source, missing)
    rows = [_exported(source, index) for index in indices]
    if all_needed and None in rows:
        absent = indices[rows.index(None)]
        raise UsageError(f"{_what(source)} has no row {absent}. Rows are counted from 0.")
    return [row for row in rows if row is not None]


def _missing(source: HubSource, indices: Sequence[int]) -> list[int]:
    """Return the rows to fetch, without rows that are known to be beyond the end."""
    end = read_json(_export_folder(source) / "end.json")
    wanted = sorted({index for index in indices if end is None or index < end})
    return [index for index in wanted if _exported(source, index) is None]


def _pinned(source: HubSource) -> HubSource:
    """Return the source with a fixed revision.

    The revision is a commit for a dataset on the hub, and a checksum of names, sizes and
    times of all files for a local folder.
    """
    folder = source.folder
    if folder is not None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        listing = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
        return replace(source, revision=key_of({"listing": listing})[:40])
    if source.revision and _COMMIT.fullmatch(source.revision):
        return source
    _check_fetching(source)
    try:
        hub = importlib.import_module("huggingface_hub")
        info = hub.HfApi().dataset_info(source.repo, revision=source.revision)
    except Exception as error:
        raise _cannot_read(source, error) from error
    return replace(source, revision=info.sha)


def _fetch(source: HubSource, missing: Sequence[int]) -> None:
    _check_fetching(source)
    folder = _export_folder(source)
    _log.info("fetching %d rows of %s", len(missing), _what(source))
    try:
        rows = _open(source)
        wanted, last = set(missing), missing[-1]
        index = missing[0] - 1
        for index, row in enumerate(rows.skip(missing[0]), missing[0]):
            if index in wanted:
                _save(source, row, rows.features, index, folder)
            if index == last:
                return
    except NstbenchError:
        raise
    # The library raises many types, for example for an unknown name or a broken connection.
    except Exception as error:
        raise _cannot_read(source, error) from error
    if index >= missing[0] or missing[0] == 0:
        write_json(folder / "end.json", index + 1)


def _open(source: HubSource) -> Any:
    """Return the stream of rows, with pictures as published bytes instead of decoded."""
    library = importlib.import_module("datasets")
    rows = library.load_dataset(
        str(source.folder or source.repo),
        source.config,
        split="rows" if source.file else source.split,
        data_files={"rows": [source.file]} if source.file else None,
        revision=None if source.folder else source.revision,
        cache_dir=str(cache_dir() / "hub" / "library"),
        streaming=True,
    )
    if rows.features is None:
        raise UsageError(f"{_what(source)} does not declare its columns, so it cannot be used.")
    for column in filter(None, (source.column, source.map_column)):
        if column not in rows.features:
            columns = ", ".join(rows.features)
            raise UsageError(f"{_what(source)} has no column '{column}'. It has: {columns}.")
    for name, feature in rows.features.items():
        if isinstance(feature, library.Image):
            rows = rows.cast_column(name, library.Image(decode=False))
    return rows


def _save(source: HubSource, row: Any, features: Any, index: int, folder: Path) -> None:
    """Write the files of one row, then its record."""
    record: dict[str, Any] = {"labels": dict(_labels(row, features))}
    try:
        record["picture"], record["sha256"] = _write(
            source, row[source.column], folder, f"{index:07d}"
        )
        if source.map_column and row[source.map_column] is not None:
            record["map"], _ = _write(source, row[source.map_column], folder, f"{index:07d}_sem")
    except ImageError as error:
        record["reason"] = str(error)
    write_json(folder / f"{index:07d}.json", record)


def _write(source: HubSource, value: Any, folder: Path, stem: str) -> tuple[str, str]:
    """Write a picture file; return its name and SHA-256.

    Raises:
        ImageError: if the value is not a usable picture.
    """
    data = _picture_bytes(value, source)
    if data is None:
        raise ImageError("the row has no picture")
    raw = folder / f"{stem}.part"
    write_bytes(raw, data)
    try:
        pixels = read_image(raw)
        suffix = {b"\xff\xd8": ".jpg", b"\x89P": ".png"}.get(data[:2])
        path = folder / f"{stem}{suffix or '.png'}"
        if suffix:
            raw.replace(path)
        else:
            write_png(path, pixels)
    except ImageError as error:
        raise ImageError(str(error).removeprefix(f"{printable(raw)}: ")) from error
    finally:
        raw.unlink(missing_ok=True)
    return path.name, hashlib.sha256(path.read_bytes()).hexdigest()


def _picture_bytes(value: Any, source: HubSource) -> bytes | None:
    if isinstance(value, Mapping) and value.get("bytes"):
        return bytes(value["bytes"])
    if isinstance(value, Mapping) and value.get("path"):
        if not _is_inside(value["path"], source):
            raise ImageError("the row names a file outside the dataset")
        with importlib.import_module("fsspec").open(value["path"], "rb") as stream:
            return bytes(stream.read())
    return bytes(value) if isinstance(value, bytes) else None


def _is_inside(path: Any, source: HubSource) -> bool:
    """Return True if a path is inside the dataset; a row can name any file and any address."""
    # Form of a path inside an archive: "zip://inside.png::where/the/archive/is.zip".
    *containers, place = str(path).split("::")
    if any(not container.startswith("zip://") for container in containers):
        return False
    if source.folder is not None:
        return "://" not in place and Path(place).resolve().is_relative_to(source.folder)
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    return place.startswith(
        (f"hf://datasets/{source.repo}@", f"hf://datasets/{source.repo}/",
         f"{endpoint.rstrip('/')}/datasets/{source.repo}/resolve/")
    ) and ".." not in place.split("/")  # fmt: skip


def _labels(row: Mapping[str, Any], features: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the columns with text, numbers or classes, as text; a class by its name."""
    for column, value in row.items():
        name_of = getattr(features.get(column), "int2str", None)
        if name_of is not None and isinstance(value, int) and value >= 0:
            yield column, str(name_of(value))
        elif isinstance(value, str | int | float):
            yield column, str(value)


def _exported(source: HubSource, index: int) -> HubRow | None:
    """Return an exported row, or ``None`` if it is missing or its picture file has changed."""
    folder = _export_folder(source)
    record = read_json(folder / f"{index:07d}.json")
    if record is None:
        return None
    where = f"{_what(source)}, row {index}"
    if "reason" in record:
        return HubRow(index, None, "", None, record["labels"], where, record["reason"])
    path = folder / record["picture"]
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != record["sha256"]:
        return None
    semantic_map = folder / record["map"] if "map" in record else None
    return HubRow(index, path, record["sha256"], semantic_map, record["labels"], where)


def _export_folder(source: HubSource) -> Path:
    parts = asdict(source)
    if source.folder is not None:
        parts["repo"] = str(source.folder)
    name = slugify(Path(source.repo).name if source.folder else source.repo)
    return cache_dir() / "hub" / f"{name}-{key_of(parts)[:16]}"


def _what(source: HubSource) -> str:
    revision = f"@{source.revision[:12]}" if source.revision and not source.folder else ""
    return f"{printable(source.repo)}{revision} ({source.file or f'split {source.split}'})"


def _cannot_read(source: HubSource, error: Exception) -> UsageError:
    reason = printable(str(error).strip().splitlines()[0] if str(error).strip() else "")
    return UsageError(
        f"{_what(source)} cannot be read: {type(error).__name__}: {reason}. Check the name, "
        "revision, configuration and split, and the network connection."
    )


def _check_fetching(source: HubSource) -> None:
    if package_missing():
        raise UsageError(f"The package 'datasets' is not installed. Install it: {INSTALL}")
    if offline() and source.folder is None:
        raise UsageError(
            f"{_what(source)} is not in the cache, and NSTBENCH_OFFLINE forbids downloads. "
            "Unset it and connect to the network."
        )


@cache
def _hub_answers(endpoint: str) -> bool:
    """Return True if the hub's host, or the proxy for it, accepts connections."""
    address = urlsplit(endpoint)
    proxy = urllib.request.getproxies().get(address.scheme)
    if proxy and not urllib.request.proxy_bypass(address.hostname or ""):
        address = urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), _PROBE_SECONDS).close()
    except OSError:
        return False
    return True
