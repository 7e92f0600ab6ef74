"""Provenance: command, environment, weights, pictures, and data to download."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar
from urllib.parse import urlsplit

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.report.parts import templates

PACKAGES = "packages"

LARGEST_DOWNLOAD = 3_000_000
"""Largest download in bytes; larger ones are omitted to keep the page below 20 MB."""


class Provenance(Section):
    """Environment, exact command, weight checksums, picture licences and data downloads."""

    info: ClassVar[SectionInfo] = SectionInfo("Provenance", order=90)

    def html(self, board: Board) -> str:
        """Return the section."""
        info = board.info
        return templates.render(
            "provenance.html",
            command=info.get("command", ""),
            config=json.dumps(info.get("config", {}), indent=2, default=str, ensure_ascii=False),
            environment=list(_flat(info.get("environment") or {})),
            run=[
                (k, str(info[k]))
                for k in ("suite", "version", "started", "finished")
                if info.get(k)
            ],
            weights=_weights(board),
            pictures=sorted(board.pictures, key=lambda p: (p.role, p.name)),
            downloads=_downloads(board),
        )


def _flat(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings with dotted names; all package versions are in one row."""
    rows: list[tuple[str, str]] = []
    for key, value in data.items():
        name = f"{prefix}{key}".replace("_", " ")
        if key == PACKAGES:
            versions = (f"{package} {version}" for package, version in value.items() if version)
            rows.append((name, ", ".join(versions)))
        elif isinstance(value, Mapping):
            rows += _flat(value, f"{name}.")
        elif str(value):
            rows.append((name, str(value)))
    return rows


def _weights(board: Board) -> list[dict[str, Any]]:
    """Return each weight file once, with the methods and metrics that read it."""
    readers = [(c.method, c.weights) for c in board.methods.values() if c.availability.ok]
    readers += [(c.title, c.weights) for c in board.metrics.values() if c.availability.ok]
    files: dict[tuple[str, str], dict[str, Any]] = {}
    for reader, cards in readers:
        for card in cards:
            empty = {"card": card, "users": [], "host": urlsplit(card.origin).netloc}
            file = files.setdefault((card.name, card.sha256), empty)
            file["users"].append(reader)
    return [files[key] for key in sorted(files)]


def _downloads(board: Board) -> list[dict[str, str]]:
    facts = {
        "info": dict(board.info),
        "methods": {name: asdict(card) for name, card in board.methods.items()},
        "metrics": {name: asdict(card) for name, card in board.metrics.items()},
        "pictures": [asdict(card) for card in board.pictures],
        "leaderboard": json.loads(board.leaderboard.to_json(orient="records")),
    }
    table = board.leaderboard.to_csv(index=False).encode()
    scores = gzip.compress(board.scores.to_csv(index=False).encode(), mtime=0)
    files = [
        ("leaderboard.csv", "text/csv", table, "the leaderboard"),
        ("board.json", "application/json", json.dumps(facts, default=str).encode(),
         "leaderboard, facts about methods, metrics and pictures, configuration, environment"),
        ("scores.csv.gz", "application/gzip", scores, "all scores, one per row"),
    ]  # fmt: skip
    return [_download(*file) for file in files if len(file[2]) <= LARGEST_DOWNLOAD]


def _download(name: str, kind: str, data: bytes, what: str) -> dict[str, str]:
    uri = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return {"name": name, "uri": uri, "what": what, "size": f"{len(data) / 1024:.0f} KiB"}
