"""The leaderboard as a LaTeX table with booktabs."""

from __future__ import annotations

from nstbench.core.board import Board
from nstbench.core.cards import MetricCard
from nstbench.report.parts import numbers
from nstbench.report.parts.rows import (
    Row,
    contenders,
    leaderboard_rows,
    measured_metrics,
    shorten,
)

COLUMNS = 6
"""Largest number of metric columns, because a page is narrow; metrics with a role come first."""

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "–": "--", "−": "$-$", "×": r"$\times$", "∞": r"$\infty$", "·": r"$\cdot$", "…": r"\dots{}",
    "µ": r"\textmu{}",
}  # fmt: skip

HEAD = r"""% Needs \usepackage{booktabs} and \usepackage[T1]{fontenc}. Bold: best, underlined:
% second best, without baselines and methods with few of their pairs.
% Small numbers are 95 % intervals.
"""


def leaderboard_tex(board: Board) -> str:
    """Return the leaderboard as a ``tabular`` environment for any TeX engine.

    Columns are metrics, rows are methods with intervals. The best value is bold, the second
    best underlined.
    """
    cards = sorted(measured_metrics(board), key=lambda c: (not c.role, c.order))
    cards = sorted(cards[:COLUMNS], key=lambda c: c.order)
    rows = leaderboard_rows(board)
    groups = [[r for r in rows if r.baseline == baseline] for baseline in (False, True)]
    body = "\\midrule\n".join(
        "".join(_line(row, cards, rows) for row in group) for group in groups if group
    )
    heads = ["Rank", "Method", "Coverage", *(_head(card) for card in cards)]
    return (
        f"{HEAD}\\begin{{tabular}}{{rl{'r' * (len(heads) - 2)}}}\n\\toprule\n"
        f"{' & '.join(heads)} \\\\\n\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n"
    )


def escape(text: str) -> str:
    r"""Return text for any TeX engine; characters beyond Latin become their code.

    Example:
        >>> escape("a_b 50%")
        'a\\_b 50\\%'
    """
    return "".join(
        SPECIAL.get(c, c if c.isprintable() and ord(c) < 0x180 else f"[U+{ord(c):04X}]")
        for c in text
    )


def _head(card: MetricCard) -> str:
    arrow = r"$\uparrow$" if card.higher_is_better else r"$\downarrow$"
    unit = numbers.scaled(card.unit)[1]
    return f"{escape(card.title)}{f' ({escape(unit)})' if unit else ''} {arrow}"


def _line(row: Row, cards: list[MetricCard], rows: list[Row]) -> str:
    cells = [escape(row.rank), escape(shorten(row.label, 48)), escape(row.coverage)]
    cells += [_cell(row, card, rows) for card in cards]
    return f"{' & '.join(cells)} \\\\\n"


def _cell(row: Row, card: MetricCard, rows: list[Row]) -> str:
    value = row.of(card)
    if not value.known:
        return "--"
    divisor, _ = numbers.scaled(card.unit)
    form = numbers.column_format([r.of(card).value / divisor for r in rows], card.range)
    count = row.counts.get(card.name, "")
    text = count or _number(form(value.value / divisor))
    candidates = contenders([r for r in rows if r.size == row.size], card)
    if row in candidates:
        place = sorted({r.loss(card) for r in candidates}).index(row.loss(card))
        text = {0: f"\\textbf{{{text}}}", 1: f"\\underline{{{text}}}"}.get(place, text)
    if value.bounded:
        ends = [_number(form(end / divisor)) for end in (value.low, value.high)]
        share = f"{_number(form(value.value / divisor))} " if count else ""
        text += f" {{\\scriptsize {share}[{ends[0]}, {ends[1]}]}}"
    if covered := row.covered.get(card.name, ""):
        text += f" {{\\scriptsize ({covered})}}"
    return text


def _number(text: str) -> str:
    """Return a formatted number in TeX, with powers of ten in math mode."""
    mantissa, times, power = text.partition("×10")
    exponent = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return escape(mantissa) + (f"$\\times 10^{{{exponent}}}$" if times else "")
