"""The rows of ``nstbench list``, stored in the cache folder.

Methods and metrics import torch, which takes seconds. So their rows are stored with a
fingerprint of everything that they depend on: the code of nstbench and of its plug-ins, the
installed packages, and the weights on this machine. After any change of these, the plug-ins are
imported again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

import nstbench
from nstbench.cli.show.console import console
from nstbench.core.errors import NstbenchError, StoreError
from nstbench.core.paths import cache_dir, checkpoints_dir
from nstbench.core.records import Availability
from nstbench.plugins import registry
from nstbench.store.atomic_files import write_json

_VARIABLES = ("NSTBENCH_WEIGHTS", "NSTBENCH_OFFLINE", "NSTBENCH_CACHE", "NSTBENCH_CHECKPOINTS")


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a list.

    Attributes:
        name: name in the registry.
        title: title and facts of the plug-in, or first line of the suite.
        availability: whether it can be used on this machine, with reason and fix.
        origin: where it comes from.
    """

    name: str
    title: str
    availability: Availability
    origin: str


def print_list(kind: str) -> None:
    """Print all plug-ins of a kind, or the suites, with their availability."""
    table = Table(title=kind, title_justify="left")
    for column in ("name", "title", "available", "origin"):
        table.add_column(column, overflow="fold")
    for entry in entries(kind):
        state = entry.availability
        available = "yes" if state.ok else f"[red]no[/red]: {escape(reason(state))}"
        table.add_row(
            f"[bold]{escape(entry.name)}[/bold]", escape(entry.title), available,
            escape(entry.origin),
        )  # fmt: skip
    console().print(table)


def entries(kind: str) -> list[Entry]:
    """Return the rows of one kind of plug-ins, or of ``"suites"``, from the cache if possible."""
    if kind == "suites":
        return list(_suites())
    # datasets import fast, and their availability depends on caches that change
    if kind == "datasets" or registry.added_files() or registry.added_programs():
        return list(_look(kind))
    file = cache_dir() / "lists" / f"{kind}.json"
    fingerprint = _fingerprint(kind)
    rows = _read_rows(file, fingerprint)
    if rows is None:
        rows = list(_look(kind))
        _write_rows(file, fingerprint, rows)
    return rows


def reason(state: Availability) -> str:
    """Return the reason and the fix of something that is unavailable."""
    return f"{state.reason}. {state.remedy}" if state.remedy else state.reason


def _suites() -> Iterator[Entry]:
    from nstbench.plan.config_file import suites

    for name, path in suites().items():
        first = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        yield Entry(name, first, Availability(), "built in")


def _look(kind: str) -> Iterator[Entry]:
    for name, plugin in registry.plugins(kind).items():
        title, state = _describe(kind, name)
        yield Entry(name, title, state, plugin.origin)


def _describe(kind: str, name: str) -> tuple[str, Availability]:
    from nstbench.plan.config import MethodSpec
    from nstbench.plan.variants import make_variant, metric_card

    try:
        if kind == "methods":
            card = make_variant(MethodSpec(name=name), {}).card
            flexibility = f" · {card.flexibility}" if card.flexibility else ""
            return f"{card.title}{flexibility}", card.availability
        if kind == "metrics":
            metric = metric_card(name)
            arrow = "↑" if metric.higher_is_better else "↓"
            return f"{metric.title} {arrow} · {metric.scope}", metric.availability
        cls = registry.load(kind, name)
        required = [field for field, f in cls.Params.model_fields.items() if f.is_required()]
        state = Availability() if required else cls(cls.Params()).availability()
        return cls.info.title, state
    except NstbenchError as error:
        return name, Availability(False, str(error))


# --- stored rows -------------------------------------------------------------------------


def _fingerprint(kind: str) -> str:
    """Return a checksum of everything that the rows of a kind depend on."""
    package = Path(nstbench.__file__).parent
    code = [*package.rglob("*.py"), *registry.DEFAULT.folder(kind).glob("*.py")]
    paths = {name: plugin.path for name, plugin in registry.plugins(kind).items()}
    # fetching a file or installing a package changes the time of its folder
    places = [cache_dir() / "weights", checkpoints_dir(), *map(Path, sys.path)]
    if bundled := os.environ.get("NSTBENCH_WEIGHTS"):
        places.append(Path(bundled))
    parts = [
        nstbench.__version__,
        sys.version,
        [os.environ.get(name) for name in _VARIABLES],
        sorted((str(name), str(path)) for name, path in paths.items()),
        _stamps([*code, *(path for path in paths.values() if path)]),
        _stamps(places),
        _stamps((cache_dir() / "weights").glob("*")),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _stamps(paths: Iterable[Path]) -> list[tuple[str, int, int]]:
    stamps = set()
    for path in paths:
        with contextlib.suppress(OSError):
            facts = path.stat()
            stamps.add((str(path), facts.st_mtime_ns, facts.st_size))
    return sorted(stamps)


def _read_rows(file: Path, fingerprint: str) -> list[Entry] | None:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["fingerprint"] != fingerprint:
            return None
        return [
            Entry(row["name"], row["title"], Availability(**row["availability"]), row["origin"])
            for row in data["entries"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_rows(file: Path, fingerprint: str, rows: list[Entry]) -> None:
    # without the stored rows, the next list takes longer and is the same
    with contextlib.suppress(StoreError):
        write_json(file, {"fingerprint": fingerprint, "entries": [asdict(row) for row in rows]})
