"""The page of a history: one chart per method and metric, readable without a script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from nstbench import __version__
from nstbench.analysis.regression.history import ChangePoint, Trend, Version
from nstbench.report.charts.scale import Scale
from nstbench.report.charts.svg import NARROW, Canvas
from nstbench.report.parts import numbers, templates

_SIZE = (NARROW[0] + 120, 260)
_LABELS = 8
"""Largest number of tick labels."""


def history_page(versions: Sequence[Version], trends: Sequence[Trend]) -> str:
    """Return a self-contained HTML page.

    Args:
        versions: oldest first.
        trends: their trends, from :func:`nstbench.analysis.regression.history.trends`.
    """
    style = templates.inline("report.css")
    keys = dict.fromkeys((trend.method, trend.size) for trend in trends)
    return templates.render(
        "history.html",
        policy=templates.content_policy(style),
        style=style,
        version=__version__,
        versions=[_version(version) for version in versions],
        methods=[
            {
                "name": method,
                "size": size,
                "charts": [
                    _chart(trend)
                    for trend in trends
                    if (trend.method, trend.size) == (method, size)
                ],
            }
            for method, size in keys
        ],
        changes=[_change(trend, change) for trend in trends for change in trend.changes],
        undecided=sum(bool(point.undecided) for trend in trends for point in trend.points),
    )


def _version(version: Version) -> dict[str, Any]:
    baseline = version.baseline
    return {
        "label": version.label,
        "saved": baseline.saved,
        "commit": baseline.environment.get("git") or numbers.DASH,
        "machine": baseline.environment.get("device_name") or numbers.DASH,
        "reasons": "; ".join(update.reason for update in baseline.updates) or numbers.DASH,
    }


def _change(trend: Trend, change: ChangePoint) -> dict[str, Any]:
    share = (change.after - change.before) / abs(change.before) if change.before else math.nan
    return {
        "label": change.label,
        "since": change.since,
        "method": f"{trend.method}, {trend.size} px",
        "metric": trend.title,
        "before": _value(trend, change.before),
        "after": _value(trend, change.after),
        "share": numbers.DASH if math.isnan(share) else f"{100 * share:+.1f} %".replace("-", "−"),
        "verdict": "worse" if change.worse else "better",
    }


def _value(trend: Trend, value: float) -> str:
    if trend.unit == "kernels":
        return f"{numbers.significant(value)} kernels"
    return numbers.quantity(value, trend.unit)


def _chart(trend: Trend) -> Markup:
    """Return the chart of one trend, with special marks for changed and undecided versions."""
    measured = [(i, p) for i, p in enumerate(trend.points) if not math.isnan(p.value)]
    title = trend.title + (f" [{trend.unit}]" if trend.unit else "")
    canvas = Canvas(
        *_SIZE,
        x=Scale(-0.4, len(trend.points) - 0.4, 56, _SIZE[0] - 16),
        y=Scale.fit([p.value for _, p in measured], _SIZE[1] - 44, 28, zero=True),
        x_title="version",
        y_title=title,
        name=f"{title} of {trend.method} at {trend.size} px, by version",
        x_names=_ticks(trend),
    )
    canvas.path([(i, p.value) for i, p in measured], "line s0 d0")
    changed = {change.label: change for change in trend.changes}
    for i, point in measured:
        change = changed.get(point.label)
        tip = [point.label, f"{trend.title} {_value(trend, point.value)}"]
        kind, radius = "arbitrary", 4.0
        if change:
            kind, radius = "domain", 8.0
            tip.append(f"{'worse' if change.worse else 'better'} since {change.since}")
        elif point.undecided:
            kind, radius = "per-style", 8.0
            tip.append(f"undecided: too few values for a test against {point.undecided}")
        canvas.point(i, point.value, kind, "", tip, radius)
        if change:
            word = "worse" if change.worse else "better"
            canvas.label(i, point.value, f"{point.label}: {word}", gap=12)
        elif point.undecided:
            canvas.label(i, point.value, f"{point.label}: undecided", gap=12)
    return canvas.svg()


def _ticks(trend: Trend) -> tuple[tuple[float, str], ...]:
    """Return index and label of the versions with a tick label."""
    step = max(1, math.ceil(len(trend.points) / _LABELS))
    return tuple((float(i), p.label) for i, p in enumerate(trend.points) if i % step == 0)
