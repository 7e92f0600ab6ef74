"""From a variant and a pair of pictures to a unit and its key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nstbench.core.cards import WeightCard
from nstbench.core.records import ImageRecord, Unit
from nstbench.plan.config import RunConfig
from nstbench.plan.variants import Variant
from nstbench.plugins import registry
from nstbench.plugins.source_hash import source_hash
from nstbench.store.keys import SCHEMA, KeyText, seed_of

Pieces = dict[tuple[str, str], dict[str, str]]
"""(role, checksum of a picture) -> part -> text of the part in a key."""

_OWN_PARTS = ("content", "content_map", "style", "style_map", "seed")


def method_parts(variant: Variant) -> dict[str, Any]:
    """Return the parts of a key that identify a variant: code, parameters, weights."""
    card = variant.card
    source = source_hash(registry.find("methods", card.plugin)) if variant.method else "broken"
    params = variant.method.params.model_dump(mode="python") if variant.method else card.params
    return {
        "plugin": card.plugin,
        "source": source,
        "params": {name: _content_of(value) for name, value in params.items()},
        "weights": {weight.name: weight.sha256 for weight in card.weights},
    }


def _content_of(value: Any) -> Any:
    """Replace paths by checksums: a key depends on the content of a file, not on its path."""
    if isinstance(value, Path):
        return hashlib.sha256(value.read_bytes()).hexdigest() if value.is_file() else str(value)
    if isinstance(value, dict):
        return {str(_content_of(k)): _content_of(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_content_of(item) for item in value]
    return value


def shared_parts(config: RunConfig, variant: Variant) -> dict[str, Any]:
    """Return the parts of a key that all units of a variant share."""
    run = {"size": config.size, "fit": config.fit, "dtype": "float32", "schema": SCHEMA}
    return method_parts(variant) | run


class _Parts(Mapping[str, Any]):
    """The parts of one unit's key, assembled on demand from data that units share.

    A plan of a million units keeps these in memory.
    """

    __slots__ = ("_content", "_seed", "_shared", "_style")

    def __init__(
        self, shared: Mapping[str, Any], content: ImageRecord, style: ImageRecord, seed: int
    ) -> None:
        self._shared, self._content, self._style, self._seed = shared, content, style, seed

    def __getitem__(self, name: str) -> Any:
        return self._whole()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole())

    def __len__(self) -> int:
        return len(self._whole())

    def _whole(self) -> dict[str, Any]:
        content = _picture_parts("content", self._content)
        return {
            **self._shared,
            **content,
            **_picture_parts("style", self._style),
            "seed": self._seed,
        }


def _picture_parts(role: str, picture: ImageRecord) -> dict[str, Any]:
    return {role: picture.sha256, f"{role}_map": picture.semantic_map and picture.semantic_map.name}


class UnitMaker:
    """Makes the units of one variant for one style; shared texts are written once.

    Args:
        variant: the method with its parameters.
        config: the configuration of the run.
        shared: result of :func:`shared_parts` for the variant.
        checkpoint: weight files of the style.
        pieces: texts of earlier parts; makers of one variant may share them.
    """

    def __init__(
        self,
        variant: Variant,
        config: RunConfig,
        shared: Mapping[str, Any],
        checkpoint: tuple[WeightCard, ...],
        pieces: Pieces,
    ) -> None:
        if checkpoint:
            shared = {**shared, "checkpoint": {file.name: file.sha256 for file in checkpoint}}
        self._variant, self._config, self._shared = variant, config, shared
        self._params = variant.given
        self._text = KeyText(shared, _OWN_PARTS)
        self._pieces = pieces

    def make(
        self, content: ImageRecord, style: ImageRecord, seed: int, accepted: Mapping[str, str]
    ) -> Unit:
        """Return a unit; ``accepted`` has key without code -> key of a record to accept."""
        pieces = self._picture("content", content) | self._picture("style", style)
        pieces["seed"] = f'"seed":{seed}'
        key, without_code = self._text.keys(pieces)
        return Unit(
            key=accepted.get(without_code, key),
            method=self._variant.card.method,
            plugin=self._variant.card.plugin,
            params=self._params,
            content=content,
            style=style,
            size=self._config.size,
            fit=self._config.fit,
            seed=seed,
            # the seed does not depend on code, so an edit keeps the random numbers
            unit_seed=seed_of(without_code),
            parts=_Parts(self._shared, content, style, seed),
        )

    def _picture(self, role: str, picture: ImageRecord) -> dict[str, str]:
        place = role, picture.sha256
        if place not in self._pieces:
            parts = _picture_parts(role, picture)
            self._pieces[place] = {name: KeyText.piece(name, part) for name, part in parts.items()}
        return self._pieces[place]
