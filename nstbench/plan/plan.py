"""The plan of a run: its units, and what is known about them before anything runs."""

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
    """A unit's outcome that is known before anything runs."""

    status: Status
    message: str


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run is going to do.

    Attributes:
        config: the configuration it was made from.
        units: all units, those of one method together, pairs of one style together.
        blocked: key -> outcome of units that cannot run here.
        cached: keys of units that have a usable record.
        failed: key -> outcome of those among them that have no output, and are not tried again.
        methods: variant label -> card.
        metrics: metric name -> card, in table order.
        pictures: cards of the contents and styles.
        skipped: files that the datasets or the image reader left out.
        costs: variant -> seconds of one unit: measured by units that are done, or guessed.
        outdated: key -> ``finished`` of records of pending units that do not count.
        batched: variants whose methods can do several pairs at once.
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
        """Seconds that the pending units are expected to take, one after the other."""
        return sum(self.costs.get(unit.variant, 0.0) for unit in self.pending)

    @property
    def pending(self) -> tuple[Unit, ...]:
        """Units that must be run."""
        return tuple(
            u for u in self.units if u.key not in self.cached and u.key not in self.blocked
        )
