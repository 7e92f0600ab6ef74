"""Studies: a parameter grid of one method, run as variants and drawn as curves.

A study compares settings. As each setting trades content for style at another rate, a single
point is not enough: each setting is a curve, traced by one parameter (usually the content weight),
and curves are compared (see :mod:`nstbench.report.parts.fronts`).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nstbench.core.yaml_values import number, read_value, split_outside_brackets

MOST_VARIANTS = 200
"""Upper limit of variants: a chart with more is not readable."""

LOG_FROM = 10.0
"""Ratio of the ends from which a range of positive numbers is spaced logarithmically."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?::(\d+))?")
_WHOLE = re.compile(r"[+-]?\d+")


@dataclass(frozen=True, slots=True)
class StudyVariant:
    """One point of a study.

    Attributes:
        label: label on the board: the swept values only.
        series: label of its curve.
        value: value of the traced parameter, or ``None`` without one.
        params: parameters that differ from the method's defaults.
    """

    label: str
    series: str
    value: Any
    params: Mapping[str, Any]


class Study(BaseModel):
    """A method, a grid of its parameters, and how the points make curves.

    The variants are all combinations of a series with the values of the grid. Combinations
    that differ in ``along`` only are one curve.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = Field(description="name of the method")
    question: str = Field("", description="question of the study, for the report")
    params: dict[str, Any] = Field(
        default_factory=dict, description="parameters that all variants share"
    )
    grid: dict[str, tuple[Any, ...]] = Field(
        description="parameter -> values: a list, or text like '1e-4..1e-1:6' (see parse_grid)"
    )
    along: str = Field(
        "",
        description="parameter that varies along a curve; by default the first of the grid with "
        "several numbers",
    )
    series: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="name -> parameters of a curve, for settings that are not a grid; a curve may "
        "have its own values of the traced parameter",
    )
    baseline: str = Field("", description="series that the others are compared with")

    @field_validator("grid", mode="before")
    @classmethod
    def _read_grid(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            return {str(name): _values(values) for name, values in given.items()}
        return parse_grid([given] if isinstance(given, str) else given)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.grid:
            raise ValueError("the grid is empty; name a parameter and its values")
        if self.along and self.along not in self.grid:
            raise ValueError(f"along: '{self.along}' is not in the grid ({', '.join(self.grid)})")
        for params in self.series.values():
            _refuse_repeats(self.traced, self._traced_values(params))
        for name, values in self.grid.items():
            _refuse_repeats(name, values)
            beside = [self.params] if name == self.traced else [self.params, *self.series.values()]
            if any(name in params for params in beside):
                raise ValueError(f"'{name}' is given twice: in the grid and in the parameters")
        lengths = [len(values) for name, values in self.grid.items() if name != self.traced]
        curves = [len(self._traced_values(params)) or 1 for params in self.series.values() or [{}]]
        count = math.prod(lengths) * sum(curves)
        if count > MOST_VARIANTS:
            raise ValueError(
                f"the grid has {count} variants; a board takes at most {MOST_VARIANTS}. "
                "Give fewer values, or run parts of the grid with separate --out folders"
            )
        labels = self.series_labels()
        if self.baseline and self.baseline not in labels:
            raise ValueError(
                f"baseline: there is no series '{self.baseline}', but {', '.join(labels)}"
            )
        return self

    @property
    def traced(self) -> str:
        """Return the parameter that varies along a curve, or ``""`` if each curve is a point."""
        numeric = (name for name, values in self.grid.items() if _several_numbers(values))
        return self.along or next(numeric, "")

    def series_labels(self) -> list[str]:
        """Return the labels of all curves, in order."""
        return [label for label, _ in self._curves()]

    def variants(self) -> list[StudyVariant]:
        """Return all variants, curve by curve."""
        traced = self.traced
        found = []
        for series, params in self._curves():
            if not traced:
                found.append(StudyVariant(series, series, None, params))
            for value in self._traced_values(params):
                label = f"{series}, {traced}={shown(value)}"
                found.append(StudyVariant(label, series, value, {**params, traced: value}))
        return found

    def _traced_values(self, params: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the values along the curve with these parameters."""
        if not self.traced:
            return ()
        own = params.get(self.traced)
        return self.grid[self.traced] if own is None else _values(own)

    def _curves(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield label and parameters of each curve, without the traced parameter."""
        others = {name: values for name, values in self.grid.items() if name != self.traced}
        for name, params in (self.series or {"": {}}).items():
            for values in itertools.product(*others.values()):
                swept = dict(zip(others, values, strict=True))
                parts = [name, *(f"{key}={shown(value)}" for key, value in swept.items())]
                label = ", ".join(part for part in parts if part) or self.method
                yield label, {**self.params, **params, **swept}


def parse_grid(texts: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Read a grid such as ``"alpha_beta=1e-4..1e-1:6,optimizer=adam,lbfgs"``.

    A part without ``=`` is a further value of the parameter before it. Values are YAML:
    ``true``, ``3``, ``adam``, ``[relu1_1,relu2_1]``. ``a..b:n`` stands for n numbers from a
    to b, logarithmically spaced if both are positive and a factor of ten or more apart, else
    linearly. They are rounded to three digits, and to integers if both ends are written as
    integers, where that leaves n different numbers.

    Raises:
        ValueError: if the text cannot be read.
    """
    grid: dict[str, list[str]] = {}
    name = ""
    for part in itertools.chain.from_iterable(map(split_outside_brackets, texts)):
        before, equals, value = part.partition("=")
        if equals:
            name = before.strip()
            if name in grid:
                raise ValueError(f"'{name}' is named twice; write {name}=a,b for two values")
            grid[name] = []
        elif not name:
            raise ValueError(f"'{part}' comes before any parameter; write parameter=value,value")
        text = value if equals else part
        grid[name] += [text] if text.strip() else []
    return {name: _values(parts) for name, parts in grid.items()}


def shown(value: Any) -> str:
    """Return a value as text for labels: ``0.0001``, ``adam``, ``relu1_1+relu2_1``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, list | tuple):
        return "+".join(map(shown, value)) or "none"
    return str(value)


def _values(given: Any) -> tuple[Any, ...]:
    """Return the values that a list or a text stands for."""
    if isinstance(given, str):
        given = split_outside_brackets(given)
    if not isinstance(given, list | tuple):
        given = [given]
    return tuple(value for item in given for value in _read(item))


def _read(item: Any) -> tuple[Any, ...]:
    if not isinstance(item, str):
        return (item,)
    match = _RANGE.fullmatch(item.strip())
    if match:
        return _numbers(match[1], match[2], match[3])
    if ".." in item:
        raise ValueError(f"{item} cannot be read; a range is written first..last:count")
    return (number(read_value(item)),)


def _numbers(first: str, last: str, count: str | None) -> tuple[float, ...]:
    """Return the numbers of a range."""
    text = f"{first}..{last}"
    if count is None or int(count) < 2 or float(first) == float(last):
        raise ValueError(
            f"{text} needs two different ends and the number of values, 2 or more: {text}:5"
        )
    if int(count) > MOST_VARIANTS:
        raise ValueError(f"{text}:{count} has more than {MOST_VARIANTS} values; take fewer")
    values = _spaced(float(first), float(last), int(count))
    if _WHOLE.fullmatch(first) and _WHOLE.fullmatch(last):
        whole = [round(value) for value in values]
        if len(set(whole)) == len(whole):
            return tuple(whole)
    for digits in (3, 6):
        rounded = [float(f"{value:.{digits}g}") for value in values]
        if len(set(rounded)) == len(rounded):
            return tuple(rounded)
    return tuple(values)


def _spaced(first: float, last: float, count: int) -> list[float]:
    logarithmic = min(first, last) > 0 and max(first, last) >= LOG_FROM * min(first, last)
    shares = [i / (count - 1) for i in range(1, count - 1)]
    if logarithmic:
        between = [first * (last / first) ** share for share in shares]
    else:
        between = [first + (last - first) * share for share in shares]
    return [first, *between, last]


def _refuse_repeats(name: str, values: Sequence[Any]) -> None:
    labels = [shown(value) for value in values]
    if name and not labels:
        raise ValueError(f"'{name}' has no value")
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"'{name}' has the value {label} twice")


def _several_numbers(values: Sequence[Any]) -> bool:
    return len(values) > 1 and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )
