"""Gain over doing nothing: a score against that of the trivial answer of its pair.

For a metric whose best value has a copy of the style, the trivial answer is the content as it is;
for one whose best value has a copy of the content, it is the style in the content's shape. The
gain is the improvement over that answer: positive is better in both directions of a metric, 0 is
as good as doing nothing, and below 0 is worse.

The score of a trivial answer is computed once per pair. It has the key of any output with these
pixels, so it is that of ``content_copy`` or ``style_copy`` where the run has these methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nstbench.contracts import Ideal, Metric, Picture
from nstbench.core.records import Role
from nstbench.pictures.picture import pixel_hash, resize, to_pixels, to_tensor
from nstbench.score.scorer import Scorer

Record = Mapping[str, Any]
Unit = Mapping[str, Any]


class Gains:
    """Scores of the trivial answers of a run, each computed or read once.

    Args:
        scorer: scores with the metrics of the run.
        metrics: registry name -> metric; only pair metrics with an ideal have a gain.
        picture: function that returns the picture of a role and name.
        key: function that returns the key of a metric's score of a unit.
        stored: function that returns the stored records of metrics: metric -> key to record.
    """

    def __init__(
        self,
        scorer: Scorer,
        metrics: Mapping[str, Metric],
        picture: Callable[[Role, str], Picture],
        key: Callable[[str, Unit], str],
        stored: Callable[[Mapping[str, str]], dict[str, Record]],
    ) -> None:
        self._scorer, self._metrics = scorer, metrics
        self._picture, self._key, self._stored = picture, key, stored
        self._known: dict[tuple[str, str, Ideal], dict[str, Record]] = {}

    def of(
        self, unit: Unit, records: Mapping[str, Record], write: Callable[[str, str, Record], None]
    ) -> dict[str, float]:
        """Return metric -> gain of the output of a unit.

        A metric without a value of the output, or of the trivial answer, is left out.

        Args:
            unit: the unit, as in the plan.
            records: metric -> record of the output.
            write: stores a record of a trivial answer under a metric and a key.
        """
        gains = {}
        for ideal in ("content", "style"):
            names = [
                name
                for name, record in records.items()
                if "values" in record and self._metrics[name].info.ideal == ideal
            ]
            trivial = self._trivial(unit, ideal, names, write) if names else {}
            for name in names:
                own, other = _value(records[name]), _value(trivial[name])
                if own is not None and other is not None:
                    better = 1.0 if self._metrics[name].info.higher_is_better else -1.0
                    # Adding 0 turns -0 into 0.
                    gains[name] = better * (own - other) + 0.0
        return gains

    def _trivial(
        self,
        unit: Unit,
        ideal: Ideal,
        names: list[str],
        write: Callable[[str, str, Record], None],
    ) -> dict[str, Record]:
        """Return the records of the pair's trivial answer for metrics of one ideal."""
        known = self._known.setdefault((unit["content"], unit["style"], ideal), {})
        if known.keys() >= set(names):
            return known
        content = self._picture(Role.CONTENT, unit["content"])
        style = self._picture(Role.STYLE, unit["style"])
        answer = content if ideal == "style" else _style_copy(content, style)
        keys = {n: self._key(n, {**unit, "output_sha256": answer.sha256}) for n in names}
        known |= self._stored({n: key for n, key in keys.items() if n not in known})
        missing = keys.keys() - known.keys()
        if missing:
            made = self._scorer.score_pair(answer, content, style, only=missing)
            for name, record in made.items():
                write(name, keys[name], record)
            known |= made
        return known


def _value(record: Record) -> float | None:
    """Return the metric's own value; ``None`` if a stored record has no number there."""
    values = record.get("values")
    value = values.get("") if isinstance(values, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def _style_copy(content: Picture, style: Picture) -> Picture:
    """Return the style in the content's shape, with 8 bits as a saved output has."""
    saved = to_pixels(resize(style.pixels, (content.height, content.width)))
    return Picture(to_tensor(saved).to(style.pixels.device), "style copy", pixel_hash(saved))
