"""Arranges tidy scores in arrays: one block of numbers per image size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nstbench.analysis.stats import Floats, Layout
from nstbench.core.cards import MetricCard
from nstbench.core.records import GAIN, Scope

Column = tuple[str, str]
"""Metric and part; the part is empty for the metric's own value."""

UNIT = ["style", "content", "seed"]


@dataclass(frozen=True, eq=False, slots=True)
class ScoreTable:
    """All pair scores of one size.

    Attributes:
        size: image size in pixels.
        methods: labels along the second axis, sorted.
        columns: metric and part along the first axis.
        values: float64 (columns, methods, units); NaN where there is no finite score.
        layout: how the units nest in pairs and styles.
        seeds: seed of each unit, float64 (units,).
    """

    size: int
    methods: tuple[str, ...]
    columns: tuple[Column, ...]
    values: Floats
    layout: Layout
    seeds: Floats

    def of(self, column: Column) -> Floats:
        """Return the scores (methods, units) of one column."""
        return np.asarray(self.values[self.columns.index(column)], dtype=np.float64)


def pair_columns(metrics: Mapping[str, MetricCard]) -> list[Column]:
    """Return the columns of all pair metrics, in table order, without their parts."""
    return [(name, "") for name, card in metrics.items() if card.scope == Scope.PAIR]


def gain_columns(scores: pd.DataFrame, metrics: Mapping[str, MetricCard]) -> list[Column]:
    """Return the columns of the gains that the scores have, in table order."""
    present = set(scores.loc[scores["part"] == GAIN, "metric"])
    return [(name, GAIN) for name in metrics if name in present]


def pair_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of pair metrics; those of set and timing metrics name no content."""
    return scores[scores["content"].fillna("").astype(str) != ""]


def score_tables(scores: pd.DataFrame, columns: Sequence[Column]) -> Iterator[ScoreTable]:
    """Yield one table per size, small sizes first.

    Args:
        scores: tidy scores (see :class:`nstbench.core.board.Board`), in any row order.
        columns: which metrics and parts to take; columns without a row are all NaN.

    Raises:
        ValueError: if a method has two values for the same unit, metric and part.
    """
    rows = pair_rows(scores)
    wanted = pd.MultiIndex.from_tuples(columns, names=["metric", "part"])
    code = wanted.get_indexer(pd.MultiIndex.from_frame(rows[["metric", "part"]]))
    seed = rows["seed"].astype("float64")
    rows = rows.assign(column=code, seed=seed)[code >= 0]
    for size, block in rows.groupby("size", sort=True):
        yield _table(int(str(size)), block, tuple(columns))


def _table(size: int, block: pd.DataFrame, columns: tuple[Column, ...]) -> ScoreTable:
    """Arrange the rows of one size."""
    units = block[UNIT].drop_duplicates().sort_values(UNIT)
    unit = pd.MultiIndex.from_frame(units).get_indexer(pd.MultiIndex.from_frame(block[UNIT]))
    methods = sorted(block["method"].unique())
    method = pd.Index(methods).get_indexer(block["method"])
    values = np.full((len(columns), len(methods), len(units)), np.nan)
    place = np.ravel_multi_index((block["column"].to_numpy(), method, unit), values.shape)
    _refuse_duplicates(block, place)
    numbers = block["value"].to_numpy(dtype=np.float64, na_value=np.nan)
    values.flat[place] = np.where(np.isfinite(numbers), numbers, np.nan)
    layout = Layout.of(units["style"].to_numpy(), units["content"].to_numpy())
    seeds = units["seed"].to_numpy(dtype=np.float64)
    return ScoreTable(size, tuple(methods), columns, values, layout, seeds)


def _refuse_duplicates(block: pd.DataFrame, place: np.ndarray) -> None:
    """Raise if two rows claim the same place; averaging them would hide a broken store."""
    _, first = np.unique(place, return_index=True)
    if len(first) < len(place):
        again = np.setdiff1d(np.arange(len(place)), first)[0]
        row = block.iloc[again][["method", *UNIT, "size", "metric", "part"]].to_dict()
        raise ValueError(f"the score table holds two values for {row}")
