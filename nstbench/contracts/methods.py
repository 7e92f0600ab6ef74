"""The contract of methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nstbench.contracts.base import OnStep, Parameters, Picture
from nstbench.contracts.weights import Weight
from nstbench.core.records import Availability, Flexibility, ImageRecord, WeightCard

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """Facts about a method, under its default parameters where they depend on them.

    Attributes:
        title: name as a paper would print it, for example ``"Gatys et al. 2015"``.
        authors: authors of the method.
        year: year of first publication.
        paper: URL of the paper; empty for baselines.
        family: class in the taxonomy of Jing et al., for example ``"image optimisation"``.
        flexibility: styles per model.
        licence: licence of this implementation, and of shipped weights where it differs; empty
            if it is not stated.
        trained_on: features whose statistics the method brings to the content's or style's, as
            ``network-statistic`` (``"vgg16-gram"``); metrics that declare one of them are *home*
            for the method. ``docs/metrics/README.md`` lists the statistics.
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
    licence: str = ""
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

    def required_packages(self) -> tuple[str, ...]:
        """Importable Python packages beyond the core's own that these parameters need."""
        return self.info.requires

    def trained_on(self) -> tuple[str, ...]:
        """Features that are optimised under these parameters (``MethodInfo.trained_on``)."""
        return self.info.trained_on

    def in_torch(self) -> bool:
        """Return False if these parameters leave work to another library than torch."""
        return self.info.in_torch

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
            on_step: receives a :class:`~nstbench.core.records.Step` per iteration.

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

    def training_seconds(self) -> float | None:
        """Seconds of training behind what ``load`` and ``prepare`` opened.

        0 for methods that train nothing, ``None`` where it is unknown. By default a method
        that needs weight files does not know how long others trained them.
        """
        return None if self.required_weights() else 0.0
