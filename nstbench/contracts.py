"""The whole plug-in contract on one page.

A plug-in is one file that defines exactly one class below; its public name is
the stem of its file (``methods/gatys_2015.py`` is ``gatys_2015``). Facts about a
plug-in are attributes of its class, and the core branches on those, never on
names. Copy ``_template.py`` of the folder to begin a new one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from pydantic import BaseModel, ConfigDict

from nstbench.records import (
    Availability,
    Collection,
    Flexibility,
    ImageRecord,
    Role,
    Scope,
    Step,
    Timing,
    WeightCard,
)

if TYPE_CHECKING:
    import torch

    from nstbench.board import Board
    from nstbench.weights import Weight

OnStep = Callable[[Step], None]


class Parameters(BaseModel):
    """Base of every plug-in's parameters: typed, frozen, unknown names refused.

    Each field has a default and a ``description``; the defaults are the paper's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_enum_values=True)


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """An image as methods and metrics see it.

    Attributes:
        pixels: float32 RGB tensor (B, 3, H, W) with values in [0, 1], on the method's device.
        name: the image's slug.
        sha256: checksum of the decoded, resized pixels.
        record: where the picture came from; ``None`` for outputs.
        semantic_map: float32 label colours (B, 3, H, W) in [0, 1], or ``None``.
    """

    pixels: torch.Tensor
    name: str
    sha256: str = ""
    record: ImageRecord | None = None
    semantic_map: torch.Tensor | None = None

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[-2])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[-1])


# --- methods -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """Facts about a method.

    Attributes:
        title: name as a paper would print it, for example ``"Gatys et al. 2015"``.
        authors: authors of the method.
        year: year of first publication.
        paper: URL of the paper; empty for baselines.
        family: class in the taxonomy of Jing et al., for example ``"image optimisation"``.
        flexibility: styles per model.
        licence: licence of this implementation, and of shipped weights where it differs.
        trained_on: features whose statistics the method minimises, as ``network-statistic``
            (``"vgg16-gram"``); metrics that declare one of them are *home* for the method.
        deviations: every known difference from the paper, one sentence each.
        code: URL of the authors' implementation.
        weights: files that the method may need, whatever its parameters.
        requires: importable Python packages beyond the core's own.
        in_torch: False if work is done outside torch, whose operators alone are counted.
        own_process: True if work is done in another process, whose memory is not measured.
    """

    title: str
    authors: str
    year: int
    paper: str
    family: str
    flexibility: Flexibility
    licence: str = "MIT"
    trained_on: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    code: str = ""
    weights: tuple[Weight, ...] = ()
    requires: tuple[str, ...] = ()
    in_torch: bool = True
    own_process: bool = False


class Diverged(Exception):  # noqa: N818  the field's word, and it reads as a state
    """Raised at step ``step`` by a method whose optimisation left the finite numbers.

    ``last_finite`` is the last finite image (1, 3, H, W) in [0, 1], or ``None``.
    """

    def __init__(self, step: int, last_finite: torch.Tensor | None = None) -> None:
        super().__init__(f"the optimisation diverged at step {step}")
        self.step = step
        self.last_finite = last_finite


class OutOfTime(Exception):  # noqa: N818  the field's word, and it reads as a state
    """Raised by a method that ended its work because a time limit of its own was over."""


@dataclass(frozen=True, eq=False, slots=True)
class PreparedPair:
    """One pair of a batch: what ``stylize`` gets, and a method that is prepared for its style.

    ``method`` is a shallow copy of the loaded one for this pair alone, made after ``prepare``;
    ``style`` tells its style apart from those of other pairs.
    """

    method: Method
    style: str
    content: Picture
    generator: torch.Generator
    on_step: OnStep


class Method(ABC):
    """A style-transfer method: ``load`` once, ``prepare`` per style, ``stylize`` per content.

    The three are timed apart. A method normalises its input itself, neither
    changes its input nor global state, prints nothing, and reports progress
    through ``on_step`` only.
    """

    info: ClassVar[MethodInfo]
    quick: ClassVar[Mapping[str, Any]] = {}
    """Parameters under which a 64 px picture takes about a second, for conformance checks."""
    further_settings: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    """Parameters of variants that ``--methods all`` runs beside the defaults."""

    class Params(Parameters):
        """No parameters."""

    def __init__(self, params: Any) -> None:
        self.params = params

    def required_weights(self) -> tuple[Weight, ...]:
        """Weights needed under these parameters; their checksums enter the unit's key."""
        return self.info.weights

    def supports(self, style: ImageRecord) -> Availability:
        """Say whether this style can be done; if not, why, and the command that mends it."""
        return Availability()

    def style_weights(self, style: ImageRecord) -> tuple[WeightCard, ...]:
        """Return further files that this style needs; their checksums enter the unit's key."""
        return ()

    def deviations(self) -> tuple[str, ...]:
        """Return every known difference from the paper, that of a checkpoint included."""
        return self.info.deviations

    def needs_maps(self) -> bool:
        """Return True if both pictures must come with a semantic map."""
        return False

    def load(self, device: torch.device) -> None:  # noqa: B027  most baselines load nothing
        """Load weights onto ``device``. Timed as ``load``."""

    @abstractmethod
    def prepare(self, style: Picture) -> None:
        """Do everything that depends on the style alone. Timed as the per-style cost."""

    @abstractmethod
    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the stylised picture. This is the timed part.

        Args:
            content: the picture to stylise, on the device given to ``load``.
            generator: CPU generator seeded for this unit; the only source of randomness.
            on_step: receives a :class:`~nstbench.records.Step` per iteration.

        Returns:
            float32 tensor of the content's shape with values in [0, 1].

        Raises:
            Diverged: if the optimisation left the finite numbers.
        """

    def does_batches(self) -> bool:
        """Return True if ``stylize_batch`` can be used with these parameters.

        The method is copied then, so ``prepare`` sets attributes and changes nothing they hold.
        """
        return False

    def stylize_batch(
        self, pairs: Sequence[PreparedPair]
    ) -> Sequence[torch.Tensor | BaseException]:
        """Do several pairs at once: return for each what ``stylize`` would return or raise.

        The pictures are those of one pair after the other within rounding. An error that is not
        that of one pair is raised, as is a lack of memory; all pairs are then done by themselves.
        """
        raise NotImplementedError(f"{type(self).__name__} does one pair at a time")

    def own_seconds(self) -> float | None:
        """Return the seconds of the last ``stylize`` by the method's own clock, if it has one.

        They take the place of the caller's. For a method that hands the work to another
        process and pictures to and fro, which is no part of stylising.
        """
        return None

    def close(self) -> None:  # noqa: B027  most methods hold nothing but memory
        """End what ``load`` started, such as a process. Nothing is called after it."""

    def expected_seconds(self, size: int) -> float:
        """Guess the CPU seconds of one unit at ``size`` px, for the plan's first estimate."""
        return 0.05

    def parameter_count(self) -> int | None:
        """Number of network parameters held after ``load``, or ``None`` if unknown."""
        return None

    def training_seconds(self) -> float:
        """Seconds of training behind the loaded checkpoint (0 if it needed none)."""
        return 0.0


# --- metrics -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Features:
    """Layers of one network that a metric reads.

    ``of`` names the images they are read from: ``"output"``, ``"content"``,
    ``"style"`` or ``"style_as_content"`` (the style picture resized to the
    content's shape). The scorer runs each network once per image, to the deepest
    layer that any metric asks for. ``gram`` says that only the Gram matrices of these
    layers are read: the activations, which are far larger, are then not kept.
    """

    network: str
    layers: tuple[str, ...]
    of: tuple[str, ...]
    gram: bool = False


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

    def features(self, network: str, of: str) -> Mapping[str, torch.Tensor]:
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


# --- datasets ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Facts about a dataset.

    Attributes:
        title: one line for tables.
        description: what the pictures are.
        roles: which roles it can fill.
        licence: licence of the whole, or ``"per image"``.
        citation: where it comes from.
        version: raise it when a picture changes.
        requires: importable Python packages beyond the core's own.
        opens_paths: True if ``Params(path=...)`` reads any folder the user names.
    """

    title: str
    description: str
    roles: tuple[Role, ...]
    licence: str
    citation: str
    version: int = 1
    requires: tuple[str, ...] = ()
    opens_paths: bool = False


class Dataset(ABC):
    """A source of content or style pictures."""

    info: ClassVar[DatasetInfo]

    class Params(Parameters):
        """No parameters."""

    def __init__(self, params: Any) -> None:
        self.params = params

    def availability(self) -> Availability:
        """Say whether the pictures can be had here, without fetching them."""
        return Availability()

    @abstractmethod
    def load(self, role: Role) -> Collection:
        """Return the pictures of one role in a fixed order, and what was left out."""


# --- report sections ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SectionInfo:
    """Facts about a report section.

    Attributes:
        title: heading, also used for the table of contents.
        format: ``"html"`` for a fragment of the page; otherwise the name that
            ``--format`` selects (``"csv"``, ``"md"``, ``"parquet"``, ...).
        order: place on the page, small first.
        filename: file written by sections that are not HTML.
    """

    title: str
    format: str
    order: int = 100
    filename: str = ""


class Section(ABC):
    """One part of the report: a fragment of the page, or a file beside it."""

    info: ClassVar[SectionInfo]

    def html(self, board: Board) -> str:
        """Return an escaped HTML fragment, or an empty string to leave the section out."""
        raise NotImplementedError(f"{type(self).__name__} writes a file, not HTML")

    def applies(self, board: Board) -> bool:
        """Return False to leave out the file, where a board has nothing to put into it."""
        return True

    def write(self, board: Board, path: Path) -> None:
        """Write the file ``path``."""
        raise NotImplementedError(f"{type(self).__name__} is part of the page")
