"""The contract of methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nstbench.contracts.base import OnStep, Parameters, Picture
from nstbench.contracts.weights import Weight
from nstbench.core.cards import WeightCard
from nstbench.core.records import Availability, Flexibility, ImageRecord

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """Facts about a method; facts that depend on parameters are those of the defaults.

    Attributes:
        title: name as papers print it, for example ``"Gatys et al. 2015"``.
        authors: authors of the method.
        year: year of first publication.
        paper: URL of the paper; empty for baselines.
        family: class in the taxonomy of Jing et al., for example ``"image optimisation"``.
        flexibility: styles per model.
        licence: licence of this implementation, and of shipped weights where it differs; empty
            if unknown.
        trained_on: features whose statistics the method optimises, as
            ``network-statistic`` (``"vgg16-gram"``); metrics that declare one of them are *home*
            for the method. ``docs/metrics/README.md`` lists the statistics.
        deviations: every known difference from the paper, one sentence each.
        code: URL of the authors' implementation.
        weights: weight files of all parameter settings.
        requires: importable Python packages that nstbench itself does not need.
        in_torch: False if part of the work is outside torch; operations are then not counted.
        own_process: True if another process does the work; its memory is then not measured.

    Example:
        >>> MethodInfo("Gatys et al. 2015", "Gatys, Ecker, Bethge", 2015,
        ...            "https://arxiv.org/abs/1508.06576", "image optimisation",
        ...            Flexibility.ARBITRARY).year
        2015
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


class Diverged(Exception):  # noqa: N818  the term of the field
    """Raised by a method whose optimisation reached a value that is not finite.

    Args:
        step: step of the optimisation.
        last_finite: the last finite picture (1, 3, H, W) in [0, 1], or ``None``.

    Example:
        >>> str(Diverged(17))
        'the optimisation diverged at step 17'
    """

    def __init__(self, step: int, last_finite: torch.Tensor | None = None) -> None:
        super().__init__(f"the optimisation diverged at step {step}")
        self.step = step
        self.last_finite = last_finite


class OutOfTime(Exception):  # noqa: N818  the term of the field
    """Raised by a method that reached its own time limit.

    Example:
        >>> raise OutOfTime("the program took longer than 60 s")
        Traceback (most recent call last):
        nstbench.contracts.methods.OutOfTime: the program took longer than 60 s
    """


@dataclass(frozen=True, eq=False, slots=True)
class PreparedPair:
    """One pair of a batch: the arguments of ``stylize``, and a method prepared for the style.

    ``method`` is a shallow copy of the loaded method, made for this pair after ``prepare``.
    ``style`` identifies the style: pairs of one style have the same text.

    Example:
        >>> from dataclasses import fields
        >>> [field.name for field in fields(PreparedPair)]
        ['method', 'style', 'content', 'generator', 'on_step']
    """

    method: Method
    style: str
    content: Picture
    generator: torch.Generator
    on_step: OnStep


class Method(ABC):
    """A style-transfer method: ``load`` once, ``prepare`` per style, ``stylize`` per content.

    Each of the three is timed separately. A method normalises its input itself. It changes
    neither its input nor global state, prints nothing, and reports progress by ``on_step``.

    Example:
        >>> import torch
        >>> class Mean(Method):
        ...     info = MethodInfo("Mean", "me", 2026, "", "baseline", Flexibility.ARBITRARY)
        ...     def prepare(self, style):
        ...         self.colour = style.pixels.mean(dim=(2, 3), keepdim=True)
        ...     def stylize(self, content, *, generator, on_step):
        ...         return (content.pixels + self.colour) / 2
        >>> method = Mean(Mean.Params())
        >>> method.prepare(Picture(torch.ones(1, 3, 8, 8), "white"))
        >>> black = Picture(torch.zeros(1, 3, 8, 8), "black")
        >>> method.stylize(black, generator=torch.Generator(), on_step=print).mean().item()
        0.5
    """

    info: ClassVar[MethodInfo]
    quick: ClassVar[Mapping[str, Any]] = {}
    """Parameters under which a 64 px picture takes about a second, for conformance checks."""
    further_settings: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    """Parameters of further variants that ``--methods all`` runs in addition to the defaults."""

    class Params(Parameters):
        """No parameters."""

    def __init__(self, params: Any) -> None:
        self.params = params

    def required_weights(self) -> tuple[Weight, ...]:
        """Return the weights of these parameters; their checksums are part of the unit's key."""
        return self.info.weights

    def required_packages(self) -> tuple[str, ...]:
        """Return the importable Python packages that these parameters need."""
        return self.info.requires

    def trained_on(self) -> tuple[str, ...]:
        """Return the features that are optimised under these parameters (see MethodInfo)."""
        return self.info.trained_on

    def in_torch(self) -> bool:
        """Return False if part of the work is outside torch under these parameters."""
        return self.info.in_torch

    def supports(self, style: ImageRecord) -> Availability:
        """Return whether the method can do a style; if not, the reason and a fix."""
        return Availability()

    def style_weights(self, style: ImageRecord) -> tuple[WeightCard, ...]:
        """Return further files of a style; their checksums are part of the unit's key."""
        return ()

    def deviations(self) -> tuple[str, ...]:
        """Return every known difference from the paper, those of checkpoints included."""
        return self.info.deviations

    def needs_maps(self) -> bool:
        """Return True if both pictures need a semantic map."""
        return False

    def load(self, device: torch.device) -> None:  # noqa: B027  most baselines load nothing
        """Load weights to ``device``. Timed as ``load``."""

    @abstractmethod
    def prepare(self, style: Picture) -> None:
        """Do the work that depends on the style only. Timed as the cost per style."""

    @abstractmethod
    def stylize(
        self, content: Picture, *, generator: torch.Generator, on_step: OnStep
    ) -> torch.Tensor:
        """Return the stylised picture. Timed as latency.

        Args:
            content: the picture to stylise, on the device given to ``load``.
            generator: CPU generator seeded for this unit; the only source of randomness.
            on_step: receives a :class:`~nstbench.core.records.Step` per iteration.

        Returns:
            float32 tensor of the content's shape with values in [0, 1].

        Raises:
            Diverged: if the optimisation reached a value that is not finite.
        """

    def does_batches(self) -> bool:
        """Return True if ``stylize_batch`` can be used with these parameters.

        The runner copies the method for each pair. So ``prepare`` must set attributes, and must
        not change the objects in them.
        """
        return False

    def stylize_batch(
        self, pairs: Sequence[PreparedPair]
    ) -> Sequence[torch.Tensor | BaseException]:
        """Stylise several pairs at once; return an output or an exception for each.

        Outputs equal those of single calls of ``stylize`` within rounding. Raise an error that
        concerns all pairs, or a lack of memory; the runner then does the pairs one by one.
        """
        raise NotImplementedError(f"{type(self).__name__} stylises one pair at a time")

    def own_seconds(self) -> float | None:
        """Return the seconds of the last ``stylize`` by the method's own clock, or ``None``.

        They replace the seconds that the runner measured. A method that works in another
        process uses this, so that the transfer of pictures does not count.
        """
        return None

    def close(self) -> None:  # noqa: B027  most methods hold nothing but memory
        """Stop what ``load`` started, such as a process. The runner calls nothing afterwards."""

    def expected_seconds(self, size: int) -> float:
        """Return a guess of the CPU seconds of one unit at ``size`` px, for the plan's estimate."""
        return 0.05

    def parameter_count(self) -> int | None:
        """Return the number of network parameters after ``load``, or ``None`` if unknown."""
        return None

    def training_seconds(self) -> float | None:
        """Return the seconds of training of the weights that ``load`` and ``prepare`` opened.

        Return 0 for a method without training, ``None`` where it is unknown. The default is
        ``None`` for a method with weight files.
        """
        return None if self.required_weights() else 0.0
