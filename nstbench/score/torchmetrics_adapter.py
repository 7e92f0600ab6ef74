"""Metric plug-ins as subclasses of ``torchmetrics.Metric``; see :mod:`nstbench.metrics`.

The plug-in's ``compute`` or ``update`` does the arithmetic, on the features that its ``info``
declares. This module adds the state: float64 sums, or the plug-in's own mergeable sums, which
torchmetrics can reset, merge and gather over processes.
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

    Networks are loaded once per process and device, but every metric runs them separately.
    ``nstbench run`` and ``nstbench score`` use the scorer instead, which runs them once for all
    metrics.

    Args:
        part: the number of the plug-in to report: ``""`` for its own, or the name of one of
            its parts (``"vgg16"`` of ``uef``, for example).
        kwargs: arguments of ``torchmetrics.Metric``.
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
        """Leave out networks, which every process can load."""
        return {**super().__getstate__(), "_ready": None}

    def _loaded(self) -> tuple[Metric, FeatureBank]:
        """Return the loaded plug-in and the networks, both on this metric's device."""
        device = torch.device(self.device)
        if self._ready is None or self._ready[0] != device:
            metric = self.plugin()
            metric.load(device)
            # Budget 0: batches rarely repeat, and many metrics share the memory.
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
            parts = ", ".join(repr(part) for part in values)
            raise UsageError(f"{self.plugin_name} has no part '{self.part}'; it has {parts}.")
        return values[self.part]

    def _state(self, kind: str) -> str:
        """Return a name for a state that no other metric uses.

        A ``MetricCollection`` updates only the first of several metrics whose states have equal
        names and, after the first batch, equal values. Many metrics are 0 for a copy of the
        content, so equal names would be wrong.
        """
        return "_".join(filter(None, (kind, self.plugin_name, self.part)))


class StandalonePairMetric(StandaloneMetric):
    """Mean of a pair metric over all outputs.

    If the metric has no value for a pair of a batch, the plug-in's error is raised and the state
    does not change.
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
            UsageError: if a tensor has another shape, dtype or range, or the part does not exist.
        """
        metric, bank = self._loaded()
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

    The plug-in's sums are stored as bytes, and merged across processes by the plug-in's own
    ``merge``. ``state_dict`` leaves them out.
    """

    def __init__(self, part: str = "", **kwargs: Any) -> None:
        super().__init__(part, **kwargs)
        self.add_state(self._state("sums"), [], dist_reduce_fx="cat")

    def update(self, output: torch.Tensor, content: torch.Tensor, style: torch.Tensor) -> None:
        """Add a batch; arguments and errors are those of :class:`StandalonePairMetric`."""
        metric, bank = self._loaded()
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
        """Merge the sums of all processes; after a synchronisation they are concatenated."""
        metric = copy.deepcopy(self._loaded()[0])
        assert isinstance(metric, SetMetric)
        state = getattr(self, self._state("sums"))
        for packed in state if isinstance(state, list) else [state]:
            for sums in _unpacked(packed.to("cpu", torch.uint8).numpy().tobytes(), metric):
                vars(other := copy.copy(metric)).update(sums)
                metric.merge(other)
        return metric


def _packed(metric: SetMetric) -> bytes:
    """Return the attributes of a metric as bytes, preceded by their length.

    Only attributes are stored, because classes of plug-in files have no importable module.
    """
    stream = io.BytesIO()
    torch.save(vars(metric), stream)
    return _LENGTH.pack(stream.tell()) + stream.getvalue()


def _unpacked(data: bytes, metric: SetMetric) -> Iterator[dict[str, Any]]:
    """Yield the attributes of each metric in the results of :func:`_packed`, without running code.

    Raises:
        NstbenchError: if the bytes name a class that is not in ``metric.state_types``.
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
                f"the sums of {type(metric).__name__} contain a type that is not in its "
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
            # pickle imports the class from this module
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

    If two plug-ins have classes of the same name, only the first is listed. Use
    :func:`nstbench.metrics.metric_class` for the other.
    """
    names: dict[str, str] = {}
    for name in registry.names("metrics"):
        try:
            plugin = registry.load("metrics", name)
        except PluginError:
            continue
        if plugin.info.scope != Scope.TIMING:
            names.setdefault(plugin.__name__, name)
    return names


def _check(name: str, pixels: torch.Tensor, count: int) -> None:
    """Raise for tensors that would get a meaningless score."""
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
