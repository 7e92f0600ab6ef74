"""Numbers as a reader wants to see them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from markupsafe import Markup

DASH = "–"
"""Stands for a number that was not measured."""

BYTE_UNITS = frozenset({"B", "byte", "bytes"})


def is_missing(value: float | None) -> bool:
    """Return True for ``None`` and NaN."""
    return value is None or math.isnan(value)


def significant(value: float, digits: int = 3) -> str:
    """Return ``value`` with ``digits`` significant digits: 0.0532, 12.3, 1.46×10⁶."""
    if is_missing(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    # of the rounded number: 0.9999 is 1.00
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    if exponent >= 5 or exponent < -4:
        mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
        return f"{_minus(mantissa)}×10{_superscript(int(power))}"
    return _minus(f"{value:.{max(0, digits - 1 - exponent)}f}")


def fixed(value: float, decimals: int) -> str:
    """Return ``value`` with a fixed number of decimals."""
    if is_missing(value):
        return DASH
    text = f"{value:.{decimals}f}"
    return _minus(text if float(text) else text.lstrip("-"))


def column_format(
    values: Iterable[float], range_: tuple[float, float] = (-math.inf, math.inf)
) -> Callable[[float], str]:
    """Return one format for a whole column.

    Metrics with a bounded range, and columns whose values differ by less than a
    factor of 300, get the same number of decimals, so that digits line up; the
    others get three significant digits per value.
    """
    if all(math.isfinite(end) and abs(end) <= 10 for end in range_):
        return lambda value: fixed(value, 3)
    sizes = sorted(abs(v) for v in values if not is_missing(v) and math.isfinite(v) and v != 0)
    if not sizes or sizes[-1] >= 1e5 or sizes[-1] < 1e-3 or sizes[-1] > 300 * sizes[0]:
        return significant
    wanted = 2 - math.floor(math.log10(sizes[len(sizes) // 4]))
    room = 3 - math.floor(math.log10(max(sizes[-1], 1)))
    decimals = max(0, min(wanted, room))
    return lambda value: fixed(value, decimals)


ROUND_SECONDS = (
    *(10.0**e for e in range(-9, 2)), 60.0, 600.0, 3600.0, 36e3, 86400.0, 864e3, 864e4, 864e5,
)  # fmt: skip
"""Durations that make good ticks of a logarithmic axis."""


def tick(value: float, unit: str = "") -> str:
    """Return the label of an axis: the shortest exact form of a round number."""
    if unit == "s" and value > 0:
        scales = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"))
        size, shown = next((s for s in scales if value >= s[0] * 0.999), (1e-6, "µs"))
        return f"{value / size:.6g} {shown}"
    if unit:
        return quantity(value, unit)
    if 1e4 <= abs(value) < 1e6:
        return thousands(value)
    return significant(value) if abs(value) >= 1e6 else _minus(f"{value:.6g}")


def scaled(unit: str) -> tuple[float, str]:
    """Return the divisor and the unit in which a column is shown (bytes become MiB)."""
    return (2.0**20, "MiB") if unit in BYTE_UNITS else (1.0, unit)


def seconds(value: float) -> str:
    """Return a duration for running text: "42 ms", "1.27 s", "3 min 20 s", "25 h"."""
    if is_missing(value):
        return DASH
    if value < 1e-3:
        return f"{significant(value * 1e6, 2)} µs"
    if value < 1:
        return f"{significant(value * 1e3, 2)} ms"
    if value < 120:
        return f"{significant(value)} s"
    if value < 7200:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{significant(value / 3600)} h" if value < 48 * 3600 else f"{value / 86400:.1f} days"


def thousands(count: float) -> str:
    """Return a whole number with thin spaces between groups of three digits."""
    return _minus(f"{count:,.0f}".replace(",", "\u202f"))


def quantity(value: float, unit: str) -> str:
    """Return a number with its unit for running text."""
    if is_missing(value):
        return DASH
    if unit == "s":
        return seconds(value)
    divisor, shown = scaled(unit)
    return f"{significant(value / divisor)} {shown}".strip()


def or_missing(text: str) -> Markup | str:
    """Return ``text``, or the dash marked up with what it means."""
    if text != DASH:
        return text
    return Markup(
        '<span class="missing" title="not measured"><span aria-hidden="true">–</span>'
        '<span class="sr">not measured</span></span>'
    )


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
