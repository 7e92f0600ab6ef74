"""The plan of a run: its units, and their outcomes so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nstbench.core.cards import MethodCard, MetricCard, PictureCard
from nstbench.core.records import SkippedImage, Status, Unit
from nstbench.plan.config import RunConfig
from nstbench.plan.inputs import Input
from nstbench.plan.variants import Variant


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a unit before the run starts."""

    status: Status
    message: str


@dataclass(frozen=True, eq=False)
class Plan:
    """The units of a run, with the methods, metrics and pictures they need.

    Attributes:
        config: configuration of the run.
        units: all units, sorted by method, then by style.
        blocked: key -> outcome of units that cannot run here.
        cached: keys of units that have a usable record.
        failed: key -> outcome of cached units that failed before and do not run again.
        methods: variant label -> card.
        metrics: metric name -> card, in table order.
        pictures: cards of the contents and styles.
        skipped: files that the dataset or the image reader left out.
        costs: variant -> seconds of one unit, measured on finished units or estimated.
        outdated: key -> ``finished`` of existing records that the run replaces.
        batched: variants whose methods can stylise several pairs at once.
        variants: the methods with their parameters, resolved once for the whole run.
        inputs: the fitted pictures that the run copies into its folder.
    """

    config: RunConfig
    units: tuple[Unit, ...]
    blocked: Mapping[str, Outcome]
    cached: frozenset[str]
    methods: Mapping[str, MethodCard]
    metrics: Mapping[str, MetricCard]
    pictures: tuple[PictureCard, ...]
    skipped: tuple[SkippedImage, ...]
    costs: Mapping[str, float] = field(default_factory=dict)
    outdated: Mapping[str, str] = field(default_factory=dict)
    batched: frozenset[str] = frozenset()
    failed: Mapping[str, Outcome] = field(default_factory=dict)
    variants: tuple[Variant, ...] = ()
    inputs: tuple[Input, ...] = ()

    @property
    def expected_seconds(self) -> float:
        """Estimated seconds of the pending units, one after the other."""
        return sum(self.costs.get(unit.method, 0.0) for unit in self.pending)

    @property
    def pending(self) -> tuple[Unit, ...]:
        """Units to run."""
        return tuple(
            u for u in self.units if u.key not in self.cached and u.key not in self.blocked
        )
