r"""leaderboard.tex: the leaderboard as a booktabs table for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from nstbench.contracts import Section, SectionInfo
from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.report.parts import numbers
from nstbench.report.parts import rows as tables
from nstbench.report.parts.rows import Row

COLUMNS = 6
"""A page is narrow: metrics with a role come first, then the others in table order."""

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "–": "--", "−": "$-$", "×": r"$\times$", "∞": r"$\infty$", "·": r"$\cdot$", "…": r"\dots{}",
    "µ": r"\textmu{}",
}  # fmt: skip

HEAD = r"""% Needs \usepackage{booktabs} and \usepackage[T1]{fontenc}. Bold: best, underlined:
% second best; baselines and methods with few of their pairs apart.
% Small numbers are 95 % intervals.
"""


class LeaderboardTex(Section):
    """Rows of methods, columns of metrics, best and second-best marked, with intervals."""

    info: ClassVar[SectionInfo] = SectionInfo(
        "Leaderboard", "tex", order=25, filename="leaderboard.tex"
    )

    def write(self, board: Board, path: Path) -> None:
        """Write the tabular environment; it compiles with any TeX engine."""
        cards = sorted(tables.measured_metrics(board), key=lambda c: (not c.role, c.order))
        cards = sorted(cards[:COLUMNS], key=lambda c: c.order)
        rows = tables.rows(board)
        groups = [[r for r in rows if r.baseline == side] for side in (False, True)]
        body = "\\midrule\n".join(
            "".join(_line(row, cards, rows) for row in group) for group in groups if group
        )
        heads = ["Rank", "Method", "Coverage", *(_head(card) for card in cards)]
        text = (
            f"{HEAD}\\begin{{tabular}}{{rl{'r' * (len(heads) - 2)}}}\n\\toprule\n"
            f"{' & '.join(heads)} \\\\\n\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n"
        )
        path.write_text(text, encoding="utf-8", newline="\n")


def escape(text: str) -> str:
    """Return text that any TeX engine prints; letters it has no font for become their code."""
    return "".join(
        SPECIAL.get(c, c if c.isprintable() and ord(c) < 0x180 else f"[U+{ord(c):04X}]")
        for c in text
    )


def _head(card: MetricCard) -> str:
    arrow = r"$\uparrow$" if card.higher_is_better else r"$\downarrow$"
    unit = numbers.scaled(card.unit)[1]
    return f"{escape(card.title)}{f' ({escape(unit)})' if unit else ''} {arrow}"


def _line(row: Row, cards: list[MetricCard], rows: list[Row]) -> str:
    cells = [escape(row.rank), escape(tables.short(row.label, 48)), escape(row.coverage)]
    cells += [_cell(row, card, rows) for card in cards]
    return f"{' & '.join(cells)} \\\\\n"


def _cell(row: Row, card: MetricCard, rows: list[Row]) -> str:
    value = row.of(card)
    if not value.known:
        return "--"
    divisor, _ = numbers.scaled(card.unit)
    form = numbers.column_format([r.of(card).value / divisor for r in rows], card.range)
    text = _number(form(value.value / divisor))
    contest = tables.contest([r for r in rows if r.size == row.size], card)
    if row in contest:
        place = sorted({r.loss(card) for r in contest}).index(row.loss(card))
        text = {0: f"\\textbf{{{text}}}", 1: f"\\underline{{{text}}}"}.get(place, text)
    if value.bounded:
        ends = [_number(form(end / divisor)) for end in (value.low, value.high)]
        text += f" {{\\scriptsize [{ends[0]}, {ends[1]}]}}"
    return text


def _number(text: str) -> str:
    """Return a formatted number in TeX: powers of ten in math mode."""
    mantissa, times, power = text.partition("×10")
    exponent = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return escape(mantissa) + (f"$\\times 10^{{{exponent}}}$" if times else "")
