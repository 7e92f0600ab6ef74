"""From a configuration to ordered units: the only place where the cartesian product is taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from nstbench.core.errors import ImageError, UsageError
from nstbench.core.records import (
    Availability,
    Collection,
    ImageRecord,
    MethodCard,
    PictureCard,
    Role,
    SkippedImage,
    Status,
    Unit,
    WeightCard,
)
from nstbench.plan.config import RunConfig
from nstbench.plan.plan import Outcome, Plan
from nstbench.plan.unit_keys import Pieces, UnitMaker, shared_parts
from nstbench.plan.variants import Variant, metric_cards, open_dataset, resolve_methods
from nstbench.store.store import Store

_T = TypeVar("_T")


def make_plan(config: RunConfig, store: Store) -> Plan:
    """Resolve names, load pictures and lay out the units.

    Raises:
        UsageError: if a method, metric, dataset or parameter is unknown or wrong.
    """
    variants = resolve_methods(config)
    metrics = metric_cards(config.metrics)
    contents = _pictures(config, Role.CONTENT, store)
    styles = _pictures(config, Role.STYLE, store)
    pairs = pair_up(list(contents.cards), list(styles.cards), config.contents_per_style)
    found = _Found()
    methods: dict[str, MethodCard] = {}
    for variant in variants:
        states = {
            style: _style_state(variant, original) for style, original in styles.originals.items()
        }
        methods[variant.card.variant] = _with_checkpoints(variant.card, states.values())
        _lay_out(config, store, variant, pairs, states, found)
    return Plan(
        config=config,
        units=tuple(found.units),
        blocked=found.blocked,
        cached=frozenset(found.cached),
        methods=methods,
        metrics=metrics,
        pictures=(*contents.cards.values(), *styles.cards.values()),
        skipped=(*contents.skipped, *styles.skipped),
        costs=found.costs,
        outdated=found.outdated,
        failed=found.failed,
        batched=frozenset(
            variant.card.variant
            for variant in variants
            if variant.method is not None and variant.method.does_batches()
        ),
    )


@dataclass(eq=False)
class _Found:
    """What a plan is made of, as far as it is known."""

    units: list[Unit] = field(default_factory=list)
    blocked: dict[str, Outcome] = field(default_factory=dict)
    cached: set[str] = field(default_factory=set)
    costs: dict[str, float] = field(default_factory=dict)
    outdated: dict[str, str] = field(default_factory=dict)
    failed: dict[str, Outcome] = field(default_factory=dict)


def _lay_out(
    config: RunConfig,
    store: Store,
    variant: Variant,
    pairs: list[tuple[ImageRecord, ImageRecord]],
    states: Mapping[ImageRecord, _StyleState],
    found: _Found,
) -> None:
    """Add the units of one variant, and say which of them are done, blocked or outdated."""
    method = variant.card.method
    accepted = store.keys_by_inputs(method) if config.resume == "always" else {}
    existing = store.keys(method)
    measured: list[float] = []
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
            found.units.append(unit)
            outcome = _blocked(variant, state, content, style)
            if outcome is not None:
                found.blocked[unit.key] = outcome
                continue
            record = store.record(method, unit.key) if unit.key in existing else None
            if record is None:
                continue
            if record["status"] == Status.DONE:
                measured.append(record.get("seconds") or 0.0)
            if _counts(config, record):
                found.cached.add(unit.key)
                if record["status"] != Status.DONE:
                    message = str(record.get("message", ""))
                    found.failed[unit.key] = Outcome(Status(record["status"]), message)
            else:
                found.outdated[unit.key] = str(record.get("finished", ""))
    if measured:
        found.costs[variant.card.variant] = sum(measured) / len(measured)
    elif variant.method is not None:
        found.costs[variant.card.variant] = variant.method.expected_seconds(config.size)


def pair_up(
    contents: list[_T], styles: list[_T], contents_per_style: int | None
) -> list[tuple[_T, _T]]:
    """Return (content, style) pairs: all of them, or a balanced rotation.

    With ``contents_per_style`` = k, style j meets contents jk, jk+1, ..., jk+k-1 modulo
    their number, so that every style is met k times and contents differ by at most one.
    """
    if contents_per_style is None or contents_per_style >= len(contents):
        return [(content, style) for style in styles for content in contents]
    return [
        (contents[(j * contents_per_style + i) % len(contents)], style)
        for j, style in enumerate(styles)
        for i in range(contents_per_style)
    ]


@dataclass(frozen=True, slots=True)
class _Pictures:
    """The pictures of one role: fitted record -> card, fitted -> original record, left out."""

    cards: dict[ImageRecord, PictureCard]
    originals: dict[ImageRecord, ImageRecord]
    skipped: list[SkippedImage]


def _pictures(config: RunConfig, role: Role, store: Store) -> _Pictures:
    """Fit the pictures of one role and keep them in the run folder."""
    from nstbench.pictures.picture import load_picture, pixel_hash, to_pixels, write_png

    option = "--contents" if role is Role.CONTENT else "--styles"
    text = config.contents if role is Role.CONTENT else config.styles
    dataset = open_dataset(text, option)
    if role not in dataset.info.roles:
        raise UsageError(f"{option} {text}: this dataset has no {role} pictures.")
    collection: Collection = dataset.load(role)
    skipped = list(collection.skipped)
    found: dict[ImageRecord, PictureCard] = {}
    originals: dict[ImageRecord, ImageRecord] = {}
    seen: dict[str, str] = {}
    for record in collection.images[: config.limit]:
        try:
            picture = load_picture(record, config.size, config.fit)
        except ImageError as error:
            skipped.append(SkippedImage(record.path, str(error)))
            continue
        pixels = to_pixels(picture.pixels)
        digest = pixel_hash(pixels)
        if digest in seen:
            reason = f"same pixels as '{seen[digest]}'"
            skipped.append(SkippedImage(record.path, reason))
            continue
        seen[digest] = record.name
        file = Path("inputs") / role / f"{digest[:20]}.png"
        write_png(store.root / file, pixels)
        map_file = None
        if picture.semantic_map is not None:
            labels = to_pixels(picture.semantic_map)
            map_file = file.with_name(f"{digest[:20]}_{pixel_hash(labels)[:12]}_sem.png")
            write_png(store.root / map_file, labels)
        fitted = replace(record, path=file, sha256=digest, semantic_map=map_file)
        originals[fitted] = record
        found[fitted] = PictureCard(
            role, record.name, str(file), digest, record.licence, record.author, record.source
        )
    if not found:
        reasons = "; ".join(f"{s.path.name}: {s.reason}" for s in skipped[:3])
        raise UsageError(f"{option} {text}: no usable {role} picture. {reasons}")
    return _Pictures(found, originals, skipped)


_StyleState = tuple[Availability, tuple[WeightCard, ...]]


def _style_state(variant: Variant, style: ImageRecord) -> _StyleState:
    """Return whether a style can be done, and the files that it needs."""
    state = variant.card.availability
    if not state.ok or variant.method is None:
        return state, ()
    state = variant.method.supports(style)
    return state, variant.method.style_weights(style) if state.ok else ()


def _with_checkpoints(card: MethodCard, states: Iterable[_StyleState]) -> MethodCard:
    """Return a method's card with the weights that its styles need, each once."""
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


def _counts(config: RunConfig, record: Mapping[str, Any]) -> bool:
    """Return whether a record makes running its unit needless."""
    if config.resume == "never":
        return False
    status = record["status"]
    if status == Status.DONE:
        return True
    # what hindered these is gone, or they would be blocked again
    hindered = status in (Status.UNAVAILABLE, Status.SKIPPED)
    return not hindered and status not in config.retry
