"""Robustness of the ranking: other norms, metrics, tests and networks."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from nstbench.analysis import robustness
from nstbench.analysis.ranking import done_scores
from nstbench.analysis.validation.agreement import basis
from nstbench.analysis.validation.verdicts import LITTLE, NO, UNCLEAR, YES
from nstbench.contracts import Scope, Section, SectionInfo
from nstbench.core.board import Board
from nstbench.report.parts import numbers, standings, templates
from nstbench.report.parts.rows import (
    Interval,
    leaderboard_rows,
    main_size,
    measured_metrics,
)
from nstbench.store.atomic_files import read_json

VALIDATION = "validation.json"
"""File in a run folder with the result of ``nstbench validate --out``."""

VERDICTS = (YES, UNCLEAR, NO, LITTLE)

NORM_NAMES = {1.0: "sum (default)", 2.0: "distance", 4.0: "p = 4", math.inf: "larger error"}


class Trust(Section):
    """Rank sensitivity, other rankings, tests, agreement of metrics, home advantage."""

    info: ClassVar[SectionInfo] = SectionInfo("Robustness of the ranking", order=65)

    def html(self, board: Board) -> str:
        """Return the tables; empty if the scores allow none of them."""
        size = main_size(board)
        scores = done_scores(board.scores, board.units)
        scores = scores[scores["size"] == size]
        sensitivity = _sensitivity(board, scores)
        agreement = _agreement(board, scores)
        home = _home(board, scores)
        others, tests = _other_rankings(board, size), _tests(board, size)
        validation = _validation(board)
        if not (sensitivity or others or tests or agreement or home or validation):
            return ""
        return templates.render(
            "trust.html",
            sensitivity=sensitivity,
            others=others,
            tests=tests,
            agreement=agreement,
            home=home,
            validation=validation,
            file=VALIDATION,
            verdicts=VERDICTS,
            quality=board.quality,
            size=size,
        )


def _validation(board: Board) -> dict[str, Any] | None:
    """Return the result of ``nstbench validate``; ``None`` if the run folder has none."""
    path = board.root / VALIDATION
    if not path.is_file():
        return None
    data = read_json(path)
    rows = data.get("summary") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(r, dict) and "metric" in r for r in rows):
        raise ValueError(f"{path} was not written by nstbench validate --out; remove it")
    order = {name: place for place, name in enumerate(board.metrics)}
    validated = sorted((r for r in rows if r["metric"] in order), key=lambda r: order[r["metric"]])
    shown = [_validated(board, row) for row in validated]
    failed = [row["title"] for row in shown if row["verdict"] == "no"]
    tested = {row["metric"] for row in validated}
    cards = measured_metrics(board)
    untested = [c.title for c in cards if c.scope != Scope.TIMING and c.name not in tested]
    answers = _answers(board, data.get("verdicts") or [])
    if not shown and not answers:
        return None
    return {"rows": shown, "failed": failed, "untested": untested, "answers": answers}


def _answers(board: Board, rows: list[Any]) -> list[dict[str, Any]]:
    """Return per metric the questions that it answers well, badly and so on."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if row["metric"] in board.metrics and row["verdict"] in VERDICTS:
            kinds = found.setdefault(row["metric"], {name: [] for name in VERDICTS})
            kinds[row["verdict"]].append(f"{row['question']} ({row['test']})")
    return [
        {"title": board.metrics[name].title, "cells": [", ".join(q) for q in found[name].values()]}
        for name in board.metrics
        if name in found
    ]


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
        "verdict": "no known order" if trusted is None else "yes" if trusted else "no",
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
    default_norm = robustness.DEFAULT_NORM
    settings += [(default_norm, ratio) for ratio in robustness.WEIGHT_RATIOS if ratio != 1.0]
    ranks = table.pivot_table(index="method", columns=["p", "ratio"], values="rank", dropna=False)
    taus = table.groupby(["p", "ratio"])["kendall_tau"].first()
    default = ranks[default_norm, 1.0]
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
    """Return a rank as text, and its change against the default as an arrow with a number."""
    if math.isnan(rank):
        return {"text": numbers.DASH, "move": ""}
    moved = default - rank
    move = "" if moved == 0 or math.isnan(moved) else f"{'▲' if moved > 0 else '▼'}{abs(moved):g}"
    return {"text": f"{rank:g}", "move": move}


def _other_rankings(board: Board, size: int) -> dict[str, Any] | None:
    """Return ranks by Borda points, and the members of the Pareto fronts."""
    table = standings.standings(board)
    table = table[table["size"] == size]
    if table["borda"].notna().sum() < 2:
        return None
    rows = {row.method: row for row in leaderboard_rows(board) if row.size == size}
    axes = standings.fronts(board)
    return {
        "heads": [f"Pareto front: {a.title} and {b.title}" for a, b in axes.values()],
        "metrics": [c.title for c in measured_metrics(board) if c.scope == Scope.PAIR],
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


def _tests(board: Board, size: int) -> dict[str, Any] | None:
    """Return the tests of the best-ranked method against the other methods."""
    rows, comparisons = standings.against_first(board, size)
    quality = board.quality
    if quality is None or not rows:
        return None
    significant = int((comparisons["p_holm"] <= standings.ALPHA).sum())
    return {
        "first": board.leaderboard.loc[board.leaderboard["size"] == size, "method"].iloc[0],
        "significant": f"{significant} of {len(comparisons)}",
        "limit": standings.ALPHA,
        "rows": [
            {
                "method": row["method"],
                "gap": Interval(row["gap"], row["low"], row["high"]).text(quality.unit),
                "styles": str(row["styles"]),
                "tests": [
                    numbers.significant(row[name], 2)
                    for name in ("p", "p_holm", "p_wilcoxon", "p_wilcoxon_holm")
                ],
                "significant": row["p_holm"] <= standings.ALPHA,
            }
            for row in rows
        ],
    }


def _agreement(board: Board, scores: pd.DataFrame) -> dict[str, Any] | None:
    """Return the matrix of rank correlations between pair metrics, within pairs."""
    table = robustness.rank_correlation(scores, board.metrics)
    names = [c.name for c in measured_metrics(board) if c.name in set(table["metric"])]
    table = table[table["metric"].isin(names) & table["other"].isin(names)]
    if len(names) < 2 or not table["pairs"].any():
        return None
    matrix = table.pivot_table(index="metric", columns="other", values="within", dropna=False)
    matrix = matrix.reindex(index=names, columns=names)
    values = matrix.to_numpy(dtype=np.float64)
    others = np.where(np.eye(len(names), dtype=bool), np.nan, values)
    defined = bool(np.isfinite(others).any())
    worst = np.unravel_index(np.nanargmin(others), others.shape) if defined else ()
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
        "lowest": numbers.fixed(float(np.nanmin(others)), 2) if defined else "",
    }


def _strength(value: float) -> str:
    """Return the CSS class of a correlation: p1 to p3 if positive, n1 to n3 if negative."""
    if math.isnan(value) or abs(value) < 0.2:
        return ""
    return f"{'p' if value > 0 else 'n'}{1 + sum(abs(value) >= limit for limit in (0.5, 0.8))}"


def _home(board: Board, scores: pd.DataFrame) -> dict[str, Any] | None:
    """Return the ranks on each network, for all metrics with parts per network."""
    groups: list[dict[str, Any]] = []
    cells: dict[str, list[dict[str, Any]]] = {}
    for card in measured_metrics(board):
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
            overall = _place(places.get((method, "")))
            by_network = [_place(places.get((method, part))) for part in heads]
            cells.setdefault(method, []).extend([overall, *by_network])
    rows = [
        {"method": method, "cells": row}
        for method, row in cells.items()
        if any(cell["text"] != numbers.DASH for cell in row)
    ]
    return {"groups": groups, "rows": rows} if rows else None


def _place(row: dict[Any, Any] | None) -> dict[str, Any]:
    if row is None or math.isnan(row["rank"]):
        return {"text": numbers.DASH, "move": "", "home": False, "value": ""}
    return {
        **_rank(row["rank"], row["rank"] - row["change"]),
        "home": bool(row["home"]),
        "value": numbers.fixed(float(row["value"]), 3),
    }
