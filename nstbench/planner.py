"""From a configuration to ordered units: the only place where the cartesian product is taken."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from nstbench import registry
from nstbench.catalog import Variant, metric_cards, open_dataset, resolve_methods
from nstbench.config import RunConfig
from nstbench.errors import ImageError, UsageError
from nstbench.records import (
    Availability,
    Collection,
    ImageRecord,
    MethodCard,
    MetricCard,
    PictureCard,
    Role,
    SkippedImage,
    Status,
    Unit,
    WeightCard,
)
from nstbench.store import SCHEMA, Store, key_of, key_without_code, seed_of

_T = TypeVar("_T")


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
        methods: variant label -> card.
        metrics: metric name -> card, in table order.
        pictures: the contents and styles, fitted and copied into the run folder.
        skipped: files that the datasets or the image reader left out.
        expected_seconds: guess for the units that are neither cached nor blocked.
    """

    config: RunConfig
    units: tuple[Unit, ...]
    blocked: Mapping[str, Outcome]
    cached: frozenset[str]
    methods: Mapping[str, MethodCard]
    metrics: Mapping[str, MetricCard]
    pictures: tuple[PictureCard, ...]
    skipped: tuple[SkippedImage, ...]
    expected_seconds: float

    @property
    def pending(self) -> tuple[Unit, ...]:
        """Units that must be run."""
        return tuple(
            u for u in self.units if u.key not in self.cached and u.key not in self.blocked
        )


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
    units: list[Unit] = []
    blocked: dict[str, Outcome] = {}
    cached: set[str] = set()
    methods: dict[str, MethodCard] = {}
    expected = 0.0
    for variant in variants:
        parts = method_parts(variant)
        known = store.keys_by_inputs(variant.card.method) if config.resume == "always" else {}
        style_states = {
            style: _style_state(variant, styles.originals[style]) for style in styles.cards
        }
        methods[variant.card.variant] = _with_checkpoints(variant.card, style_states.values())
        for seed in config.seeds:
            for content, style in pairs:
                state, checkpoint = style_states[style]
                unit = _unit(config, variant, parts, checkpoint, content, style, seed)
                unit = replace(unit, key=known.get(key_without_code(unit.parts), unit.key))
                units.append(unit)
                outcome = _blocked(variant, state, content, style)
                if outcome is not None:
                    blocked[unit.key] = outcome
                elif _is_cached(config, store, unit):
                    cached.add(unit.key)
                elif variant.method is not None:
                    expected += variant.method.expected_seconds(config.size)
    return Plan(
        config=config,
        units=tuple(units),
        blocked=blocked,
        cached=frozenset(cached),
        methods=methods,
        metrics=metrics,
        pictures=(*contents.cards.values(), *styles.cards.values()),
        skipped=(*contents.skipped, *styles.skipped),
        expected_seconds=expected,
    )


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
    from nstbench.images import load_picture, pixel_hash, to_pixels, write_png

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


def method_parts(variant: Variant) -> dict[str, Any]:
    """Return what decides a method's output besides its pictures: code, parameters, weights."""
    card = variant.card
    source = registry.source_hash("methods", card.method) if variant.method else "broken"
    params = variant.method.params.model_dump(mode="python") if variant.method else card.params
    return {
        "method": card.method,
        "source": source,
        "params": {name: _content_of(value) for name, value in params.items()},
        "weights": {weight.name: weight.sha256 for weight in card.weights},
    }


def _content_of(value: Any) -> Any:
    """Replace paths by checksums: the key speaks of what a file holds, not where it lies."""
    if isinstance(value, Path):
        return hashlib.sha256(value.read_bytes()).hexdigest() if value.is_file() else str(value)
    if isinstance(value, dict):
        return {str(_content_of(k)): _content_of(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_content_of(item) for item in value]
    return value


def _unit(
    config: RunConfig,
    variant: Variant,
    method_parts: Mapping[str, Any],
    checkpoint: tuple[WeightCard, ...],
    content: ImageRecord,
    style: ImageRecord,
    seed: int,
) -> Unit:
    files = {weight.name: weight.sha256 for weight in checkpoint}
    parts = {
        **method_parts,
        **({"checkpoint": files} if files else {}),
        "content": content.sha256,
        "content_map": content.semantic_map and content.semantic_map.name,
        "style": style.sha256,
        "style_map": style.semantic_map and style.semantic_map.name,
        "size": config.size,
        "fit": config.fit,
        "seed": seed,
        "dtype": "float32",
        "schema": SCHEMA,
    }
    key = key_of(parts)
    return Unit(
        key=key,
        variant=variant.card.variant,
        method=variant.card.method,
        params=variant.given,
        content=content,
        style=style,
        size=config.size,
        fit=config.fit,
        seed=seed,
        # a seed that forgets the code: an edit must not change what chance did
        unit_seed=seed_of(key_without_code(parts)),
        parts=parts,
    )


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


def _is_cached(config: RunConfig, store: Store, unit: Unit) -> bool:
    if config.resume == "never":
        return False
    record = store.record(unit.method, unit.key)
    if record is None:
        return False
    status = record["status"]
    if status == Status.DONE:
        return True
    # what hindered these is gone, or they would be blocked again
    hindered = status in (Status.UNAVAILABLE, Status.SKIPPED)
    return not hindered and status not in config.retry
