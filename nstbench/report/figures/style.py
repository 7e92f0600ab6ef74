"""The common style of the Matplotlib figures: colours, axis titles, error axes and saving."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nstbench.core.cards import MetricCard
from nstbench.core.records import Flexibility
from nstbench.report.parts import numbers
from nstbench.report.parts.rows import Interval

# The colour-blind safe palette of Okabe and Ito (2008), https://jfly.uni-koeln.de/color/
MARKS = {
    Flexibility.ARBITRARY.value: ("o", "#0072B2"),
    Flexibility.PER_STYLE.value: ("^", "#D55E00"),
    Flexibility.MULTI_STYLE.value: ("s", "#009E73"),
    Flexibility.DOMAIN.value: ("D", "#CC79A7"),
    Flexibility.BASELINE.value: ("x", "#666666"),
}
"""Flexibility class -> marker and colour."""

SUMS = (0.25, 0.5, 0.75, 1.0, 1.25)
"""Distances from (0, 0) at which an arc is drawn."""

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    # text stays text, so that journals can search and edit it
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "nstbench",
}

NO_DATE: dict[str, dict[str, str | None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""Metadata per format without a date, so that the same board gives the same bytes."""


@contextmanager
def saved_figure(path: Path, format: str, inches: tuple[float, float]) -> Iterator[Figure]:
    """Yield an empty figure, and write it to ``path`` when the block ends.

    Args:
        path: file to write.
        format: ``"png"`` (300 dpi), ``"svg"`` or ``"pdf"``; the same drawing gives the same
            bytes.
        inches: width and height.
    """
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # Matplotlib draws a box for a character that its font lacks, and warns about it
        warnings.filterwarnings("ignore", message="(Glyph|Matplotlib currently)")
        figure = Figure(figsize=inches, layout="constrained")
        yield figure
        figure.savefig(path, format=format, dpi=300, metadata=NO_DATE.get(format))


def error_bar(interval: Interval) -> list[list[float]] | None:
    """Return an interval as Matplotlib expects it: distances below and above the value."""
    if not interval.bounded:
        return None
    return [[interval.value - interval.low], [interval.high - interval.value]]


def finish_error_axes(axes: Axes) -> None:
    """Start both error axes at 0 and draw lines of equal sums of both errors."""
    if not axes.lines:
        return
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    limits = axes.get_xlim(), axes.get_ylim()
    for level in SUMS:
        axes.plot((0, level), (level, 0), color="#bbbbbb", linewidth=0.7, zorder=0)
        # near the upper axis, because most methods are near the diagonal
        place = (0.12 * level, 0.88 * level)
        axes.annotate(f"{level:g}", place, fontsize=6, color="#777777", clip_on=True)
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])


def axis_title(card: MetricCard) -> str:
    """Return a metric's title with its unit and an arrow towards better values."""
    unit = numbers.scaled(card.unit)[1]
    arrow = "↑" if card.higher_is_better else "↓"
    return plain(f"{card.title}{f' ({unit})' if unit else ''} {arrow}")


def plain(text: str) -> str:
    r"""Return text with the characters escaped that Matplotlib reads as mathematics.

    Example:
        >>> plain("a$b")
        'a\\$b'
    """
    return text.replace("\\", "\\\\").replace("$", "\\$")
