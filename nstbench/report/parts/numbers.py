"""Number formats of the report: digits, units, durations and missing values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from markupsafe import Markup

DASH = "–"
"""Text for a number that was not measured."""

BYTE_UNITS = frozenset({"B", "byte", "bytes"})


def is_missing(value: float | None) -> bool:
    """Return True for ``None`` and NaN."""
    return value is None or math.isnan(value)


def significant(value: float, digits: int = 3) -> str:
    """Return ``value`` with a number of significant digits.

    Example:
        >>> significant(0.05321), significant(12.34), significant(1.4567e6)
        ('0.0532', '12.3', '1.46×10⁶')
    """
    if is_missing(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    # the exponent after rounding, because 0.9999 becomes 1.00
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    if exponent >= 5 or exponent < -4:
        mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
        return f"{_minus(mantissa)}×10{_superscript(int(power))}"
    return _minus(f"{value:.{max(0, digits - 1 - exponent)}f}")


def fixed(value: float, decimals: int) -> str:
    """Return ``value`` with a fixed number of decimals; zero has no sign.

    Example:
        >>> fixed(-0.0001, 3)
        '0.000'
    """
    if is_missing(value):
        return DASH
    text = f"{value:.{decimals}f}"
    return _minus(text if float(text) else text.lstrip("-"))


def column_format(
    values: Iterable[float], range_: tuple[float, float] = (-math.inf, math.inf)
) -> Callable[[float], str]:
    """Return one number format for all values of a column.

    Values have three decimals if both ends of ``range_`` are within ±10. Otherwise they share
    a number of decimals if they differ by less than a factor of 300. In both cases the digits
    are aligned. All other values have three significant digits.
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
"""Durations in seconds for the ticks of a logarithmic axis."""


def tick(value: float, unit: str = "") -> str:
    """Return the tick label of a round number in its shortest exact form.

    Example:
        >>> tick(0.01, "s"), tick(864e3, "s"), tick(0.25)
        ('10 ms', '10 d', '0.25')
    """
    if unit == "s" and value > 0:
        scales = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"))
        size, name = next((s for s in scales if value >= s[0] * 0.999), (1e-6, "µs"))
        return f"{value / size:.6g} {name}"
    if unit:
        return quantity(value, unit)
    if 1e4 <= abs(value) < 1e6:
        return thousands(value)
    return significant(value) if abs(value) >= 1e6 else _minus(f"{value:.6g}")


def scaled(unit: str) -> tuple[float, str]:
    """Return the divisor and unit for display: bytes become MiB, other units stay.

    Example:
        >>> scaled("bytes"), scaled("s")
        ((1048576.0, 'MiB'), (1.0, 's'))
    """
    return (2.0**20, "MiB") if unit in BYTE_UNITS else (1.0, unit)


def seconds(value: float) -> str:
    """Return a duration with a unit that fits.

    Example:
        >>> seconds(0.042), seconds(1.273), seconds(200.0), seconds(90000.0)
        ('42 ms', '1.27 s', '3 min 20 s', '25.0 h')
    """
    if is_missing(value):
        return DASH
    if value == 0:
        return "0 s"
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
    """Return a number with its unit.

    Example:
        >>> quantity(2.0**21, "bytes")
        '2.00 MiB'
    """
    if is_missing(value):
        return DASH
    if unit == "s":
        return seconds(value)
    divisor, name = scaled(unit)
    return f"{significant(value / divisor)} {name}".strip()


def or_missing(text: str) -> Markup | str:
    """Return ``text``; a dash gets a tooltip and a text for screen readers."""
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
