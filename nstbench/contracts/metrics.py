"""The contract of metrics: of a pair, of a set of outputs, of a timing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from nstbench.contracts.base import Picture
from nstbench.core.records import Scope, Timing

if TYPE_CHECKING:
    import torch

    from nstbench.nn.weights.cache import Weight


@dataclass(frozen=True, slots=True)
class Features:
    """Layers of one network that a metric reads.

    ``of`` names the images they are read from: ``"output"``, ``"content"``,
    ``"style"`` or ``"style_as_content"`` (the style picture resized to the
    content's shape). The scorer runs each network once per image, to the deepest
    layer that any metric asks for. ``gram`` says that only the Gram matrices of these
    layers are read: the activations, which are far larger, are then not kept. ``side`` scales
    each picture first, so that its short side has that many pixels; ``None`` leaves it as it is.
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
        citation: where the definition comes from.
        version: raise it when the definition changes; it is part of the score's key.
        features: network layers the metric reads.
        weights: further files it needs (LPIPS heads, for example).
        requires: importable Python packages beyond the core's own.
        home_for: ``trained_on`` tags of methods that optimise what this metric measures.
        role: the axis of the trade-off this metric stands for, if it is the one that does:
            ``"quality"`` orders the board; ``"content"`` and ``"style"`` are its two halves;
            ``"speed"`` and ``"memory"`` are the price.
        order: place in tables, small first.
        description: one sentence for the reader of a report.
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
    order: int = 100


class ScoringPair(Protocol):
    """Output, content and style with their features, as the scorer hands them to metrics.

    Batches hold B outputs of one shape; every tensor has B as first dimension.
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

    def kept(self, name: str, of: Sequence[str], make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return what ``make`` returns, made once for all metrics; it must not be changed.

        ``of`` are the pictures that it depends on (see Features); without the output among
        them it serves later pairs, too, and ``make`` sees their own B, which may be 1.
        """
        ...

    def with_output(self, output: Picture, needs: Iterable[Features]) -> ScoringPair:
        """Return a pair of another output with the same content and style.

        ``needs`` are the features that may be asked of it. What was made of content and style
        is shared.
        """
        ...


class Metric(ABC):
    """Base of all metrics. ``load`` is called once before the first use."""

    info: ClassVar[MetricInfo]

    def load(self, device: torch.device) -> None:  # noqa: B027  most metrics load nothing
        """Load own weights onto ``device``."""


class PairMetric(Metric):
    """A metric of one output against its content and style."""

    @abstractmethod
    def compute(self, pair: ScoringPair) -> dict[str, torch.Tensor]:
        """Return the value under ``""`` and named parts beside it, each of shape (B,)."""


class SetMetric(Metric):
    """A metric of all outputs of one method: running sums that merge across workers.

    ``state_types`` names the classes, other than tensors and plain containers, that its
    attributes are made of: what comes from another process may hold no others.
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
        """Return the value under ``""`` and named parts beside it."""


class TimingMetric(Metric):
    """A number read off a method's timing record."""

    @abstractmethod
    def compute(self, timing: Timing) -> dict[str, float]:
        """Return the value under ``""`` and parts; an empty dict if it was not measured."""
