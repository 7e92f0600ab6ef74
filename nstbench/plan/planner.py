"""Plan a run: pair the pictures, and lay out the units in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from nstbench.core.cards import MethodCard, WeightCard
from nstbench.core.records import Availability, ImageRecord, Role, Status, Unit, UnitRecord
from nstbench.plan.config import RunConfig
from nstbench.plan.inputs import fit_pictures
from nstbench.plan.plan import Outcome, Plan
from nstbench.plan.unit_keys import Pieces, UnitMaker, shared_parts
from nstbench.plan.variants import Variant, metric_cards
from nstbench.store.store import Store

_T = TypeVar("_T")


def make_plan(config: RunConfig, store: Store, variants: Sequence[Variant]) -> Plan:
    """Load pictures and lay out the units; write nothing.

    Args:
        config: the configuration of the run.
        store: the run folder, whose records are read.
        variants: the methods of the run (see :func:`nstbench.plan.variants.resolve_methods`).

    Raises:
        UsageError: if a metric or dataset is unknown or wrong, or a role has no usable picture.
    """
    metrics = metric_cards(config.metrics)
    contents = fit_pictures(config, Role.CONTENT)
    styles = fit_pictures(config, Role.STYLE)
    pairs = pair_up(
        [entry.fitted for entry in contents.inputs],
        [entry.fitted for entry in styles.inputs],
        config.contents_per_style,
    )
    units: list[Unit] = []
    blocked: dict[str, Outcome] = {}
    cached: set[str] = set()
    failed: dict[str, Outcome] = {}
    outdated: dict[str, str] = {}
    costs: dict[str, float] = {}
    methods: dict[str, MethodCard] = {}
    for variant in variants:
        label = variant.card.method
        states = {entry.fitted: _style_state(variant, entry.original) for entry in styles.inputs}
        methods[label] = _with_checkpoints(variant.card, states.values())
        measured: list[float] = []
        for unit, outcome, record in _lay_out(config, store, variant, pairs, states):
            units.append(unit)
            if outcome is not None:
                blocked[unit.key] = outcome
            elif record is not None:
                if record.status is Status.DONE:
                    measured.append(record.seconds or 0.0)
                if not _counts(config, record):
                    outdated[unit.key] = record.finished
                    continue
                cached.add(unit.key)
                if record.status is not Status.DONE:
                    failed[unit.key] = Outcome(record.status, record.message)
        if measured:
            costs[label] = sum(measured) / len(measured)
        elif variant.method is not None:
            costs[label] = variant.method.expected_seconds(config.size)
    inputs = (*contents.inputs, *styles.inputs)
    return Plan(
        config=config,
        units=tuple(units),
        blocked=blocked,
        cached=frozenset(cached),
        methods=methods,
        metrics=metrics,
        pictures=tuple(entry.card for entry in inputs),
        skipped=(*contents.skipped, *styles.skipped),
        costs=costs,
        outdated=outdated,
        failed=failed,
        batched=frozenset(
            variant.card.method
            for variant in variants
            if variant.method is not None and variant.method.does_batches()
        ),
        variants=tuple(variants),
        inputs=inputs,
    )


def _lay_out(
    config: RunConfig,
    store: Store,
    variant: Variant,
    pairs: list[tuple[ImageRecord, ImageRecord]],
    states: Mapping[ImageRecord, _StyleState],
) -> Iterator[tuple[Unit, Outcome | None, UnitRecord | None]]:
    """Yield each unit of a variant with the outcome that blocks it, or its record if it has one."""
    method = variant.card.plugin
    accepted = store.keys_by_inputs(method) if config.resume == "always" else {}
    existing = store.keys(method)
    shared = shared_parts(config, variant)
    pieces: Pieces = {}
    # looked up by checksum, which is unique among styles: a record is slow to hash
    makers = {
        style.sha256: (UnitMaker(variant, config, shared, checkpoint, pieces), state)
        for style, (state, checkpoint) in states.items()
    }
    for seed in config.seeds:
        for content, style in pairs:
            maker, state = makers[style.sha256]
            unit = maker.make(content, style, seed, accepted)
            outcome = _blocked(variant, state, content, style)
            stored = outcome is None and unit.key in existing
            yield unit, outcome, store.record(method, unit.key) if stored else None


def pair_up(
    contents: list[_T], styles: list[_T], contents_per_style: int | None
) -> list[tuple[_T, _T]]:
    """Return (content, style) pairs: all of them, or a balanced rotation.

    With ``contents_per_style`` = k, style j is paired with contents jk, jk+1, ..., jk+k-1 modulo
    their number. So every style has k pairs, and the counts of contents differ by at most one.
    """
    if contents_per_style is None or contents_per_style >= len(contents):
        return [(content, style) for style in styles for content in contents]
    return [
        (contents[(j * contents_per_style + i) % len(contents)], style)
        for j, style in enumerate(styles)
        for i in range(contents_per_style)
    ]


_StyleState = tuple[Availability, tuple[WeightCard, ...]]


def _style_state(variant: Variant, style: ImageRecord) -> _StyleState:
    """Return whether a method can do a style, and the weight files of the style."""
    state = variant.card.availability
    if not state.ok or variant.method is None:
        return state, ()
    state = variant.method.supports(style)
    return state, variant.method.style_weights(style) if state.ok else ()


def _with_checkpoints(card: MethodCard, states: Iterable[_StyleState]) -> MethodCard:
    """Return a method's card with the weights of its styles, each once."""
    found = {weight.sha256: weight for _, weights in states for weight in weights}
    return replace(card, weights=(*card.weights, *found.values()))


def _blocked(
    variant: Variant, state: Availability, content: ImageRecord, style: ImageRecord
) -> Outcome | None:
    if not state.ok:
        message = f"{state.reason}. {state.remedy}" if state.remedy else state.reason
        return Outcome(Status.UNAVAILABLE, message)
    if variant.method is not None and variant.method.needs_maps():
        for role, record in (("content", content), ("style", style)):
            if record.semantic_map is None:
                return Outcome(
                    Status.SKIPPED,
                    f"the {role} picture '{record.name}' has no semantic map "
                    f"({record.name}_sem.png beside it)",
                )
    return None


def _counts(config: RunConfig, record: UnitRecord) -> bool:
    """Return whether the run can use a record instead of running the unit."""
    if config.resume == "never":
        return False
    status = record.status
    if status == Status.DONE:
        return True
    # the cause is gone, or the unit would be blocked again
    blocked_before = status in (Status.UNAVAILABLE, Status.SKIPPED)
    return not blocked_before and str(status) not in config.retry
