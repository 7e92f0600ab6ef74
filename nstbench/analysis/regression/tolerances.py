"""Settings of a check: tolerances (``--fail-on``), and when speed is compared (``--speed``)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from nstbench.analysis.regression.baseline import MetricFacts
from nstbench.core.errors import UsageError, did_you_mean
from nstbench.core.records import Scope

DEFAULTS = {"quality": 0.02, "content": 0.02, "style": 0.02, "speed": 0.15}
"""Role of a metric -> share of its value by which it may get worse."""

_PATTERN = re.compile(r"(?P<metric>[^:]+):(?P<sign>[+-]?)(?P<number>\d+(?:\.\d*)?)(?P<percent>%?)")


class Speed(StrEnum):
    """What a check does about speed."""

    REQUIRED = "required"
    """Speed that cannot be compared is like any other row that cannot."""
    IF_KNOWN = "if-known"
    """Speed is compared if the baseline has samples of this kind of processor."""
    OFF = "off"
    """Speed has no rows."""


def parse_speed(text: str) -> Speed:
    """Parse the value of ``--speed``.

    Raises:
        UsageError: for any other value.
    """
    try:
        return Speed(text)
    except ValueError:
        known = [str(speed) for speed in Speed]
        raise UsageError(
            f"--speed {text}: must be {', '.join(known[:-1])} or {known[-1]}."
            f"{did_you_mean(text, known)}"
        ) from None


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much worse a metric may become.

    Attributes:
        metric: name of the metric.
        amount: a share of the value if ``relative``, else a change in units of the metric.
        relative: see ``amount``.

    Example:
        >>> tolerance = Tolerance("uef", 0.02)
        >>> str(tolerance), tolerance.allowed(5.0)
        ('2 %', 0.1)
    """

    metric: str
    amount: float
    relative: bool = True

    def __str__(self) -> str:
        """Return the amount as ``--fail-on`` takes it, without the sign."""
        return f"{100 * self.amount:g} %" if self.relative else f"{self.amount:g}"

    def allowed(self, level: float) -> float:
        """Return the allowed change of a value ``level``, in units of the metric."""
        return self.amount * abs(level) if self.relative else self.amount


def parse_tolerances(
    texts: Sequence[str], metrics: Mapping[str, MetricFacts]
) -> tuple[Tolerance, ...]:
    """Parse ``metric:+2%`` and ``metric:+0.01``; without texts, return the defaults of the roles.

    The sign is the direction that counts as worse; it is optional.

    Args:
        texts: tolerances; one text may contain several, separated by commas or spaces.
        metrics: the baseline's metrics.

    Raises:
        UsageError: for unknown metrics, unreadable text, a sign that points to the better
            side, or a metric that cannot be checked.
    """
    parts = [part for text in texts for part in re.split(r"[,\s]+", text) if part]
    if not parts:
        defaults = tuple(
            Tolerance(name, DEFAULTS[facts.role])
            for name, facts in metrics.items()
            if facts.role in DEFAULTS
        )
        if not defaults:
            raise UsageError(
                "The baseline has no metric with a default tolerance; name metrics with "
                f"--fail-on 'METRIC:+2%'. It has: {', '.join(metrics) or 'none'}."
            )
        return defaults
    tolerances = tuple(_parse(part, metrics) for part in parts)
    names = [tolerance.metric for tolerance in tolerances]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"--fail-on: '{twice[0]}' is named twice.")
    return tolerances


def _parse(text: str, metrics: Mapping[str, MetricFacts]) -> Tolerance:
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--fail-on {text}: write METRIC:+2% (a share) or METRIC:+0.01 (in its unit)."
        )
    name = match["metric"]
    if name not in metrics:
        raise UsageError(
            f"--fail-on {text}: the baseline has no metric '{name}'.{did_you_mean(name, metrics)}"
        )
    facts = metrics[name]
    worse = "-" if facts.higher_is_better else "+"
    if match["sign"] and match["sign"] != worse:
        word = "higher" if facts.higher_is_better else "lower"
        raise UsageError(
            f"--fail-on {text}: {word} {name} is better, so only {name}:{worse}... can fail."
        )
    clocked = facts.unit == "s" or facts.unit.endswith("/s")
    if facts.scope == Scope.TIMING and clocked and facts.role != "speed":
        raise UsageError(
            f"--fail-on {text}: {name} is a single time without samples to test; "
            "check the latency instead."
        )
    amount = float(match["number"]) / (100 if match["percent"] else 1)
    return Tolerance(name, amount, bool(match["percent"]))
