"""The contract of metrics of a pair, of a set of outputs, and of a timing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self

from nstbench.contracts.base import Picture
from nstbench.contracts.weights import Weight
from nstbench.core.records import Scope, Timing

if TYPE_CHECKING:
    import torch


Ideal = Literal["content", "style"]
"""The picture of which a copy has a metric's best value."""

Preset = Literal["core", "field"]
"""A named choice of metrics: ``--metrics core`` is what this project trusts, ``--metrics field``
what papers print."""


@dataclass(frozen=True, slots=True)
class Features:
    """Layers of one network whose activations a metric reads.

    ``of`` names the pictures: ``"output"``, ``"content"``, ``"style"`` or
    ``"style_as_content"`` (the style picture resized to the content's shape). The scorer runs
    each network once per picture, up to the deepest layer that a metric reads. With ``gram``,
    the metric reads only Gram matrices and means of these layers, and the larger activations are
    not kept.
    With ``side``, each picture is first scaled to a short side of that many pixels.

    Example:
        >>> Features("vgg16", ("relu1_1", "relu2_1"), of=("output", "style"), gram=True).network
        'vgg16'
    """

    network: str
    layers: tuple[str, ...]
    of: tuple[str, ...]
    gram: bool = False
    side: int | None = None


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """Facts about a metric.

    Attributes:
        title: short name for a table head.
        scope: pair, set or timing.
        higher_is_better: direction of improvement.
        range: least and greatest possible value.
        unit: unit of the value; empty for pure numbers.
        citation: source of the definition.
        version: raise it when the definition changes; it is part of the score's key.
        features: network layers that the metric reads.
        weights: further weight files (LPIPS heads, for example).
        requires: importable Python packages that nstbench itself does not need.
        home_for: ``trained_on`` tags of methods that optimise the statistic of this metric.
        role: the axis of the trade-off that this metric measures, or empty: ``"quality"``
            orders the board, ``"content"`` and ``"style"`` are its two halves, ``"total"`` is
            their sum, ``"bar"`` is 1 for an output that is better than the trivial answers and
            else 0 (tables count its pairs), ``"speed"`` and ``"memory"`` are the cost.
        ideal: ``"content"`` or ``"style"`` if a copy of that picture, as output, has the best
            value; ``None`` if neither has.
        presets: the named choices of metrics that this one belongs to. Timing metrics belong to
            all of them and state none.
        order: position in tables, small first.
        description: one sentence for readers of the report.

    Example:
        >>> MetricInfo("mean", Scope.PAIR, False, (0.0, 1.0), "me", "mean of the output").version
        1
    """

    title: str
    scope: Scope
    higher_is_better: bool
    range: tuple[float, float]
    citation: str
    description: str
    unit: str = ""
    version: int = 1
    features: tuple[Features, ...] = ()
    weights: tuple[Weight, ...] = ()
    requires: tuple[str, ...] = ()
    home_for: tuple[str, ...] = ()
    role: str = ""
    ideal: Ideal | None = None
    presets: tuple[Preset, ...] = ()
    order: int = 100


class ScoringPair(Protocol):
    """Output, content and style with their features, as metrics receive them.

    A batch has B outputs of one shape; B is the first dimension of every tensor.
    """

    output: Picture
    content: Picture
    style: Picture

    def features(
        self, network: str, of: str, side: int | None = None
    ) -> Mapping[str, torch.Tensor]:
        """Return layer name -> float32 activations (B, C, H, W) of ``of`` (see Features)."""
        ...

    def gram(self, network: str, of: str, layer: str) -> torch.Tensor:
        """Return the Gram matrix F F^T / N, N = H*W, as float64 (B, C, C)."""
        ...

    def mean(self, network: str, of: str, layer: str) -> torch.Tensor:
        """Return the means of a layer over positions as float64 (B, C)."""
        ...

    def kept(
        self,
        name: str,
        of: Sequence[str],
        make: Callable[[], torch.Tensor],
        networks: Sequence[str] = (),
    ) -> torch.Tensor:
        """Return the tensor of ``make``, computed once for all metrics; do not change it.

        ``of`` names the pictures that it depends on (see Features). A tensor that does not
        depend on the output is used for later pairs too; B may then be 1. With ``networks``, the
        names of those whose features ``make`` reads, it is also kept in a file for later runs.
        This is for few float64 numbers that take many passes.
        """
        ...

    def with_output(self, output: Picture, needs: Iterable[Features]) -> ScoringPair:
        """Return a pair of another output with the same content and style.

        ``needs`` are the features that may be asked of it. What was made of content and style
        is shared.
        """
        ...


class Metric(ABC):
    """Base of all metrics. ``load`` is called once before the first use.

    Derive a metric from :class:`PairMetric`, :class:`SetMetric` or :class:`TimingMetric`.

    Example:
        >>> issubclass(PairMetric, Metric)
        True
    """

    info: ClassVar[MetricInfo]

    def load(self, device: torch.device) -> None:  # noqa: B027  most metrics load nothing
        """Load the metric's own weights to ``device``."""


class PairMetric(Metric):
    """A metric that compares one output with its content and style.

    Example:
        >>> class Brightness(PairMetric):
        ...     info = MetricInfo("brightness", Scope.PAIR, True, (0.0, 1.0), "me", "mean value")
        ...     def compute(self, pair):
        ...         return {"": pair.output.pixels.double().mean(dim=(1, 2, 3))}
        >>> Brightness().info.title
        'brightness'
    """

    @abstractmethod
    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the value under ``""``, and parts under their names, each of shape (B,)."""


class SetMetric(Metric):
    """A metric of all outputs of one method: running sums that can be merged.

    ``state_types`` names the classes of its attributes other than tensors and plain
    containers. State from another process may contain no other classes.

    Example:
        >>> class Mean(SetMetric):
        ...     info = MetricInfo("mean", Scope.SET, True, (0.0, 1.0), "me", "mean value")
        ...     total, count = 0.0, 0
        ...     def update(self, pair):
        ...         self.total += float(pair.output.pixels.sum())
        ...         self.count += pair.output.pixels.numel()
        ...     def merge(self, other):
        ...         self.total, self.count = self.total + other.total, self.count + other.count
        ...     def compute(self):
        ...         return {"": self.total / self.count}
        >>> one, two = Mean(), Mean()
        >>> one.total, one.count, two.total, two.count = 1.0, 1, 3.0, 1
        >>> one.merge(two)
        >>> one.compute()
        {'': 2.0}
    """

    state_types: ClassVar[tuple[type, ...]] = ()

    @abstractmethod
    def update(self, pair: ScoringPair) -> None:
        """Add one batch to the running sums."""

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Add the running sums of another instance."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return the value under ``""``, and parts under their names."""


class TimingMetric(Metric):
    """A number of a method's timing record.

    Example:
        >>> class Slowest(TimingMetric):
        ...     info = MetricInfo("slowest", Scope.TIMING, False, (0.0, 1e9), "me", "max", unit="s")
        ...     def compute(self, timing):
        ...         return {"": max(timing.latency)} if timing.latency else {}
        >>> Slowest().info.unit
        's'
    """

    @abstractmethod
    def compute(self, timing: Timing) -> dict[str, float]:
        """Return the value under ``""`` and parts; an empty dictionary if it was not measured."""
