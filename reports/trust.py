"""Which numbers to trust: do other norms, other metrics, other networks say the same?"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from nstbench import robustness
from nstbench.board import Board
from nstbench.contracts import Section, SectionInfo
from nstbench.ranking import done_scores, quality_metric
from nstbench.reporting import numbers, tables, templates

NORM_NAMES = {1.0: "sum", 2.0: "distance", 4.0: "p = 4", math.inf: "worse half"}


class Trust(Section):
    """Rank sensitivity, agreement between metrics, home advantage."""

    info: ClassVar[SectionInfo] = SectionInfo("Which numbers to trust", "html", order=65)

    def html(self, board: Board) -> str:
        """Return the tables; empty if there are too few scores to compare anything."""
        size = tables.main_size(board)
        scores = done_scores(board.scores, board.units)
        scores = scores[scores["size"] == size]
        sensitivity = _sensitivity(board, scores)
        agreement = _agreement(board, scores)
        home = _home(board, scores)
        if not (sensitivity or agreement or home):
            return ""
        return templates.render(
            "trust.html",
            sensitivity=sensitivity,
            agreement=agreement,
            home=home,
            quality=quality_metric(board.metrics),
            size=size,
            short=tables.short,
        )


def _order(board: Board) -> list[str]:
    return list(dict.fromkeys(board.leaderboard["method"]))


def _sensitivity(board: Board, scores: pd.DataFrame) -> dict[str, Any] | None:
    """Return the ranks under other norms and weights of the two errors."""
    content, style = board.metric_with_role("content"), board.metric_with_role("style")
    if content is None or style is None or content.higher_is_better or style.higher_is_better:
        return None
    table = robustness.sensitivity(scores, content.name, style.name)
    if table["method"].nunique() < 2:
        return None
    settings = [(p, 1.0) for p in robustness.NORMS]
    settings += [(2.0, ratio) for ratio in robustness.WEIGHT_RATIOS if ratio != 1.0]
    ranks = table.pivot_table(index="method", columns=["p", "ratio"], values="rank", dropna=False)
    taus = table.groupby(["p", "ratio"])["kendall_tau"].first()
    default = ranks[2.0, 1.0]
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


def _agreement(board: Board, scores: pd.DataFrame) -> dict[str, Any] | None:
    """Return the matrix of rank correlations between pair metrics, within pairs."""
    table = robustness.rank_correlation(scores, board.metrics)
    names = [c.name for c in tables.measured_metrics(board) if c.name in set(table["metric"])]
    if len(names) < 2:
        return None
    matrix = table.pivot_table(index="metric", columns="other", values="within", dropna=False)
    matrix = matrix.reindex(index=names, columns=names)
    values = matrix.to_numpy(dtype=np.float64)
    others = np.where(np.eye(len(names), dtype=bool), np.nan, values)
    known = bool(np.isfinite(others).any())
    worst = np.unravel_index(np.nanargmin(others), others.shape) if known else ()
    return {
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


def _home(board: Board, scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, per metric that has parts per network, the ranks on each network alone."""
    found = []
    for card in tables.measured_metrics(board):
        parts = set(scores.loc[scores["metric"] == card.name, "part"]) - {""}
        if len(parts) < 2:
            continue
        table = robustness.home_away(scores, card, board.methods)
        if not table["home"].any():
            continue
        places = {(r["method"], r["part"]): r for r in table.to_dict("records")}
        heads = sorted(parts)
        rows = [
            {
                "method": method,
                "rank": f"{places[method, '']['rank']:g}",
                "cells": [_place(places.get((method, part))) for part in heads],
            }
            for method in _order(board)
            if (method, "") in places and not math.isnan(places[method, ""]["rank"])
        ]
        found.append({"title": card.title, "heads": heads, "rows": rows})
    return found


def _place(row: dict[Any, Any] | None) -> dict[str, Any]:
    if row is None or math.isnan(row["rank"]):
        return {"text": numbers.DASH, "move": "", "home": False, "value": ""}
    return {
        **_rank(row["rank"], row["rank"] - row["change"]),
        "home": bool(row["home"]),
        "value": numbers.fixed(float(row["value"]), 3),
    }
