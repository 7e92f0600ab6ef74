"""Compute metrics of outputs; an error in one metric does not affect the others."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import torch

from nstbench.contracts import Metric, PairMetric, Picture, SetMetric
from nstbench.core.errors import ImageError, NoValueError, NstbenchError
from nstbench.core.paths import cache_dir
from nstbench.score.feature_bank import FeatureBank, ScoredPair
from nstbench.score.pair_cache import PairCache

Record = dict[str, Any]
"""``{"values": {part: value}}`` with the metric's own value under ``""``, or ``{"error": reason}``.

A temporary error, such as a lack of memory or missing weights, has ``"again": True`` as well: it
does not depend on the pictures, so it is not stored, and the next run tries again.
"""

Values = dict[str, torch.Tensor]
"""The values of a metric by part, each a tensor of one element."""

NOT_FINITE = "not a finite number"
"""The end of the reason of a value that is NaN or infinite."""

_log = logging.getLogger(__name__)

# Errors that depend on the pictures only. They are stored as results.
_LASTING_ERRORS = (NoValueError, ImageError)


class Scorer:
    """Scores outputs with pair metrics and adds them to set metrics.

    Args:
        metrics: registry name -> instance, not loaded yet. Timing metrics are ignored.
        device: device of networks and metrics; pictures must be on it.
        bank: the feature bank; by default a new one that spills into the cache folder and keeps
            there what later runs need of a pair.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        device: torch.device,
        bank: FeatureBank | None = None,
    ) -> None:
        self.device = device
        self.bank = bank or FeatureBank(
            device, overflow=cache_dir(), lasting=PairCache(cache_dir() / "pairs", device).tensor
        )
        self._pairs = {n: m for n, m in metrics.items() if isinstance(m, PairMetric)}
        self._sets = {n: m for n, m in metrics.items() if isinstance(m, SetMetric)}
        self._broken: dict[str, Record] = {}
        for name, metric in (*self._pairs.items(), *self._sets.items()):
            self._load(name, metric)

    def score_pair(
        self,
        output: Picture,
        content: Picture,
        style: Picture,
        only: Collection[str] | None = None,
    ) -> dict[str, Record]:
        """Score one output with every pair metric, and add it to every set metric.

        Args:
            output: the stylised picture (1, 3, H, W).
            content: the content picture.
            style: the style picture, of any size.
            only: names of the metrics to use; all by default.

        Returns:
            Name of the pair metric -> its record.
        """
        wanted = self._pairs.keys() | self._sets.keys()
        if only is not None:
            wanted &= set(only)
        used: dict[str, Metric] = {**self._pairs, **self._sets}
        needs = [need for name in wanted for need in used[name].info.features]
        computed: dict[str, Values | Exception] = {}
        with torch.inference_mode():
            pair = self.bank.pair(output, content, style, needs)
            for name, metric in self._pairs.items():
                if name in wanted and name not in self._broken:
                    computed[name] = _computed(metric, pair)
            numbers = _numbers(computed)
            records = {
                name: self._record(name, partial(_found, name, computed, numbers))
                for name in self._pairs
                if name in wanted
            }
            for name, collector in self._sets.items():
                if name in wanted and name not in self._broken:
                    self._attempt(name, partial(collector.update, pair))
        return records

    def reset(self, names: Collection[str] | None = None) -> None:
        """Replace the set metrics (all, or those in ``names``) by empty ones, for a new group."""
        for name, metric in self._sets.items():
            if names is None or name in names:
                self._broken.pop(name, None)
                self._sets[name] = type(metric)()
                self._load(name, self._sets[name])

    def set_scores(self, names: Collection[str] | None = None) -> dict[str, Record]:
        """Return the record of each set metric over the outputs since :meth:`reset`."""
        return {
            name: self._record(name, metric.compute)
            for name, metric in self._sets.items()
            if names is None or name in names
        }

    def _load(self, name: str, metric: Metric) -> None:
        self._attempt(name, partial(metric.load, self.device))

    def _attempt(self, name: str, action: Callable[[], object]) -> None:
        """Run an action of a metric; if it fails, the metric has that error from now on."""
        try:
            action()
        except Exception as error:
            self._broken[name] = _failed(name, error)

    def _record(self, name: str, compute: Callable[[], Mapping[str, float]]) -> Record:
        if name in self._broken:
            return self._broken[name]
        try:
            values = dict(compute())
        # Metrics are plug-ins: any exception of theirs is recorded as a missing value.
        except Exception as error:
            return _failed(name, error)
        not_finite = [p or "value" for p, value in values.items() if not math.isfinite(value)]
        if not_finite:
            return {"error": f"{', '.join(not_finite)} is {NOT_FINITE}"}
        return {"values": values}


def _computed(metric: PairMetric, pair: ScoredPair) -> Values | Exception:
    """Return the values of a metric as tensors, or the exception that it raised."""
    try:
        return dict(metric.compute(pair))
    except Exception as error:
        return error


def _numbers(computed: Mapping[str, Values | Exception]) -> dict[tuple[str, str], float]:
    """Return the values of all metrics: (metric, part) -> number.

    They are read together, because each reading waits for a GPU. None are returned if that fails;
    the metrics whose values cannot be read then fail alone.
    """
    tensors = {
        (name, part): value
        for name, values in computed.items()
        if not isinstance(values, Exception)
        for part, value in values.items()
        if isinstance(value, torch.Tensor) and value.numel() == 1
    }
    if not tensors:
        return {}
    try:
        read = torch.stack([value.detach().reshape(()).double() for value in tensors.values()])
        return dict(zip(tensors, read.tolist(), strict=True))
    except (RuntimeError, TypeError):
        return {}


def _found(
    name: str,
    computed: Mapping[str, Values | Exception],
    numbers: Mapping[tuple[str, str], float],
) -> dict[str, float]:
    """Return the numbers of a metric, or raise what it raised."""
    values = computed[name]
    if isinstance(values, Exception):
        raise values
    return {
        part: numbers[name, part] if (name, part) in numbers else float(value.item())
        for part, value in values.items()
    }


def _failed(name: str, error: Exception) -> Record:
    _log.debug("metric %s failed", name, exc_info=error)
    has_text = isinstance(error, NstbenchError)
    record: Record = {"error": str(error) if has_text else f"{type(error).__name__}: {error}"}
    return record if isinstance(error, _LASTING_ERRORS) else {**record, "again": True}
