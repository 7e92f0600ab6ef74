"""Which numbers to trust: do other norms, other metrics, other networks say the same?"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from nstbench.analysis import robustness
from nstbench.analysis.ranking import done_scores
from nstbench.analysis.validation.agreement import basis
from nstbench.contracts import Scope, Section, SectionInfo
from nstbench.core.board import Board
from nstbench.report.parts import numbers, standings, templates
from nstbench.report.parts import rows as tables
from nstbench.store.atomic_files import read_json

VALIDATION = "validation.json"
"""File of a run folder that ``nstbench validate --out`` has written."""

NORM_NAMES = {1.0: "sum (default)", 2.0: "distance", 4.0: "p = 4", math.inf: "worse half"}


class Trust(Section):
    """Rank sensitivity, other rankings, tests, agreement between metrics, home advantage."""

    info: ClassVar[SectionInfo] = SectionInfo("Which numbers to trust", "html", order=65)

    def html(self, board: Board) -> str:
        """Return the tables; empty if there are too few scores to compare anything."""
        size = tables.main_size(board)
        scores = done_scores(board.scores, board.units)
        scores = scores[scores["size"] == size]
        sensitivity = _sensitivity(board, scores)
        agreement = _agreement(board, scores)
        home = _home(board, scores)
        others, rivals = _others(board, size), _rivals(board, size)
        validation = _validation(board)
        if not (sensitivity or others or rivals or agreement or home or validation):
            return ""
        return templates.render(
            "trust.html",
            sensitivity=sensitivity,
            others=others,
            rivals=rivals,
            agreement=agreement,
            home=home,
            validation=validation,
            file=VALIDATION,
            quality=board.quality,
            size=size,
            short=tables.short,
        )


def _validation(board: Board) -> dict[str, Any] | None:
    """Return what ``nstbench validate`` found, if its result lies in the run folder."""
    path = board.root / VALIDATION
    if not path.is_file():
        return None
    data = read_json(path)
    rows = data.get("summary") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(r, dict) and "metric" in r for r in rows):
        raise ValueError(f"{path} is no result of nstbench validate --out; remove it")
    order = {name: place for place, name in enumerate(board.metrics)}
    mine = sorted((r for r in rows if r["metric"] in order), key=lambda r: order[r["metric"]])
    shown = [_validated(board, row) for row in mine]
    doubtful = [row["title"] for row in shown if row["verdict"] == "no"]
    asked = {row["metric"] for row in mine}
    cards = tables.measured_metrics(board)
    unasked = [c.title for c in cards if c.scope != Scope.TIMING and c.name not in asked]
    return {"rows": shown, "doubtful": doubtful, "unasked": unasked} if shown else None


def _validated(board: Board, row: dict[str, Any]) -> dict[str, str]:
    def number(key: str) -> float:
        return math.nan if row.get(key) is None else float(row[key])

    part = f", {row['part']}" if row.get("part") else ""
    low, high = number("low"), number("high")
    between = f"[{numbers.fixed(low, 2)}, {numbers.fixed(high, 2)}]"
    trusted = row.get("trusted")
    worst = numbers.fixed(number("worst_tau"), 2)
    return {
        "title": board.metrics[row["metric"]].title + part,
        "measures": str(row.get("measures", "")),
        "tau": numbers.fixed(number("tau"), 2),
        "interval": between if math.isfinite(low) else "",
        "worst": f"{row['worst']} ({worst})" if row.get("worst") else numbers.DASH,
        "sensitivity": numbers.significant(number("sensitivity"), 2),
        "verdict": "no order is certain" if trusted is None else "yes" if trusted else "no",
    }


def _order(board: Board) -> list[str]:
    return list(dict.fromkeys(board.leaderboard["method"]))


def _sensitivity(board: Board, scores: pd.DataFrame) -> dict[str, Any] | None:
    """Return the ranks under other norms and weights of the two errors."""
    content, style = board.metric_with_role("content"), board.metric_with_role("style")
    if content is None or style is None or content.higher_is_better or style.higher_is_better:
        return None
    quality = "" if board.quality is None else board.quality.name
    table = robustness.sensitivity(scores, content.name, style.name, quality)
    if table["method"].nunique() < 2:
        return None
    settings = [(p, 1.0) for p in robustness.NORMS]
    p = robustness.DEFAULT_NORM
    settings += [(p, ratio) for ratio in robustness.WEIGHT_RATIOS if ratio != 1.0]
    ranks = table.pivot_table(index="method", columns=["p", "ratio"], values="rank", dropna=False)
    taus = table.groupby(["p", "ratio"])["kendall_tau"].first()
    default = ranks[p, 1.0]
    return {
        "heads": [_setting(p, ratio) for p, ratio in settings],
        "taus": [numbers.fixed(float(taus[s]), 2) for s in settings],
        "rows": [
            {
                "method": method,
                "cells": [_rank(ranks[s][method], default[method]) for s in settings],
            }
            for method in _order(board)
            if method in ranks.index
        ],
    }


def _setting(p: float, ratio: float) -> str:
    if ratio == 1.0:
        return NORM_NAMES.get(p, f"p = {p:g}")
    return f"content × {ratio:.2g}" if ratio > 1 else f"style × {1 / ratio:.2g}"


def _rank(rank: float, default: float) -> dict[str, str]:
    """Return a rank and how many places it moved, in words and as a mark."""
    if math.isnan(rank):
        return {"text": numbers.DASH, "move": ""}
    moved = default - rank
    move = "" if moved == 0 or math.isnan(moved) else f"{'▲' if moved > 0 else '▼'}{abs(moved):g}"
    return {"text": f"{rank:g}", "move": move}


def _others(board: Board, size: int) -> dict[str, Any] | None:
    """Return places by the Borda count and by Pareto fronts."""
    table = standings.standings(board)
    table = table[table["size"] == size]
    if table["borda"].notna().sum() < 2:
        return None
    rows = {row.method: row for row in tables.rows(board) if row.size == size}
    axes = standings.fronts(board)
    return {
        "heads": [f"Front of {a.title} and {b.title}" for a, b in axes.values()],
        "metrics": [c.title for c in tables.measured_metrics(board) if c.scope == Scope.PAIR],
        "rows": [
            {
                "method": record["method"],
                "rank": rows[record["method"]].rank,
                "points": numbers.fixed(record["borda"], 2),
                "borda": _rank(record["borda_rank"], math.nan)["text"],
                "fronts": [_member(record[name]) for name in axes],
            }
            for record in table.to_dict("records")
        ],
    }


def _member(value: Any) -> str:
    return numbers.DASH if value is pd.NA else "yes" if value else ""


def _rivals(board: Board, size: int) -> dict[str, Any] | None:
    """Return the tests of the first method of the board against each other one."""
    rows, whole = standings.against_first(board, size)
    quality = board.quality
    if quality is None or not rows:
        return None
    told = int((whole["p_holm"] <= standings.SURE).sum())
    return {
        "first": board.leaderboard.loc[board.leaderboard["size"] == size, "method"].iloc[0],
        "told": f"{told} of {len(whole)}",
        "limit": standings.SURE,
        "rows": [
            {
                "method": row["method"],
                "gap": tables.Interval(row["gap"], row["low"], row["high"]).text(quality.unit),
                "styles": str(row["styles"]),
                "tests": [
                    numbers.significant(row[name], 2)
                    for name in ("p", "p_holm", "p_wilcoxon", "p_wilcoxon_holm")
                ],
                "sure": row["p_holm"] <= standings.SURE,
            }
            for row in rows
        ],
    }


def _agreement(board: Board, scores: pd.DataFrame) -> dict[str, Any] | None:
    """Return the matrix of rank correlations between pair metrics, within pairs."""
    table = robustness.rank_correlation(scores, board.metrics)
    names = [c.name for c in tables.measured_metrics(board) if c.name in set(table["metric"])]
    table = table[table["metric"].isin(names) & table["other"].isin(names)]
    if len(names) < 2 or not table["pairs"].any():
        return None
    matrix = table.pivot_table(index="metric", columns="other", values="within", dropna=False)
    matrix = matrix.reindex(index=names, columns=names)
    values = matrix.to_numpy(dtype=np.float64)
    others = np.where(np.eye(len(names), dtype=bool), np.nan, values)
    known = bool(np.isfinite(others).any())
    worst = np.unravel_index(np.nanargmin(others), others.shape) if known else ()
    return {
        "basis": basis(table),
        "heads": [board.metrics[n].title for n in names],
        "rows": [
            {
                "title": board.metrics[n].title,
                "cells": [
                    {"text": numbers.fixed(float(v), 2), "css": _strength(float(v))} for v in row
                ],
            }
            for n, row in zip(names, values, strict=True)
        ],
        "disagree": [board.metrics[names[i]].title for i in worst],
        "lowest": numbers.fixed(float(np.nanmin(others)), 2) if known else "",
    }


def _strength(value: float) -> str:
    """Return the class that shades a correlation: p3..p1 agree, n1..n3 contradict."""
    if math.isnan(value) or abs(value) < 0.2:
        return ""
    return f"{'p' if value > 0 else 'n'}{1 + sum(abs(value) >= limit for limit in (0.5, 0.8))}"


def _home(board: Board, scores: pd.DataFrame) -> dict[str, Any] | None:
    """Return the ranks on each network alone, for all metrics that have parts per network."""
    groups: list[dict[str, Any]] = []
    cells: dict[str, list[dict[str, Any]]] = {}
    for card in tables.measured_metrics(board):
        parts = set(scores.loc[scores["metric"] == card.name, "part"]) & set(card.networks)
        if len(parts) < 2:
            continue
        table = robustness.home_away(scores, card, board.methods)
        if not table["home"].any():
            continue
        places = {(r["method"], r["part"]): r for r in table.to_dict("records")}
        heads = sorted(parts)
        groups.append({"title": card.title, "heads": heads})
        for method in _order(board):
            whole = _place(places.get((method, "")))
            alone = [_place(places.get((method, part))) for part in heads]
            cells.setdefault(method, []).extend([whole, *alone])
    known = [
        {"method": method, "cells": row}
        for method, row in cells.items()
        if any(cell["text"] != numbers.DASH for cell in row)
    ]
    return {"groups": groups, "rows": known} if known else None


def _place(row: dict[Any, Any] | None) -> dict[str, Any]:
    if row is None or math.isnan(row["rank"]):
        return {"text": numbers.DASH, "move": "", "home": False, "value": ""}
    return {
        **_rank(row["rank"], row["rank"] - row["change"]),
        "home": bool(row["home"]),
        "value": numbers.fixed(float(row["value"]), 3),
    }
