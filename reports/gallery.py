"""The gallery: content, style and the output of each method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from nstbench.contracts import Flexibility, Role, Section, SectionInfo
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.core.records import Status
from nstbench.report.parts import numbers, pictures, templates
from nstbench.report.parts.rows import (
    main_size,
    method_ids,
    pair_values,
    shorten,
)
from nstbench.store.store import MAP_KINDS, map_path

LISTED = 3
"""Number of pairs in each list of highlights."""

STATIC_OUTPUTS = 8
"""Outputs per row of the gallery that is shown without a script."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class Highlight:
    """A short list of pairs, with the criterion and one note per pair."""

    title: str
    reason: str
    pairs: list[Pair]
    notes: list[str]


class Gallery(Section):
    """Selection of any pair, comparison slider and blind mode; a static grid without a script."""

    info: ClassVar[SectionInfo] = SectionInfo("Gallery", order=50)

    def html(self, board: Board) -> str:
        """Return the gallery; empty if there is no output."""
        units = _shown_units(board)
        done = units[units["status"] == Status.DONE]
        if done.empty:
            return ""
        quality = board.quality
        highlights = _highlights(board, done, quality)
        maps = _error_maps(board, done)
        units, total = _within_limit(units, highlights, 3 if maps else 1)
        files = {(p.role, p.name): p.file for p in board.pictures}
        values = _quality_by_output(board, quality)
        ids = method_ids(board)
        outputs = [
            _output(unit, ids, values, quality) | {"maps": maps.get(unit["output"], {})}
            for unit in units.to_dict("records")
        ]
        return templates.render(
            "gallery.html",
            contents=_options(units["content"], Role.CONTENT, files),
            styles=_options(units["style"], Role.STYLE, files),
            methods=_methods(board, units, ids),
            outputs=outputs,
            maps=bool(maps),
            highlights=highlights,
            static=_static(highlights, _by_rank(outputs, board, ids), files),
            quality=quality,
            subset=_subset_note(units, total),
            size=main_size(board),
            several=board.units["size"].nunique() > 1 or board.units["seed"].nunique() > 1,
            picture_note=pictures.NOTE,
        )


def _shown_units(board: Board) -> pd.DataFrame:
    """Return one unit per method and pair: the main size and the smallest seed."""
    units = board.units[board.units["size"] == main_size(board)]
    return units.sort_values("seed", kind="stable").drop_duplicates(["method", "content", "style"])


def _highlights(board: Board, done: pd.DataFrame, quality: MetricCard | None) -> list[Highlight]:
    first = [Highlight("First pairs", "in the order of the run", _pairs(done)[:LISTED], [""] * 3)]
    values = pair_values(board, quality)
    values = values[values["size"] == main_size(board)]
    ranked = [m for m, card in board.methods.items() if card.flexibility != Flexibility.BASELINE]
    values = values[values["method"].isin(ranked)]
    if quality is None or values.empty:
        return first
    grouped = values.groupby(["content", "style"])["value"]
    mean, spread = grouped.mean(), grouped.std(ddof=0)
    easy = mean.sort_values(ascending=not quality.higher_is_better, kind="stable")
    lists = [
        _highlight("Best pairs", f"by mean {quality.title} of the methods", easy),
        _highlight("Worst pairs", f"by mean {quality.title} of the methods", easy[::-1]),
    ]
    if spread.max() > 0:
        order = spread.sort_values(ascending=False, kind="stable")
        reason = f"by standard deviation of {quality.title} between methods"
        lists.append(_highlight("Highest-spread pairs", reason, order))
    return lists


def _highlight(title: str, reason: str, values: pd.Series) -> Highlight:
    top = values.iloc[:LISTED]
    return Highlight(title, reason, list(top.index), [numbers.significant(v) for v in top])


def _pairs(units: pd.DataFrame) -> list[Pair]:
    unique = units[["content", "style"]].drop_duplicates()
    return list(unique.itertuples(index=False, name=None))


def _error_maps(board: Board, done: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return output -> kind -> file of the error maps drawn by ``nstbench maps``."""
    maps: dict[str, dict[str, str]] = {}
    for output in done["output"]:
        paths = {kind: map_path(output, kind) for kind in MAP_KINDS}
        drawn = {kind: p.as_posix() for kind, p in paths.items() if (board.root / p).is_file()}
        if drawn:
            maps[output] = drawn
    return maps


def _within_limit(
    units: pd.DataFrame, highlights: list[Highlight], each: int
) -> tuple[pd.DataFrame, int]:
    """Return the units of as many pairs as fit into a page, and the number of all pairs.

    Args:
        units: the units that could be shown.
        highlights: lists whose pairs are kept first.
        each: number of pictures per output, including error maps.
    """
    pairs = _pairs(units)
    limit = max(LISTED, pictures.MAX_PICTURES // max(1, each * units["method"].nunique()))
    if len(pairs) <= limit:
        return units, len(pairs)
    kept = list(dict.fromkeys(pair for h in highlights for pair in h.pairs))[:limit]
    rest = [pair for pair in pairs if pair not in set(kept)]
    step = len(rest) / max(1, limit - len(kept))
    kept += [rest[int(i * step)] for i in range(limit - len(kept))]
    chosen = set(kept)
    mask = [pair in chosen for pair in zip(units["content"], units["style"], strict=True)]
    return units[mask], len(pairs)


def _subset_note(units: pd.DataFrame, total: int) -> str:
    shown = len(_pairs(units))
    if shown == total:
        return ""
    return (
        f"To keep the page below 20 MB, it contains {shown} of {total} pairs: those listed above "
        "and an even selection of the others. The run folder contains all outputs."
    )


def _quality_by_output(board: Board, quality: MetricCard | None) -> dict[tuple, float]:
    values = pair_values(board, quality)
    keys = zip(values["method"], values["content"], values["style"], values["size"],
               values["seed"], strict=True)  # fmt: skip
    return dict(zip(keys, values["value"].astype(float), strict=True))


def _output(
    unit: dict, ids: dict[str, str], values: dict[tuple, float], quality: MetricCard | None
) -> dict:
    key = (unit["method"], unit["content"], unit["style"], unit["size"], unit["seed"])
    value = values.get(key, math.nan)
    done = unit["status"] == Status.DONE
    return {
        "content": unit["content"],
        "style": unit["style"],
        "method": ids[unit["method"]],
        "label": unit["method"],
        "picture": unit["output"] if done else "",
        "status": unit["status"],
        "value": "" if math.isnan(value) else repr(value),
        "text": f"{quality.title} {numbers.significant(value)}" if quality else "",
    }


def _options(names: pd.Series, role: Role, files: dict[tuple[str, str], str]) -> list[dict]:
    return [
        {
            "name": name,
            "short": shorten(name, 36),
            "picture": files.get((role.value, name), ""),
        }
        for name in dict.fromkeys(names)
    ]


def _methods(board: Board, units: pd.DataFrame, ids: dict[str, str]) -> list[dict]:
    present = set(units["method"])
    order = [m for m in dict.fromkeys(board.leaderboard["method"]) if m in present]
    cards = board.methods
    return [
        {
            "id": ids[m],
            "label": m,
            "short": shorten(m, 36),
            "baseline": m in cards and cards[m].flexibility == Flexibility.BASELINE,
        }
        for m in order
    ]


def _by_rank(outputs: list[dict], board: Board, ids: dict[str, str]) -> list[dict]:
    order = {ids[m]: i for i, m in enumerate(dict.fromkeys(board.leaderboard["method"]))}
    return sorted(outputs, key=lambda output: order.get(output["method"], len(order)))


def _static(
    highlights: list[Highlight], outputs: list[dict], files: dict[tuple[str, str], str]
) -> list[dict]:
    """Return the rows that are shown without a script: one pair per list, without repeats."""
    rows: list[dict] = []
    seen: set[Pair] = set()
    for highlight in highlights:
        pair = next((p for p in highlight.pairs if p not in seen), None)
        if pair is None:
            continue
        seen.add(pair)
        shown = [o for o in outputs if (o["content"], o["style"]) == pair and o["picture"]]
        rows.append(
            {
                "title": highlight.title.removesuffix("s"),
                "content": pair[0],
                "style": pair[1],
                "content_file": files.get((Role.CONTENT.value, pair[0]), ""),
                "style_file": files.get((Role.STYLE.value, pair[1]), ""),
                "outputs": shown[:STATIC_OUTPUTS],
            }
        )
    return rows
