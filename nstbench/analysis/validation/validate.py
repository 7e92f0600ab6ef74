"""Tests metrics on pictures whose order is known.

:mod:`nstbench.analysis.validation.picture_series` makes or reads the sweeps, and
:mod:`nstbench.analysis.validation.ratings` compares the scores with the order they should have.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nstbench.analysis.validation.case_ratings import (
    KNOWN_COLUMNS,
    PEOPLE_COLUMNS,
    PROGRAM_COLUMNS,
    WITHIN_COLUMNS,
)
from nstbench.analysis.validation.picture_series import (
    Source,
    Sweep,
    controlled_sweeps,
    folder_sweeps,
)
from nstbench.analysis.validation.ratings import rate, summarise
from nstbench.analysis.validation.verdicts import VERDICT_COLUMNS, verdicts
from nstbench.core.cards import MetricCard
from nstbench.core.errors import UsageError
from nstbench.core.records import Scope
from nstbench.core.text import printable
from nstbench.plan.listener import Listener

if TYPE_CHECKING:
    import torch

    from nstbench.contracts import Metric, Picture
    from nstbench.score.scorer import Record, Scorer

COST_REPEATS = 5

SCORE_COLUMNS = ["kind", "base", "content", "style", "seed", "steps", "level", "metric", "part",
                 "value"]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Validation:
    """The scores of metrics on sweeps, and the ratings that follow from them.

    Attributes:
        scores: tidy, one row per value: ``kind, base, content, style, seed, steps, level,
            metric, part, value`` (see
            :class:`nstbench.analysis.validation.picture_series.Sweep`; ``steps`` is the number
            of its outputs). A set metric scores one level of all sweeps with the same kind and
            number of steps at once; ``content`` and ``style`` are empty then.
        by_kind: one row per metric, part and kind of sweep that it has to order:
            ``measures`` (``"content"``, ``"style"`` or ``"both"``), ``sweeps``, ``tau`` (mean
            Kendall tau-b against the order it should find: 1 is perfect), ``low, high``
            (95 % interval over styles), ``sensitivity`` (median over the steps of the mean
            step divided by its standard deviation over pairs: 1 means that a step shows on
            most single pairs) and ``seed_spread`` (standard deviation over seeds as a share
            of the range of the sweep).
        summary: one row per metric and part: the means of these over the kinds, the ``worst``
            kind with its tau, ``ms`` per image when the metric is computed alone, and
            ``trusted``: tau is at least 0.8 on every kind (missing for metrics of ``"both"``,
            for which no order is certain).
        unavailable: metric -> the reason why it could not be tested.
        agreement: rank correlations between metrics over the outputs of a run
            (:func:`nstbench.analysis.validation.agreement.run_agreement`); empty without a run.
        published: shares of right answers on published outputs
            (:func:`nstbench.analysis.validation.case_ratings.rate_cases`); empty without a folder.
        programs: distances of programs of one method and of different methods
            (:func:`nstbench.analysis.validation.programs.program_noise`).
        people: agreement with votes
            (:func:`nstbench.analysis.validation.people.agreement_with_people`); empty without.
        within: agreement within one style, content or method
            (:func:`nstbench.analysis.validation.people.agreement_within`).
        verdicts: which metric to trust for what
            (:func:`nstbench.analysis.validation.verdicts.verdicts`).
    """

    scores: pd.DataFrame
    by_kind: pd.DataFrame
    summary: pd.DataFrame
    unavailable: Mapping[str, str]
    agreement: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["size"]))
    published: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=KNOWN_COLUMNS))
    programs: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PROGRAM_COLUMNS))
    people: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PEOPLE_COLUMNS))
    within: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=WITHIN_COLUMNS))
    verdicts: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=VERDICT_COLUMNS))

    def with_verdicts(self, cards: Mapping[str, MetricCard]) -> Validation:
        """Return a copy with ``verdicts`` on the given metrics, and the reasons of unusable ones.

        Args:
            cards: metric name -> card; timing metrics are left out.
        """
        known = (self.by_kind, self.published, self.people, self.programs)
        return replace(
            self,
            verdicts=verdicts(cards, *known),
            unavailable=_blocked(cards) | dict(self.unavailable),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the tables and the reasons as plain data for JSON; NaN becomes ``None``."""
        names = ("verdicts", "summary", "by_kind", "agreement", "published", "programs", "people",
                 "within")  # fmt: skip
        tables = {name: getattr(self, name) for name in names}
        rows = {
            name: frame.astype(object).where(frame.notna(), None).to_dict("records")
            for name, frame in tables.items()
        }
        return {**rows, "unavailable": dict(self.unavailable)}


def validate(
    cards: Mapping[str, MetricCard],
    sources: Sequence[Source],
    folders: Sequence[Path] = (),
    *,
    size: int = 256,
    seeds: int = 3,
    device: str = "cpu",
    listener: Listener | None = None,
) -> Validation:
    """Score controlled sweeps of all sources, and folder sweeps, with every usable metric.

    The content and style of a folder sweep are a source of controlled sweeps, too. All
    sweeps are held in memory: about 13 MB per source at 256 px and three seeds.

    Args:
        cards: the metrics to test; timing metrics are left out.
        sources: pairs of pictures
            (:func:`nstbench.analysis.validation.picture_series.make_sources`).
        folders: folders with content, style and numbered outputs.
        size: side of the square that folder sweeps are scaled to.
        seeds: number of noise sweeps per picture.
        device: torch device of the networks.
        listener: receives progress and notes.

    Raises:
        UsageError: if a folder is not a sweep or is given twice, or if two sources have the
            same names.
        ImageError: if a picture of a folder cannot be read.
    """
    import torch

    from nstbench.plugins import registry

    listener = listener or Listener()
    read = folder_sweeps([Path(folder) for folder in folders], size)
    sources = [*sources, *(sweep.source for sweep in read)]
    _refuse_equal_names(sources)
    sweeps = [s for source in sources for s in controlled_sweeps(source, seeds)] + read
    asked = {name: card for name, card in cards.items() if card.scope != Scope.TIMING}
    usable = [name for name, card in asked.items() if card.availability.ok]
    metrics: dict[str, Metric] = {name: registry.load("metrics", name)() for name in usable}
    place = torch.device(device)
    scores, problems = score_sweeps(metrics, sweeps, place, listener)
    costs = image_costs(metrics, sources[0], place) if sources else {}
    by_kind = rate(scores, asked)
    scored = set(scores["metric"])
    silent = {
        name: problems.get(name, "no sweep to score") for name in usable if name not in scored
    }
    return Validation(
        scores=scores,
        by_kind=by_kind.drop(columns="styles"),
        summary=summarise(by_kind, asked, costs),
        unavailable=_blocked(cards) | silent,
    )


def _blocked(cards: Mapping[str, MetricCard]) -> dict[str, str]:
    """Return metric -> the reason why it cannot be used."""
    asked = {name: card for name, card in cards.items() if card.scope != Scope.TIMING}
    return {n: c.availability.reason for n, c in asked.items() if not c.availability.ok}


def _refuse_equal_names(sources: Sequence[Source]) -> None:
    counts = Counter((source.content_name, source.style_name) for source in sources)
    for (content, style), count in counts.items():
        if count > 1:
            raise UsageError(
                f"{count} pairs of pictures are called '{printable(content)}' and "
                f"'{printable(style)}', so their scores would be mixed up. Give each pair of "
                "names once."
            )


# --- scoring -----------------------------------------------------------------------------


def score_sweeps(
    metrics: Mapping[str, Metric],
    sweeps: Sequence[Sweep],
    device: torch.device,
    listener: Listener,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Score pair and set metrics on all sweeps.

    Returns:
        Tidy scores (``Validation.scores``), and metric -> the last reason for a missing value.
    """
    from nstbench.score.scorer import Scorer

    scorer = Scorer(metrics, device)
    problems: dict[str, str] = {}
    listener.stage("validate", sum(len(sweep.outputs) for sweep in sweeps))
    rows: list[dict[str, Any]] = []
    # A set metric scores one level of all sweeps of a kind together. Sweeps with another number
    # of steps are a separate group, because their levels have another meaning.
    ordered = sorted(sweeps, key=_kind_key)
    for _, group in itertools.groupby(ordered, key=_kind_key):
        members = list(group)
        for level in range(len(members[0].outputs)):
            scorer.reset()
            for sweep in members:
                rows += _rows(_score(scorer, sweep, level), _place(sweep, level), problems)
                listener.advanced()
            whole = _place(members[0], level) | {"content": "", "style": ""}
            rows += _rows(scorer.set_scores(), whole, problems)
    for metric, reason in problems.items():
        listener.note(f"{metric} has no value on some sweeps: {reason}")
    return pd.DataFrame(rows, columns=SCORE_COLUMNS), problems


def _kind_key(sweep: Sweep) -> tuple[str, str, int, int]:
    return sweep.kind, sweep.base, sweep.seed, len(sweep.outputs)


def _place(sweep: Sweep, level: int) -> dict[str, Any]:
    return {
        "kind": sweep.kind,
        "base": sweep.base,
        "content": sweep.source.content_name,
        "style": sweep.source.style_name,
        "seed": sweep.seed,
        "steps": len(sweep.outputs),
        "level": level,
    }


def _score(scorer: Scorer, sweep: Sweep, level: int) -> dict[str, Record]:
    source, device = sweep.source, scorer.device
    return scorer.score_pair(
        picture(sweep.outputs[level], "output", device),
        picture(source.content, source.content_name, device),
        picture(source.style, source.style_name, device),
    )


def _rows(
    records: Mapping[str, Record], place: Mapping[str, Any], problems: dict[str, str]
) -> list[dict[str, Any]]:
    rows = []
    for metric, record in records.items():
        if "error" in record:
            problems[metric] = record["error"]
            continue
        for part, value in record["values"].items():
            rows.append({**place, "metric": metric, "part": part, "value": value})
    return rows


def picture(pixels: np.ndarray, name: str, device: torch.device) -> Picture:
    """Return pixels as a picture on a device."""
    from nstbench.contracts import Picture
    from nstbench.pictures.picture import pixel_hash, to_tensor

    return Picture(to_tensor(pixels).to(device), name, pixel_hash(pixels))


def image_costs(
    metrics: Mapping[str, Metric], source: Source, device: torch.device
) -> dict[str, float]:
    """Return the milliseconds each metric takes for one output when computed alone.

    Content and style are prepared before, as in a run. Passes through networks count, although
    a run shares them between metrics. The result is the median of five after a warm-up.
    """
    from nstbench.generate.clock import sample
    from nstbench.score.feature_bank import FeatureBank
    from nstbench.score.scorer import Scorer

    bank = FeatureBank(device)
    pictures = (
        picture(source.content, source.content_name, device),
        picture(source.style, source.style_name, device),
    )
    output = picture((source.content // 2 + source.style // 2), "output", device)
    costs = {}
    for name, metric in metrics.items():
        scorer = Scorer({name: type(metric)()}, device, bank)
        scorer.score_pair(output, *pictures)
        seconds = sample(partial(scorer.score_pair, output, *pictures), device, COST_REPEATS)
        costs[name] = 1000 * float(np.median(seconds))
    return costs
