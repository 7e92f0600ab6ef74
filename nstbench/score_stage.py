"""Score the pictures of a run: only what has no score yet, each picture read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from nstbench import registry, weights
from nstbench.catalog import metric_weights
from nstbench.contracts import Metric, Picture
from nstbench.errors import ImageError, StoreError
from nstbench.images import read_image, to_tensor
from nstbench.listener import Listener
from nstbench.names import printable
from nstbench.records import MetricCard, PictureCard, Role, Scope, Status, Timing
from nstbench.run_files import SCORE_COLUMNS, read_cards, read_plan
from nstbench.scorer import Scorer
from nstbench.store import MEND, SCHEMA, Store, key_of

Unit = Mapping[str, Any]


class ScoreStage:
    """Scores one run folder.

    Args:
        root: run folder with ``run.json``, ``plan.json`` and outputs.
        device: torch device of the feature networks.
    """

    def __init__(self, root: Path, device: str) -> None:
        self.store = Store(root)
        self.device = torch.device(device)
        self.cards, pictures = read_cards(root)
        self.pictures = {(card.role, card.name): card for card in pictures}
        self.usable = {
            name: card
            for name, card in self.cards.items()
            if card.availability.ok and card.scope != Scope.TIMING
        }
        self.metrics: dict[str, Metric] = {
            name: registry.load("metrics", name)() for name in self.usable
        }
        self.scorer = Scorer(self.metrics, self.device)
        self._identity = {name: self._metric_parts(name) for name in self.metrics}

    def run(self, listener: Listener) -> pd.DataFrame:
        """Score every finished unit and return the tidy scores, set metrics included."""
        groups = self._groups()
        listener.stage("score", sum(len(units) for units in groups.values()))
        rows: list[dict[str, Any]] = []
        for units in groups.values():
            rows += self._score_group(units, listener)
        return pd.DataFrame(rows, columns=SCORE_COLUMNS)

    # -- one method variant at one size ---------------------------------------------------

    def _score_group(self, units: list[Unit], listener: Listener) -> list[dict[str, Any]]:
        set_keys = {name: self._set_key(name, units) for name in self._of_scope(Scope.SET)}
        missing_sets = {n for n, key in set_keys.items() if self.store.score(n, key) is None}
        self.scorer.reset(missing_sets)
        rows: list[dict[str, Any]] = []
        damaged = False
        for unit in units:
            listener.began(f"{unit['variant']} · {unit['content']} × {unit['style']}")
            keys = {name: self._pair_key(name, unit) for name in self._of_scope(Scope.PAIR)}
            missing = {n for n, key in keys.items() if self.store.score(n, key) is None}
            if missing or missing_sets:
                try:
                    records = self._score_pair(unit, missing | missing_sets)
                except ImageError as error:
                    damaged = True
                    records = {}
                    listener.note(
                        f"{unit['variant']} · {unit['content']} × {unit['style']} has no scores: "
                        f"{error}. Delete the file and run the same command again."
                    )
                for name, record in records.items():
                    self.store.write_score(name, keys[name], record)
            for name, key in keys.items():
                rows += self._rows(name, self.store.score(name, key), unit, listener)
            listener.advanced()
        # a set that lacks a picture is another set
        made = {} if damaged else self.scorer.set_scores(missing_sets)
        for name, record in made.items():
            self.store.write_score(name, set_keys[name], record)
        whole = {**units[0], "content": "", "style": "", "seed": None}
        for name, key in set_keys.items():
            rows += self._rows(name, self.store.score(name, key), whole, listener)
        return rows

    def _score_pair(self, unit: Unit, names: set[str]) -> Mapping[str, dict[str, Any]]:
        # where it lies, whatever the record says: records may come from somebody else
        output = read_image(self.store.output_path(unit["method"], unit["key"]))
        return self.scorer.score_pair(
            Picture(to_tensor(output).to(self.device), "output", unit["output_sha256"]),
            self._picture(Role.CONTENT, unit["content"]),
            self._picture(Role.STYLE, unit["style"]),
            only=names,
        )

    def _picture(self, role: Role, name: str) -> Picture:
        card = self._card(role, name)
        pixels = to_tensor(read_image(self.store.root / card.file)).to(self.device)
        return Picture(pixels, name, card.sha256)

    def _rows(
        self, metric: str, record: Mapping[str, Any] | None, unit: Unit, listener: Listener
    ) -> list[dict[str, Any]]:
        if record is None:
            return []
        if "error" in record:
            listener.note(f"{metric} of {unit['variant']} has no value: {record['error']}")
            return []
        return [_row(unit, metric, part, value) for part, value in record["values"].items()]

    # -- keys -----------------------------------------------------------------------------

    def _metric_parts(self, name: str) -> dict[str, Any]:
        info = self.metrics[name].info
        return {
            "metric": name,
            "version": info.version,
            "source": registry.source_hash("metrics", name),
            "weights": {w.name: weights.checksum(w) for w in metric_weights(info)},
            "schema": SCHEMA,
        }

    def _inputs(self, unit: Unit) -> dict[str, str]:
        return {
            "output": unit["output_sha256"],
            "content": self._card(Role.CONTENT, unit["content"]).sha256,
            "style": self._card(Role.STYLE, unit["style"]).sha256,
        }

    def _card(self, role: Role, name: str) -> PictureCard:
        if (role, name) not in self.pictures:
            raise StoreError(
                f"{self.store.root / 'run.json'} knows no {role} picture '{printable(name)}', of "
                f"which plan.json speaks. {MEND}"
            )
        return self.pictures[role, name]

    def _pair_key(self, metric: str, unit: Unit) -> str:
        return key_of(self._identity[metric] | self._inputs(unit))

    def _set_key(self, metric: str, units: Iterable[Unit]) -> str:
        members = sorted(key_of(self._inputs(unit)) for unit in units)
        return key_of(self._identity[metric] | {"members": members})

    def _of_scope(self, scope: Scope) -> list[str]:
        return [name for name, card in self.usable.items() if card.scope == scope]

    def _groups(self) -> dict[tuple[str, int], list[Unit]]:
        """Return the finished units by method variant and size."""
        groups: dict[tuple[str, int], list[Unit]] = {}
        for unit in read_plan(self.store.root):
            record = None if "status" in unit else self.store.record(unit["method"], unit["key"])
            if record is not None and record["status"] == Status.DONE:
                entry = {**unit, "output_sha256": record["output_sha256"]}
                groups.setdefault((unit["variant"], unit["size"]), []).append(entry)
        return groups


def score_units(root: Path, device: str, listener: Listener) -> pd.DataFrame:
    """Score every finished unit of a run that has no score yet; return all tidy scores."""
    return ScoreStage(root, device).run(listener)


def timing_scores(
    scores: pd.DataFrame, timings: Iterable[Timing], cards: Mapping[str, MetricCard]
) -> pd.DataFrame:
    """Return the scores with those that timing metrics read off the timing records."""
    usable = [n for n, c in cards.items() if c.scope == Scope.TIMING and c.availability.ok]
    metrics = {name: registry.load("metrics", name)() for name in usable}
    rows = [
        _row(
            {
                "variant": timing.variant,
                "method": timing.method,
                "content": "",
                "style": "",
                "size": timing.size,
                "seed": None,
            },
            name,
            part,
            value,
        )
        for timing in timings
        for name, metric in metrics.items()
        for part, value in metric.compute(timing).items()
    ]
    added = pd.DataFrame(rows, columns=SCORE_COLUMNS)
    frames = [frame for frame in (scores, added) if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else scores


def _row(unit: Unit, metric: str, part: str, value: float | None) -> dict[str, Any]:
    return {
        "method": unit["variant"],
        "plugin": unit["method"],
        "content": unit["content"],
        "style": unit["style"],
        "size": unit["size"],
        "seed": unit["seed"],
        "metric": metric,
        "part": part,
        "value": float("nan") if value is None else float(value),
    }
