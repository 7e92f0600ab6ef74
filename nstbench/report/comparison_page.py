"""Several runs side by side as one page and as files: the first is what others compare with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from nstbench.analysis import run_comparison as comparison
from nstbench.analysis.run_comparison import SAME
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.core.records import Flexibility
from nstbench.report.parts import numbers, svg, templates
from nstbench.report.parts import rows as tables
from nstbench.report.parts.rows import Interval

SURE = 0.05
"""A difference whose adjusted p-value is at most this is called one."""


@dataclass(frozen=True, eq=False)
class Compared:
    """The first run and one other: what they share, and their differences."""

    letter: str
    board: Board
    checks: list[comparison.Check]
    differences: pd.DataFrame
    speeds: pd.DataFrame
    same_machine: bool


def compare(boards: Sequence[Board]) -> list[Compared]:
    """Compare every further run with the first."""
    first = boards[0]
    return [
        Compared(
            letter=letter(i),
            board=other,
            checks=comparison.checks(first, other),
            differences=comparison.differences(first, other),
            speeds=comparison.speeds(first, other),
            same_machine=comparison.same_machine(first, other),
        )
        for i, other in enumerate(boards[1:], start=1)
    ]


def letter(index: int) -> str:
    """Return the name of a run on the page: A, B, ..., Z, A1, ..."""
    return chr(ord("A") + index % 26) + (str(index // 26) if index >= 26 else "")


def html(boards: Sequence[Board], compared: Sequence[Compared]) -> list[tuple[str, str, Markup]]:
    """Return the sections of the page as (name, title, HTML)."""
    runs = [_run(i, board) for i, board in enumerate(boards)]
    parts = [("overview", "At a glance",
              templates.render("comparison_runs.html", runs=runs,
                               answers=[a for c in compared for a in _answers(c)]))]  # fmt: skip
    for each in compared:
        suffix = f": {each.letter} against A" if len(compared) > 1 else ""
        parts += [
            (f"checks-{each.letter}", f"Comparable or not{suffix}",
             templates.render("comparison_checks.html", checks=each.checks, same=SAME,
                              letter=each.letter)),
            (f"differences-{each.letter}", f"Differences{suffix}",
             templates.render("comparison_differences.html", letter=each.letter,
                              tables=_difference_tables(boards[0], each),
                              speeds=_speed_rows(each), same_machine=each.same_machine)),
        ]  # fmt: skip
    parts.append(("boards", "Every board", templates.render(
        "comparison_boards.html", **_boards(boards))))  # fmt: skip
    return parts


def _run(index: int, board: Board) -> dict[str, Any]:
    environment = board.info.get("environment") or {}
    done, planned = int(board.leaderboard["done"].sum()), int(board.leaderboard["planned"].sum())
    suite, version = board.info.get("suite") or "none", board.info.get("suite_version") or ""
    return {
        "letter": letter(index),
        "name": board.info.get("name") or "run",
        "folder": str(board.root),
        "suite": f"{suite} {version}".strip(),
        "machine": environment.get("device_name") or environment.get("cpu") or "unknown",
        "threads": environment.get("threads", ""),
        "version": board.info.get("version", ""),
        "started": str(board.info.get("started", ""))[:16].replace("T", " "),
        "done": f"{done}/{planned}",
        "command": board.info.get("command", ""),
    }


# --- words -------------------------------------------------------------------------------


def _answers(each: Compared) -> list[dict[str, str]]:
    """Return what the comparison says of quality and of speed."""
    return [_quality_answer(each), _speed_answer(each)]


def _quality_answer(each: Compared) -> dict[str, str]:
    card = each.board.quality
    rows = each.differences
    rows = rows[rows["metric"] == card.name] if card else rows.iloc[:0]
    question = f"Quality of {each.letter} against A"
    if card is None or rows.empty:
        reason = "The runs share no unit that was scored by the same version of a metric."
        return {"question": question, "figure": "not comparable", "words": reason}
    sure = rows[rows["p_holm"] <= SURE]
    better = (sure["difference"] > 0) == card.higher_is_better
    words = (
        f"{len(rows)} methods on up to {int(rows['pairs'].max())} shared pairs: "
        f"{int(better.sum())} better, {int((~better).sum())} worse in {card.title}, "
        f"{len(rows) - len(sure)} not told apart."
    )
    figure = "no difference found" if sure.empty else f"{len(sure)} of {len(rows)} differ"
    return {"question": question, "figure": figure, "words": words}


def _speed_answer(each: Compared) -> dict[str, str]:
    question = f"Speed of {each.letter} against A"
    ranked = [m for m, c in each.board.methods.items() if c.flexibility != Flexibility.BASELINE]
    speeds = each.speeds[each.speeds["method"].isin(ranked)]
    ratios = speeds["ratio" if each.same_machine else "calibrated_ratio"].dropna()
    if ratios.empty:
        reason = "No method was timed at the same size in both runs."
        return {"question": question, "figure": "not comparable", "words": reason}
    kind = (
        "Same device and threads, so seconds are compared as they are."
        if each.same_machine
        else "The machines differ: each time is divided by that of the same calibration kernel."
    )
    words = f"{kind} {len(ratios)} methods, from × {_times(ratios.min())} to × " \
            f"{_times(ratios.max())} of A's time."  # fmt: skip
    figure = f"× {_times(ratios.median())} of A's time (median)"
    return {"question": question, "figure": figure, "words": words}


def _times(ratio: float) -> str:
    return numbers.significant(ratio)


# --- tables ------------------------------------------------------------------------------


def _difference_tables(first: Board, each: Compared) -> list[dict[str, Any]]:
    """Return a table per metric; that of the quality comes first and open."""
    quality = first.quality
    cards = [c for c in comparison.same_metrics(first, each.board)
             if c.name in set(each.differences["metric"])]  # fmt: skip
    cards.sort(key=lambda card: (card != quality, not card.role))
    several = each.differences["size"].nunique() > 1
    places = {name: i for i, name in enumerate(dict.fromkeys(first.leaderboard["method"]))}
    ordered = each.differences.sort_values("method", key=lambda m: m.map(places), kind="stable")
    return [
        {
            "card": card,
            "open": bool(card.role),
            "rows": _difference_rows(ordered, card, several),
        }
        for card in cards
    ]


def _difference_rows(
    differences: pd.DataFrame, card: MetricCard, several: bool
) -> list[dict[str, Any]]:
    rows = differences[differences["metric"] == card.name]
    ends = rows[["difference", "low", "high"]].to_numpy(dtype=float)
    reach = max((abs(v) for v in ends.ravel() if math.isfinite(v)), default=0.0)
    return [
        {
            "label": f"{r['method']} · {r['size']} px" if several else r["method"],
            "pairs": r["pairs"],
            "first": numbers.significant(r["first"]),
            "other": numbers.significant(r["other"]),
            "change": _signed(r["difference"]),
            "interval": f"[{_signed(r['low'])}, {_signed(r['high'])}]"
            if math.isfinite(r["low"]) else "",
            "bar": svg.interval_bar(Interval(r["difference"], r["low"], r["high"]), -reach, reach),
            "verdict": _verdict(r, card),
        }
        for r in rows.to_dict("records")
    ]  # fmt: skip


def _signed(value: float) -> str:
    text = numbers.significant(value)
    return f"+{text}" if value > 0 else text


def _verdict(row: dict[Any, Any], card: MetricCard) -> str:
    if math.isnan(row["p_holm"]):
        return "one style: no test"
    if row["p_holm"] > SURE:
        return "not told apart"
    return "better" if (row["difference"] > 0) == card.higher_is_better else "worse"


def _speed_rows(each: Compared) -> list[dict[str, Any]]:
    several = each.speeds["size"].nunique() > 1
    return [
        {
            "label": f"{r['method']} · {r['size']} px" if several else r["method"],
            "first": numbers.seconds(r["first"]),
            "other": numbers.seconds(r["other"]),
            "ratio": _times(r["ratio"]),
            "calibrated": _times(r["calibrated_ratio"]),
        }
        for r in each.speeds.to_dict("records")
    ]


def _boards(boards: Sequence[Board]) -> dict[str, Any]:
    """Return the numbers of each run's own board, methods as rows."""
    names = {m.name: m for board in boards for m in tables.measured_metrics(board) if m.role}
    cards = list(names.values())
    found = [{(r.method, r.size): r for r in tables.rows(board)} for board in boards]
    keys = list(dict.fromkeys(key for rows in found for key in rows))
    several = len({size for _, size in keys}) > 1
    return {
        "letters": [letter(i) for i in range(len(boards))],
        "cards": cards,
        "rows": [
            {
                "label": f"{method} · {size} px" if several else method,
                "cells": [
                    row.of(card).text(card.unit) if row else numbers.DASH
                    for card in cards
                    for row in (rows.get((method, size)) for rows in found)
                ],
                "ranks": [
                    row.rank if row else numbers.DASH
                    for row in (rows.get((method, size)) for rows in found)
                ],
            }
            for method, size in keys
        ],
    }


# --- files -------------------------------------------------------------------------------


def table(compared: Sequence[Compared]) -> pd.DataFrame:
    """Return all differences and ratios as one table, one row per run, method and metric."""
    frames = []
    for each in compared:
        speed = each.speeds.assign(
            metric=comparison.SPEED, difference=lambda t: t["other"] - t["first"]
        )
        rows = pd.concat([f for f in (each.differences, speed) if len(f)] or [speed])
        rows.insert(0, "run", str(each.board.root))
        frames.append(rows)
    columns = ["run", *comparison.DIFFERENCES, "ratio", "calibrated_ratio"]
    return pd.concat(frames, ignore_index=True).reindex(columns=columns)


def markdown(boards: Sequence[Board], compared: Sequence[Compared]) -> str:
    """Return checks and differences of the ordering metric as Markdown tables."""
    lines = [f"# {letter(0)}: {_cell(boards[0].root)}"]
    for each in compared:
        lines += ["", f"## {each.letter}: {_cell(each.board.root)}", "",
                  "| | | A / other | |", "|---|---|---|---|"]  # fmt: skip
        lines += [
            f"| {c.subject} | {c.verdict} | {_cell(c.details)} | {c.consequence} |"
            for c in each.checks
        ]
        for block in _difference_tables(boards[0], each)[:1]:
            lines += ["", f"| {block['card'].title} | pairs | A | {each.letter} | difference | |",
                      "|---|---|---|---|---|---|"]  # fmt: skip
            lines += [
                f"| {_cell(r['label'])} | {r['pairs']} | {r['first']} | {r['other']} "
                f"| {r['change']} {r['interval']} | {r['verdict']} |"
                for r in block["rows"]
            ]
    return "\n".join(lines) + "\n"


def _cell(text: object) -> str:
    escaped = str(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(escaped.split())
