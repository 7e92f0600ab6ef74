"""Several runs side by side: one page, a table and a Markdown file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nstbench.analysis import run_comparison
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.core.records import Flexibility
from nstbench.core.text import counted
from nstbench.report.charts import svg
from nstbench.report.markdown import escape, table
from nstbench.report.page import Fragment, render_shell
from nstbench.report.parts import numbers, pictures, templates
from nstbench.report.parts.rows import (
    Interval,
    leaderboard_rows,
    measured_metrics,
)

ALPHA = 0.05
"""A difference is significant if its adjusted p-value is at most this."""


@dataclass(frozen=True, eq=False)
class Compared:
    """The comparison of one run with the first.

    Attributes:
        letter: name of the run on the page.
        board: its results.
        checks: what the two runs have in common.
        differences: differences per method, size and metric.
        speeds: latencies and their ratios per method and size.
        same_machine: True if device and threads are the same.
    """

    letter: str
    board: Board
    checks: list[run_comparison.Check]
    differences: pd.DataFrame
    speeds: pd.DataFrame
    same_machine: bool


def compare(boards: Sequence[Board]) -> list[Compared]:
    """Return the comparison of every other run with the first."""
    first = boards[0]
    return [
        Compared(
            letter=letter(i),
            board=other,
            checks=run_comparison.checks(first, other),
            differences=run_comparison.differences(first, other),
            speeds=run_comparison.speeds(first, other),
            same_machine=run_comparison.same_machine(first, other),
        )
        for i, other in enumerate(boards[1:], start=1)
    ]


def letter(index: int) -> str:
    """Return the name of a run on the page.

    Example:
        >>> letter(0), letter(25), letter(26)
        ('A', 'Z', 'A1')
    """
    return chr(ord("A") + index % 26) + (str(index // 26) if index >= 26 else "")


def comparison_page(boards: Sequence[Board], compared: Sequence[Compared]) -> str:
    """Return the comparison of several runs as one HTML page.

    Args:
        boards: at least two; all others are compared with the first.
        compared: the comparisons, from :func:`compare`.
    """
    title = " / ".join(str(board.info.get("name") or "run") for board in boards)
    page = render_shell(title, "Comparison of runs", _fragments(boards, compared))
    return pictures.fill(page, boards[0].root, embed=True, base=".")


def _fragments(boards: Sequence[Board], compared: Sequence[Compared]) -> list[Fragment]:
    runs = [_run(i, board) for i, board in enumerate(boards)]
    answers = [answer for each in compared for answer in _answers(each)]
    overview = templates.render("comparison_runs.html", runs=runs, answers=answers)
    fragments = [Fragment("overview", "At a glance", overview)]
    for each in compared:
        suffix = f": {each.letter} and A" if len(compared) > 1 else ""
        checks = templates.render(
            "comparison_checks.html",
            checks=each.checks,
            same=run_comparison.SAME,
            letter=each.letter,
        )
        differences = templates.render(
            "comparison_differences.html",
            letter=each.letter,
            tables=_difference_tables(boards[0], each),
            speeds=_speed_rows(each),
            same_machine=each.same_machine,
        )
        fragments += [
            Fragment(f"checks-{each.letter}", f"Comparability{suffix}", checks),
            Fragment(f"differences-{each.letter}", f"Differences{suffix}", differences),
        ]
    leaderboards = templates.render("comparison_boards.html", **_boards(boards))
    return [*fragments, Fragment("boards", "All leaderboards", leaderboards)]


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


# --- answers -------------------------------------------------------------------------------


def _answers(each: Compared) -> list[dict[str, str]]:
    """Return the summaries of quality and speed."""
    return [_quality_answer(each), _speed_answer(each)]


def _quality_answer(each: Compared) -> dict[str, str]:
    card = each.board.quality
    rows = each.differences
    rows = rows[rows["metric"] == card.name] if card else rows.iloc[:0]
    question = f"Quality of {each.letter} against A"
    if card is None or rows.empty:
        reason = "The runs have no unit in common that was scored by the same version of a metric."
        return {"question": question, "figure": "not comparable", "words": reason}
    significant = rows[rows["p_holm"] <= ALPHA]
    better = (significant["difference"] > 0) == card.higher_is_better
    words = (
        f"{card.title} on up to {int(rows['pairs'].max())} shared pairs: "
        f"{int(better.sum())} of {counted(len(rows), 'method')} significantly better, "
        f"{int((~better).sum())} worse, {len(rows) - len(significant)} without a significant "
        "difference."
    )
    figure = (
        "no significant difference"
        if significant.empty
        else f"{len(significant)} of {len(rows)} differ"
    )
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
        "Device and threads are the same, so the times are compared directly."
        if each.same_machine
        else "The machines differ, so each time is divided by the time of a calibration kernel."
    )
    words = (
        f"{kind} The times of {counted(len(ratios), 'method')} range from "
        f"{numbers.significant(ratios.min())} to {numbers.significant(ratios.max())} times A's."
    )
    figure = f"median time {numbers.significant(ratios.median())} × A's"
    return {"question": question, "figure": figure, "words": words}


# --- tables ------------------------------------------------------------------------------


def _difference_tables(first: Board, each: Compared) -> list[dict[str, Any]]:
    """Return one table per metric, the quality metric first."""
    quality = first.quality
    cards = [c for c in run_comparison.same_metrics(first, each.board)
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
        return "no test (one style)"
    if row["p_holm"] > ALPHA:
        return "not significant"
    return "better" if (row["difference"] > 0) == card.higher_is_better else "worse"


def _speed_rows(each: Compared) -> list[dict[str, Any]]:
    several = each.speeds["size"].nunique() > 1
    return [
        {
            "label": f"{r['method']} · {r['size']} px" if several else r["method"],
            "first": numbers.seconds(r["first"]),
            "other": numbers.seconds(r["other"]),
            "ratio": numbers.significant(r["ratio"]),
            "calibrated": numbers.significant(r["calibrated_ratio"]),
        }
        for r in each.speeds.to_dict("records")
    ]


def _boards(boards: Sequence[Board]) -> dict[str, Any]:
    """Return ranks and main metrics of all leaderboards, one row per method and size."""
    metrics = {m.name: m for board in boards for m in measured_metrics(board) if m.role}
    cards = list(metrics.values())
    boards_rows = [{(r.method, r.size): r for r in leaderboard_rows(board)} for board in boards]
    keys = list(dict.fromkeys(key for rows in boards_rows for key in rows))
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
                    for row in (rows.get((method, size)) for rows in boards_rows)
                ],
                "ranks": [
                    row.rank if row else numbers.DASH
                    for row in (rows.get((method, size)) for rows in boards_rows)
                ],
            }
            for method, size in keys
        ],
    }


# --- files -------------------------------------------------------------------------------


def comparison_table(compared: Sequence[Compared]) -> pd.DataFrame:
    """Return all differences and ratios, one row per run, method, size and metric."""
    frames = []
    for each in compared:
        speed = each.speeds.assign(
            metric=run_comparison.SPEED, difference=lambda t: t["other"] - t["first"]
        )
        rows = pd.concat([f for f in (each.differences, speed) if len(f)] or [speed])
        rows.insert(0, "run", str(each.board.root))
        frames.append(rows)
    columns = ["run", *run_comparison.DIFFERENCES, "ratio", "calibrated_ratio"]
    return pd.concat(frames, ignore_index=True).reindex(columns=columns)


def markdown(boards: Sequence[Board], compared: Sequence[Compared]) -> str:
    """Return the checks, and the differences in the quality metric, as Markdown tables."""
    lines = [f"# {letter(0)}: {escape(str(boards[0].root))}"]
    for each in compared:
        checks = [(c.subject, c.verdict, c.details, c.consequence) for c in each.checks]
        lines += ["", f"## {each.letter}: {escape(str(each.board.root))}", ""]
        lines.append(table(["Subject", "Same?", "A / other", "Consequence"], checks, "llll"))
        for block in _difference_tables(boards[0], each)[:1]:
            heads = [block["card"].title, "Pairs", "A", each.letter, "Difference", "Verdict"]
            cells = [
                (r["label"], r["pairs"], r["first"], r["other"], f"{r['change']} {r['interval']}",
                 r["verdict"])
                for r in block["rows"]
            ]  # fmt: skip
            lines += ["", table(heads, cells, "lrrrrl")]
    return "\n".join(lines) + "\n"
