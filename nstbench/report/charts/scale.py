"""Axes of charts: the pixel of a data value, and the values of the ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from nstbench.report.parts import numbers


@dataclass(frozen=True)
class Scale:
    """Maps data values ``low..high`` to pixels ``start..stop``, linearly or logarithmically.

    Example:
        >>> Scale(0.0, 10.0, start=50.0, stop=450.0)(5.0)
        250.0
    """

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    @classmethod
    def fit(
        cls,
        values: Iterable[float],
        start: float,
        stop: float,
        *,
        log: bool = False,
        zero: bool = False,
    ) -> Scale:
        """Return a scale that contains all finite values, with a margin at both ends.

        Args:
            values: data values; a logarithmic scale omits those that are not positive.
            start: pixel of the lower end.
            stop: pixel of the upper end.
            log: True for a logarithmic scale.
            zero: True to start at 0 if no value is negative.
        """
        finite = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
        low, high = (min(finite), max(finite)) if finite else (0.1, 1.0)
        if log:
            room = max(1.15, (high / low) ** 0.06)
            return cls(low / room, high * room, start, stop, log=True)
        low = 0.0 if zero and low >= 0 else low
        room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        return cls(low if zero and low == 0 else low - room, high + room, start, stop)

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; it is outside the plot for values outside the scale."""
        if self.log:
            value = max(value, self.low * 1e-3)
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    def holds(self, value: float) -> bool:
        """Return True if the value is on the scale."""
        return self.low <= value <= self.high

    def clip(self, value: float) -> float:
        """Return the pixel of a value, limited to the ends of the scale."""
        return self(min(max(value, self.low), self.high))

    def ticks(self, count: int = 6, unit: str = "") -> list[float]:
        """Return about ``count`` round values inside the scale."""
        if self.log and unit == "s":
            inside = [v for v in numbers.ROUND_SECONDS if self.low <= v <= self.high]
            if len(inside) > 2:
                return inside[:: math.ceil(len(inside) / count)]
        return self._log_ticks(count) if self.log else self._linear_ticks(count)

    def _linear_ticks(self, count: int) -> list[float]:
        rough = (self.high - self.low) / count
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]

    def _log_ticks(self, count: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        mantissas = (1, 2, 5) if last - first <= count / 2 else (1,)
        every = max(1, math.ceil((last - first) / count))
        values = [m * 10.0**e for e in range(first, last + 1, every) for m in mantissas]
        inside = [v for v in values if self.low <= v <= self.high]
        return inside if len(inside) > 1 else self._linear_ticks(count)
