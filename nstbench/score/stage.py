"""Score the outputs of a run that have no score yet; each output is read once.

While one output is scored, the next ones are decoded and earlier scores are written. Each score
is a file that is synchronised to the disk, which is slow.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from nstbench import nn
from nstbench.contracts import Metric, MetricInfo, Picture
from nstbench.core.cards import PictureCard
from nstbench.core.errors import ImageError, StoreError
from nstbench.core.glibc_malloc import freed_memory_kept
from nstbench.core.records import GAIN, Role, Scope, Status
from nstbench.core.text import printable
from nstbench.nn.weights import cache
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import to_tensor
from nstbench.plan.listener import Listener
from nstbench.plan.plan_file import read_plan
from nstbench.plan.variants import metric_weights
from nstbench.plugins import registry
from nstbench.plugins.source_hash import module_files, source_hash
from nstbench.score import feature_bank
from nstbench.score.gains import Gains
from nstbench.score.missing_values import SET_REASON, MissingValues
from nstbench.score.score_rows import score_row
from nstbench.score.score_writer import WRITERS, ScoreWriter
from nstbench.score.scorer import NOT_FINITE, Scorer
from nstbench.store.atomic_files import RERUN
from nstbench.store.keys import SCHEMA, key_of
from nstbench.store.run_info import SCORE_COLUMNS, read_cards, read_info, write_missing
from nstbench.store.store import Store

Unit = Mapping[str, Any]
Record = Mapping[str, Any]

READ_AHEAD = 4
"""Number of outputs that are decoded in advance."""

PICTURES = 32
"""Number of contents and styles whose pixels are kept; the feature bank keeps their features."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A unit, and its output if that has to be scored.

    Attributes:
        unit: the unit, as in the plan.
        keys: pair metric -> key of its score.
        known: pair metric -> stored record, if there is one.
        wanted: names of the metrics to compute.
        output: pixels of the output, uint8 (H, W, 3), being decoded; ``None`` if not needed.
    """

    unit: Unit
    keys: Mapping[str, str]
    known: Mapping[str, Record]
    wanted: frozenset[str]
    output: Future[np.ndarray] | None


@dataclass(slots=True)
class _Group:
    """The finished units of one method variant at one size.

    ``pairs`` are the planned (content, style, seed) of that size, over all methods.
    """

    pairs: set[tuple[str, str, int]]
    done: list[Unit] = field(default_factory=list)


class ScoreStage:
    """Scores one run folder.

    Args:
        root: run folder with ``run.json``, ``plan.json`` and outputs.
        device: torch device of the feature networks.
    """

    def __init__(self, root: Path, device: str) -> None:
        self.store = Store(root)
        self.device = torch.device(device)
        cards = read_cards(root, read_info(root))
        self.cards, pictures = cards.metrics, cards.pictures
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
        self._picture = lru_cache(PICTURES)(self._read_picture)
        self.missing = MissingValues()
        self._seen: dict[tuple[str, str], Record] = {}
        self.gains = Gains(self.scorer, self.metrics, self._picture, self._pair_key, self._known)
        self._deadline, self._late = math.inf, False

    def run(self, listener: Listener, seconds: float = math.inf) -> pd.DataFrame:
        """Score every finished unit without a score; return all tidy scores, also of sets.

        It can be called again when more units are finished.

        Args:
            listener: receives progress.
            seconds: score no further output after this time. The outputs that remain have the
                scores that exist.
        """
        self._deadline = time.monotonic() + seconds
        self.missing = MissingValues()
        groups = self._groups()
        listener.stage("score", sum(len(group.done) for group in groups.values()))
        rows: list[dict[str, Any]] = []
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(WRITERS) as pool:
            writer = ScoreWriter(self.store, pool)
            for group in groups.values():
                if group.done:
                    rows += self._score_group(group, reader, writer, listener)
            writer.finish()
        write_missing(self.store, self.missing.rows)
        for note in self.missing.notes():
            listener.note(note)
        return pd.DataFrame(rows, columns=SCORE_COLUMNS)

    def close(self) -> None:
        """Free networks, features and pictures now, without waiting for garbage collection."""
        self.scorer.bank.clear()
        self._picture.cache_clear()

    # -- one method variant at one size ---------------------------------------------------

    def _score_group(
        self,
        group: _Group,
        reader: ThreadPoolExecutor,
        writer: ScoreWriter,
        listener: Listener,
    ) -> list[dict[str, Any]]:
        units = group.done
        set_keys = {name: self._set_key(name, units) for name in self._of_sets(group)}
        sets = self._known(set_keys)
        missing_sets = set_keys.keys() - sets.keys()
        self.scorer.reset(missing_sets)
        rows: list[dict[str, Any]] = []
        damaged = self._late = False
        for work in self._read_ahead(units, missing_sets, reader):
            unit = work.unit
            name = f"{unit['method']} · {unit['content']} × {unit['style']}"
            listener.began(name)
            records = dict(work.known)
            try:
                made = self._score_pair(work)
            except ImageError as error:
                damaged, made = True, {}
                self.missing.add(
                    sorted(work.wanted),
                    unit,
                    f"{error}. Delete the file and run the same command again",
                )
            for metric, record in made.items():
                writer.write(metric, work.keys[metric], record)
                records[metric] = record
            for metric, score in records.items():
                rows += self._rows(metric, score, unit)
            gains = {} if self._late else self.gains.of(unit, records, writer.write)
            rows += [score_row(unit, metric, GAIN, value) for metric, value in gains.items()]
            listener.advanced()
        # set metrics need every output; skip them if one is unreadable or has to wait
        of_set = {} if damaged or self._late else self.scorer.set_scores(missing_sets)
        for metric, record in of_set.items():
            writer.write(metric, set_keys[metric], record)
            sets[metric] = record
        whole = _whole(units[0])
        for metric, score in sets.items():
            rows += self._rows(metric, score, whole)
        return rows

    def _of_sets(self, group: _Group) -> list[str]:
        """Return the set metrics to compute; none if outputs are missing."""
        names = self._of_scope(Scope.SET)
        done, planned = len(group.done), len(group.pairs)
        if names and done < planned:
            reason = f"{done} of {planned} outputs are done; {SET_REASON}"
            self.missing.add(names, _whole(group.done[0]), reason)
            return []
        return names

    def _read_ahead(
        self, units: Iterable[Unit], missing_sets: Iterable[str], reader: ThreadPoolExecutor
    ) -> Iterator[_Work]:
        """Yield the units in order, and decode the outputs of the next ones meanwhile."""
        ahead: deque[_Work] = deque()
        for unit in units:
            keys = {name: self._pair_key(name, unit) for name in self._of_scope(Scope.PAIR)}
            known = self._known(keys)
            wanted = frozenset(keys.keys() - known.keys()).union(missing_sets)
            if wanted and time.monotonic() >= self._deadline:
                wanted, self._late = frozenset(), True
            # this run's own path, because the record may have been copied from another run
            path = self.store.output_path(unit["plugin"], unit["key"])
            output = reader.submit(read_image, path) if wanted else None
            ahead.append(_Work(unit, keys, known, wanted, output))
            if len(ahead) > READ_AHEAD:
                yield ahead.popleft()
        yield from ahead

    def _known(self, keys: Mapping[str, str]) -> dict[str, Record]:
        """Return the stored records: metric -> record."""
        for place in keys.items():
            if place not in self._seen and (record := self.store.score(*place)) is not None:
                self._seen[place] = record
        found = [place for place in keys.items() if place in self._seen]
        return {name: self._seen[name, key] for name, key in found}

    def _score_pair(self, work: _Work) -> Mapping[str, dict[str, Any]]:
        if work.output is None:
            return {}
        unit, pixels = work.unit, to_tensor(work.output.result())
        return self.scorer.score_pair(
            Picture(pixels.to(self.device), "output", unit["output_sha256"]),
            self._picture(Role.CONTENT, unit["content"]),
            self._picture(Role.STYLE, unit["style"]),
            only=work.wanted,
        )

    def _read_picture(self, role: Role, name: str) -> Picture:
        card = self._card(role, name)
        pixels = to_tensor(read_image(self.store.root / card.file)).to(self.device)
        return Picture(pixels, name, card.sha256)

    def _rows(self, metric: str, record: Record, unit: Unit) -> list[dict[str, Any]]:
        if "error" in record:
            reason = self._reason(record, unit)
            self.missing.add((metric,), unit, reason)
            if record.get("again"):
                self.missing.again(reason)
            return []
        return [score_row(unit, metric, part, value) for part, value in record["values"].items()]

    def _reason(self, record: Record, unit: Unit) -> str:
        """Return why a metric has no value; the reason is the same for all metrics of a cause."""
        reason = str(record["error"]).rstrip(".")
        if not reason.endswith(NOT_FINITE):
            return reason
        inputs = self._inputs(unit) if unit["content"] else {}
        same = bool(inputs) and inputs["content"] == inputs["style"]
        because = ", because content and style are the same picture" if same else ""
        return f"the value is {NOT_FINITE}{because}"

    # -- keys -----------------------------------------------------------------------------

    def _metric_parts(self, name: str) -> dict[str, Any]:
        info = self.metrics[name].info
        return {
            "metric": name,
            "version": info.version,
            "source": source_hash(registry.find("metrics", name), feature_files(info)),
            "weights": {w.name: cache.checksum(w) for w in metric_weights(info)},
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
                f"{self.store.root / 'run.json'} does not contain the {role} picture "
                f"'{printable(name)}', which plan.json names. {RERUN}"
            )
        return self.pictures[role, name]

    def _pair_key(self, metric: str, unit: Unit) -> str:
        return key_of(self._identity[metric] | self._inputs(unit))

    def _set_key(self, metric: str, units: Iterable[Unit]) -> str:
        members = sorted(key_of(self._inputs(unit)) for unit in units)
        return key_of(self._identity[metric] | {"members": members})

    def _of_scope(self, scope: Scope) -> list[str]:
        return [name for name, card in self.usable.items() if card.scope == scope]

    def _groups(self) -> dict[tuple[str, int], _Group]:
        """Return the units by method variant and size."""
        groups: dict[tuple[str, int], _Group] = {}
        pairs: dict[int, set[tuple[str, str, int]]] = {}
        for unit in read_plan(self.store.root):
            of_size = pairs.setdefault(unit["size"], set())
            of_size.add((unit["content"], unit["style"], unit["seed"]))
            group = groups.setdefault((unit["method"], unit["size"]), _Group(of_size))
            record = None if "status" in unit else self.store.record(unit["plugin"], unit["key"])
            if record is not None and record.status is Status.DONE:
                entry = {**unit, "output_sha256": record.output_sha256}
                group.done.append(entry)
        return groups


def feature_files(info: MetricInfo) -> tuple[Path, ...]:
    """Return the files of the code that passes pictures and features to a metric.

    A metric names its networks and does not import them, so their code is added here. The code
    of networks is left out for metrics that read no features.
    """
    without = () if info.features else (nn.__name__,)
    return module_files(feature_bank.__name__, without)


def score_units(root: Path, device: str, listener: Listener) -> pd.DataFrame:
    """Score every finished unit of a run that has no score yet; return all tidy scores."""
    stage = ScoreStage(root, device)
    with freed_memory_kept():
        try:
            return stage.run(listener)
        finally:
            stage.close()


def _whole(unit: Unit) -> dict[str, Any]:
    """Return a unit that stands for all outputs of its method."""
    return {**unit, "content": "", "style": "", "seed": None}
