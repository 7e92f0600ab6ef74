"""Units of imported pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nstbench.core.cards import PictureCard
from nstbench.core.records import ImageRecord, Unit
from nstbench.core.text import counted, digest_name, path_name, printable
from nstbench.pipeline.outputs.patterns import Outputs, Pair, expected_files
from nstbench.store.keys import SCHEMA, key_of

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Made:
    """An output that was read and copied into the run folder.

    Attributes:
        file: the file of the user.
        shape: (height, width) of the copy.
        sha256: checksum of the pixels of the copy.
        own: (height, width) of the file.
        change: how the copy differs from the file, in words; empty if it is only scaled.
    """

    file: Path
    shape: Size
    sha256: str
    own: Size = (0, 0)
    change: str = ""


def missing(outputs: Outputs, pair: Pair) -> str:
    """Return the message for a pair without an output, with the expected file name."""
    names = map(printable, expected_files(outputs.expected, pair))
    return f"there is no file {' or '.join(names)}"


def store_name(method: str) -> str:
    """Return the name of a method's folder in the run folder, different for each method.

    Example:
        >>> store_name("adain"), store_name("AdaIN")
        ('adain', 'adain-ac8ffd0a')
    """
    name = path_name(method, "method")
    return name if name in (method, digest_name(method, "method")) else digest_name(method, name)


def found_line(method: str, found: int, absent: int, refused: int) -> str:
    """Return the number of pictures of a method, in words.

    Example:
        >>> found_line("mine", 9, 2, 1)
        'mine: 9 pictures found, 2 missing, 1 not used'
    """
    parts = [f"{method}: {counted(found, 'picture')} found", f"{absent} missing"]
    return ", ".join([*parts, *([f"{refused} not used"] if refused else [])])


def problem_of(made: Made | str, inputs: Iterable[PictureCard | str | None]) -> str:
    """Return the reason why a unit failed, or an empty string.

    Args:
        made: the output, or the reason why it is missing or refused.
        inputs: content and style, or the reason why they cannot be used.
    """
    if isinstance(made, str):
        return made
    return next((card for card in inputs if isinstance(card, str)), "")


def parts_of(method: str, pair: Pair, digest: str) -> dict[str, object]:
    """Return the parts of an output's key; a missing output has an empty digest."""
    seed = {"seed": pair.seed} if pair.seed else {}
    return {
        "method": method, "content": pair.content, "style": pair.style, "output": digest,
        "schema": SCHEMA, **seed,
    }  # fmt: skip


def unit_of(
    method: str,
    content: ImageRecord,
    style: ImageRecord,
    seed: int,
    size: int,
    made: Made | str,
) -> Unit:
    """Return the unit of a pair, also of a pair without an output."""
    digest = made.sha256 if isinstance(made, Made) else ""
    parts = parts_of(method, Pair(content.name, style.name, seed), digest)
    return Unit(
        key=key_of(parts), method=method, plugin=store_name(method), params={}, content=content,
        style=style, size=size, fit="", seed=seed, unit_seed=0, parts=parts,
    )  # fmt: skip
