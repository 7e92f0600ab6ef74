"""Units of imported pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nstbench.core.cards import PictureCard
from nstbench.core.records import ImageRecord, Unit
from nstbench.core.text import printable, slugify
from nstbench.pipeline.output_patterns import Outputs, Pair
from nstbench.store.keys import SCHEMA, key_of

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Made:
    """An output that was read and copied into the run folder."""

    file: Path
    shape: Size
    sha256: str


def shapes_of(pictures: Mapping[tuple[str, Pair], Made | str]) -> dict[str, Size]:
    """Return content -> (height, width) of most of its outputs."""
    counts: dict[str, Counter[Size]] = {}
    for (_, (content, _)), made in pictures.items():
        if isinstance(made, Made):
            counts.setdefault(content, Counter())[made.shape] += 1
    return {content: counter.most_common(1)[0][0] for content, counter in counts.items()}


def missing(outputs: Outputs, content: ImageRecord, style: ImageRecord) -> str:
    """Return the message for a pair without an output, with the expected file name."""
    name = outputs.expected.replace("{content}", content.name).replace("{style}", style.name)
    return f"there is no file {printable(name)}"


def problem_of(
    made: Made | str,
    inputs: Iterable[PictureCard | str | None],
    shape: Size | None,
    beside_run: bool = False,
) -> str:
    """Return the reason why a unit failed, or an empty string.

    Args:
        made: the output, or the reason why it is missing.
        inputs: content and style, or the reason why they cannot be used.
        shape: (height, width) that outputs of this content must have.
        beside_run: whether ``shape`` is the shape of a run's picture.
    """
    if isinstance(made, str):
        return made
    for card in inputs:
        if isinstance(card, str):
            return card
    if shape is not None and made.shape != shape:
        found = f"{made.file.name} is {made.shape[1]} x {made.shape[0]} px"
        if beside_run:
            return f"{found}, but the content of the run is {shape[1]} x {shape[0]}"
        return (
            f"{found}, but most outputs of this content are {shape[1]} x {shape[0]}; --size scales "
            "all to one size"
        )
    return ""


def parts_of(method: str, pair: Pair, digest: str) -> dict[str, object]:
    """Return the parts of an output's key; a missing output has an empty digest."""
    return {
        "method": method, "content": pair[0], "style": pair[1], "output": digest, "schema": SCHEMA
    }  # fmt: skip


def unit_of(
    method: str, content: ImageRecord, style: ImageRecord, size: int, made: Made | str
) -> Unit:
    """Return the unit of a pair, also of a pair without an output."""
    digest = made.sha256 if isinstance(made, Made) else ""
    parts = parts_of(method, (content.name, style.name), digest)
    return Unit(
        key=key_of(parts), method=method, plugin=slugify(method), params={}, content=content,
        style=style, size=size, fit="", seed=0, unit_seed=0, parts=parts,
    )  # fmt: skip
