"""Metric plug-ins in the dress of ``torchmetrics.Metric``; see :mod:`nstbench.metrics`.

A plug-in's ``compute`` or ``update`` does the arithmetic, on the features that its ``info``
declares. What is added here is the state: float64 sums, or the plug-in's own mergeable sums,
that torchmetrics can reset, merge and gather over processes.
"""

from __future__ import annotations

import copy
import io
import pickle
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar

import torch

from nstbench.contracts import Metric, PairMetric, Picture, SetMetric
from nstbench.core.errors import NstbenchError, UsageError
from nstbench.core.records import Scope
from nstbench.core.torchvision_shim import ensure_torchvision
from nstbench.nn.backbones.load import load_backbone
from nstbench.plugins import registry
from nstbench.plugins.registry import PluginError
from nstbench.score.feature_bank import FeatureBank, ScoredPair

ensure_torchvision()

import torchmetrics  # noqa: E402  it imports torchvision

_load_once = cache(load_backbone)
_LENGTH = struct.Struct("<Q")


class StandaloneMetric(torchmetrics.Metric):
    """Base of the generated classes.

    Networks are loaded once per process and device, but every metric runs them for itself;
    the scorer, which ``nstbench run`` and ``nstbench score`` use, runs them once for all.

    Args:
        part: which number of the plug-in to report: ``""`` for its own, or the name of one of
            its parts (``"vgg16"`` of ``uef``, for example).
        kwargs: what ``torchmetrics.Metric`` takes.
    """

    plugin: ClassVar[type[Metric]]
    plugin_name: ClassVar[str]
    full_state_update: bool = False
    is_differentiable: bool = False

    def __init__(self, part: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.part = part
        self._ready: tuple[torch.device, Metric, FeatureBank] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out networks, which any process can load for itself."""
        return {**super().__getstate__(), "_ready": None}

    def _machinery(self) -> tuple[Metric, FeatureBank]:
        """Return the plug-in, loaded, and the networks, both on this metric's device."""
        device = torch.device(self.device)
        if self._ready is None or self._ready[0] != device:
            metric = self.plugin()
            metric.load(device)
            # No budget: batches seldom come twice, and many metrics share the memory.
            self._ready = (device, metric, FeatureBank(device, 0, _load_once))
        return self._ready[1:]

    def _pair(
        self, bank: FeatureBank, output: torch.Tensor, content: torch.Tensor, style: torch.Tensor
    ) -> ScoredPair:
        pictures = {"output": output, "content": content, "style": style}
        for name, pixels in pictures.items():
            _check(name, pixels, len(output))
        x, c, s = (Picture(pixels.detach().float(), name) for name, pixels in pictures.items())
        return bank.pair(x, c, s, self.plugin.info.features)

    def _chosen(self, values: dict[str, Any]) -> Any:
        if self.part not in values:
            known = ", ".join(repr(part) for part in values)
            raise UsageError(f"{self.plugin_name} has no part '{self.part}'; it has {known}.")
        return values[self.part]

    def _state(self, kind: str) -> str:
        """Name a state so that no other metric has one of that name.

        A ``MetricCollection`` updates only the first of several metrics whose states have the
        same names and, after the first batch, the same values; on a copy of the content many
        different metrics are 0.
        """
        return "_".join(filter(None, (kind, self.plugin_name, self.part)))


class StandalonePairMetric(StandaloneMetric):
    """Mean of a pair metric over all outputs.

    A batch with a pair for which the metric has no value raises the plug-in's error and
    leaves the state as it was.
    """

    def __init__(self, part: str = "", **kwargs: Any) -> None:
        super().__init__(part, **kwargs)
        zero = torch.zeros((), dtype=torch.float64)
        self.add_state(self._state("sum"), zero, dist_reduce_fx="sum")
        self.add_state(self._state("count"), zero.clone(), dist_reduce_fx="sum")

    def update(self, output: torch.Tensor, content: torch.Tensor, style: torch.Tensor) -> None:
        """Add a batch.

        Args:
            output: float RGB (B, 3, H, W) in [0, 1], on this metric's device.
            content: the contents (B, 3, H, W), or one (1, 3, H, W) for all.
            style: the styles (B, 3, H', W'), or one for all.

        Raises:
            UsageError: if a tensor is not of that kind, or there is no such part.
        """
        metric, bank = self._machinery()
        assert isinstance(metric, PairMetric)
        with torch.no_grad():
            values = self._chosen(metric.compute(self._pair(bank, output, content, style)))
        for kind, added in (("sum", values.sum(dtype=torch.float64)), ("count", len(values))):
            setattr(self, self._state(kind), getattr(self, self._state(kind)) + added)

    def compute(self) -> torch.Tensor:
        """Return the mean, a float64 scalar; NaN before the first output."""
        total: torch.Tensor = getattr(self, self._state("sum"))
        return total / getattr(self, self._state("count"))


class StandaloneSetMetric(StandaloneMetric):
    """A set metric of all outputs.

    The plug-in's sums are kept as bytes: they merge across processes by the plug-in's own
    ``merge``, whatever they are made of. ``state_dict`` leaves them out.
    """

    def __init__(self, part: str = "", **kwargs: Any) -> None:
        super().__init__(part, **kwargs)
        self.add_state(self._state("sums"), [], dist_reduce_fx="cat")

    def update(self, output: torch.Tensor, content: torch.Tensor, style: torch.Tensor) -> None:
        """Add a batch; arguments and errors as for pair metrics."""
        metric, bank = self._machinery()
        assert isinstance(metric, SetMetric)
        collected = self._collected()
        added = copy.deepcopy(metric)
        with torch.no_grad():
            added.update(self._pair(bank, output, content, style))
        collected.merge(added)
        packed = torch.frombuffer(bytearray(_packed(collected)), dtype=torch.uint8)
        setattr(self, self._state("sums"), [packed.to(self.device)])

    def compute(self) -> torch.Tensor:
        """Return the value, a float64 scalar.

        Raises:
            NstbenchError: if there are too few outputs or styles.
        """
        value = self._chosen(self._collected().compute())
        return torch.tensor(value, dtype=torch.float64, device=self.device)

    def _collected(self) -> SetMetric:
        """Merge the sums of all processes into one; after a sync they lie end to end."""
        metric = copy.deepcopy(self._machinery()[0])
        assert isinstance(metric, SetMetric)
        state = getattr(self, self._state("sums"))
        for packed in state if isinstance(state, list) else [state]:
            for sums in _unpacked(packed.to("cpu", torch.uint8).numpy().tobytes(), metric):
                vars(other := copy.copy(metric)).update(sums)
                metric.merge(other)
        return metric


def _packed(metric: SetMetric) -> bytes:
    """Return the attributes of a metric as bytes, their number first.

    The attributes only: classes of plug-in files have no module to be found in.
    """
    stream = io.BytesIO()
    torch.save(vars(metric), stream)
    return _LENGTH.pack(stream.tell()) + stream.getvalue()


def _unpacked(data: bytes, metric: SetMetric) -> Iterator[dict[str, Any]]:
    """Yield what :func:`_packed` made of one metric after the other, running nothing of it.

    Raises:
        NstbenchError: if the bytes name a class that is none of ``metric.state_types``.
    """
    place = 0
    while place < len(data):
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        try:
            with torch.serialization.safe_globals(list(metric.state_types)):
                sums = torch.load(io.BytesIO(data[place : place + length]), weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise NstbenchError(
                f"the sums of {type(metric).__name__} hold something that is not among its "
                f"state_types: {str(error).partition(chr(10))[0]}"
            ) from error
        yield sums
        place += length


@cache
def _make_class(plugin: type[Metric], name: str, module: str) -> type[StandaloneMetric]:
    info = plugin.info
    base = StandalonePairMetric if issubclass(plugin, PairMetric) else StandaloneSetMetric
    low, high = info.range
    return type(
        plugin.__name__,
        (base,),
        {
            # Where pickle finds it again.
            "__module__": module,
            "__doc__": plugin.__doc__,
            "plugin": plugin,
            "plugin_name": name,
            "higher_is_better": info.higher_is_better,
            "plot_lower_bound": low if low > float("-inf") else None,
            "plot_upper_bound": high if high < float("inf") else None,
        },
    )


def standalone_class(name: str, module: str) -> type[StandaloneMetric]:
    """Return the torchmetrics class of a registry metric; see ``nstbench.metrics``.

    Args:
        name: registry name of a pair or set metric.
        module: name of the module where pickle finds the class again.

    Raises:
        UsageError: if there is no such metric, or it reads timing records.
        PluginError: if its file cannot be imported.
    """
    plugin = registry.load("metrics", name)
    if plugin.info.scope == Scope.TIMING:
        raise UsageError(
            f"'{name}' reads a timing record, not pictures; it has no torchmetrics class. "
            "`nstbench run` measures it."
        )
    return _make_class(plugin, name, module)


def class_names() -> dict[str, str]:
    """Return class name -> registry name of all usable pair and set metrics.

    Of two plug-ins whose classes are called alike the first is named here; the other is
    reached by :func:`nstbench.metrics.metric_class`.
    """
    found: dict[str, str] = {}
    for name in registry.names("metrics"):
        try:
            plugin = registry.load("metrics", name)
        except PluginError:
            continue
        if plugin.info.scope != Scope.TIMING:
            found.setdefault(plugin.__name__, name)
    return found


def _check(name: str, pixels: torch.Tensor, count: int) -> None:
    """Refuse what would be scored without an error and mean nothing."""
    shape = tuple(pixels.shape)
    if len(shape) != 4 or shape[1] != 3 or not pixels.is_floating_point():
        raise UsageError(
            f"{name}: expected float RGB pictures (B, 3, H, W) in [0, 1], "
            f"got {pixels.dtype} {shape}."
        )
    if shape[0] not in (1, count):
        raise UsageError(f"{name}: {shape[0]} pictures for {count} outputs; give one or {count}.")
    low, high = (float(value) for value in torch.aminmax(pixels))
    if not (low >= 0 and high <= 1):
        raise UsageError(
            f"{name}: values from {low:.3g} to {high:.3g}; metrics need RGB in [0, 1]."
        )
