"""Where each method loses: one sentence per method, as text and as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from nstbench.analysis.weaknesses import HALVES, weaknesses
from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.report import markdown
from nstbench.report.parts import numbers, templates
from nstbench.report.parts.rows import shorten


class Weaknesses(Section):
    """Content or style, the worst styles, and the best and worst pair of every method."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Where each method loses",
        order=37,
        files={"csv": "weaknesses.csv", "md": "weaknesses.md"},
    )

    def html(self, board: Board) -> str:
        """Return a list with a sentence per method; empty without both errors."""
        table = weaknesses(board)
        several = table["size"].nunique() > 1
        methods = [
            {
                "label": f"{row['method']} · {row['size']} px" if several else row["method"],
                "sentence": sentence(row, board),
            }
            for row in table.to_dict("records")
            if not row["baseline"]
        ]
        if not methods or board.quality is None:
            return ""
        return templates.render(
            "weaknesses.html", methods=methods, quality=board.quality, shorten=shorten
        )

    def applies(self, board: Board) -> bool:
        """Return True if a method has both errors and a value of the quality metric."""
        return len(weaknesses(board)) > 0

    def write(self, board: Board, path: Path, format: str) -> None:
        """Write all numbers and the sentences as CSV, or the sentences as Markdown."""
        table = weaknesses(board)
        sentences = [sentence(row, board) for row in table.to_dict("records")]
        if format == "csv":
            table = table.assign(sentence=sentences)
            table.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")
            return
        rows = zip(table["method"], table["size"], sentences, strict=True)
        lines = [f"* **{markdown.escape(m)}** ({s} px) {markdown.escape(t)}" for m, s, t in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def sentence(row: Mapping[Any, Any], board: Board) -> str:
    """Return one sentence on a row of :func:`nstbench.analysis.weaknesses.weaknesses`.

    A half is said to be the larger one, or larger than that of other methods, only if the 95 %
    interval over styles excludes 0.
    """
    parts = [_halves(row), _against_others(row), _styles(row), _pairs(row)]
    quality = "" if board.quality is None else f" ({board.quality.title} in parentheses)"
    text = "; ".join(part for part in parts if part)
    return f"{text}{quality if row['best_pair_style'] else ''}."


def _halves(row: Mapping[Any, Any]) -> str:
    errors = {half: numbers.fixed(row[half], 2) for half in HALVES}
    if math.isnan(row["low"]):
        return (
            f"content error {errors['content']} and style error {errors['style']}: one style is "
            "not enough to compare them"
        )
    between = _interval(row, "difference", "low", "high")
    if not row["loses"]:
        return (
            f"no clear difference between style error ({errors['style']}) and content error "
            f"({errors['content']}): {between}"
        )
    other = "content" if row["loses"] == "style" else "style"
    return (
        f"loses in {row['loses']}: {row['loses']} error {errors[row['loses']]}, {other} error "
        f"{errors[other]}, style less content {between}"
    )


def _against_others(row: Mapping[Any, Any]) -> str:
    """Return how the halves differ from the mean other method, where that is clear."""
    if any(math.isnan(row[f"{half}_gap_low"]) for half in HALVES):
        return ""
    clear = [
        f"{half} error {_interval(row, f'{half}_gap', f'{half}_gap_low', f'{half}_gap_high')}"
        for half in HALVES
        if row[f"{half}_gap_low"] > 0 or row[f"{half}_gap_high"] < 0
    ]
    if not clear:
        return "no clear difference to the mean other method in either half"
    return f"compared with the mean other method: {', '.join(clear)}"


def _interval(row: Mapping[Any, Any], name: str, low: str, high: str) -> str:
    value = row[name]
    sign = "+" if value > 0 else ""
    return f"{sign}{numbers.fixed(value, 2)} [{', '.join(_ends(row, low, high))}]"


def _ends(row: Mapping[Any, Any], *names: str) -> list[str]:
    return [numbers.fixed(row[name], 2) for name in names]


def _styles(row: Mapping[Any, Any]) -> str:
    named = []
    for key in ("worst_style", "second_style"):
        if row[key]:
            others = row[f"{key}_others"]
            rest = "" if math.isnan(others) else f", other methods {numbers.significant(others)}"
            value = numbers.significant(row[f"{key}_value"])
            named.append(f"{shorten(row[key], 40)} ({value}{rest})")
    if not named:
        return ""
    return f"worst style{'s' if len(named) > 1 else ''} {' and '.join(named)}"


def _pairs(row: Mapping[Any, Any]) -> str:
    if row["pairs"] < 2:
        return ""
    found = [
        f"{name} pair {shorten(row[f'{name}_pair_content'], 40)} × "
        f"{shorten(row[f'{name}_pair_style'], 40)} "
        f"({numbers.significant(row[f'{name}_pair_value'])})"
        for name in ("best", "worst")
    ]
    return ", ".join(found)
