"""Spellings of a picture in the names of output files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nstbench.core.records import ImageRecord
from nstbench.core.text import shown_name

_FILES_TRIED = 20


@dataclass(frozen=True, slots=True)
class Spellings:
    """Spellings of the pictures of one role in file names.

    Attributes:
        names: spelling -> names of the pictures that it may stand for.
        folders: name of a picture -> its folder, empty without one.
        all: the spellings.
        all_folders: the folders.
    """

    names: Mapping[str, tuple[str, ...]]
    folders: Mapping[str, str]
    all: tuple[str, ...]
    all_folders: tuple[str, ...]

    def meant(self, spelling: str, before: str) -> tuple[str, ...]:
        """Return the pictures of a spelling; folders in the text ``before`` it decide."""
        names = self.names[spelling]
        if len(names) == 1:
            return names
        return tuple(n for n in names if self.folders[n] and f"/{self.folders[n]}/" in before)


def spellings_of(records: Iterable[ImageRecord]) -> Spellings:
    """Return the spellings of pictures: the name, the path, and forms that programs make of them.

    Programs write ``photo.v2.jpeg`` as ``photo.v2``, ``photo.v2.jpeg``, ``photo`` (up to the first
    dot) or ``photo.v2.`` (without four characters, as Magenta's image stylization does).
    """
    records = list(records)
    names = {shown_name(record.name): (record.name,) for record in records}
    folders: dict[str, str] = {}
    others: list[dict[str, list[str]]] = [{}, {}]
    for record in records:
        place = PurePosixPath(shown_name(Path(record.source or record.path).as_posix()))
        folder = place.parent.as_posix()
        named, _, last = record.name.rpartition("/")
        known = record.source and not place.is_absolute() and ":" not in folder
        folders[record.name] = named or (folder if known and folder != "." else "")
        path = {place.with_suffix("").as_posix()} if known and place.name else set()
        of_programs = {place.name, place.name[:-4], place.name.split(".")[0]}
        for spelled, found in zip(({last, place.stem} | path, of_programs), others, strict=True):
            for spelling in spelled - {shown_name(record.name)}:
                found.setdefault(spelling, []).append(record.name)
    # a name that a picture has stands for no other picture
    found_names: dict[str, tuple[str, ...]] = {s: n for s, n in names.items() if s}
    for one in others:
        found_names |= {s: tuple(n) for s, n in one.items() if s and s not in found_names}
    all_folders = tuple(sorted({f for f in folders.values() if f}))
    return Spellings(found_names, folders, tuple(found_names), all_folders)


def suggested_pattern(
    root: Path, files: Sequence[Path], spellings: Mapping[str, Spellings], needed: Iterable[str]
) -> str:
    """Return a pattern that fits most of the files, or an empty string.

    Args:
        root: folder of the pattern.
        files: files under it.
        spellings: role -> spellings of its pictures.
        needed: roles whose name must be in the pattern.
    """
    counts: Counter[str] = Counter()
    for file in files[:_FILES_TRIED]:
        text = shown_name(file.relative_to(root).with_suffix("").as_posix())
        parts: list[tuple[str, str]] = [("", text)]
        for role in ("content", "style"):
            parts = _with_placeholder(parts, role, spellings[role].all)
        if set(needed) <= {role for role, _ in parts}:
            relative = "".join(f"{{{role}}}" if role else part for role, part in parts)
            relative += file.suffix
            counts[(root / relative).as_posix()] += 1
    return counts.most_common(1)[0][0] if counts else ""


def _with_placeholder(
    parts: list[tuple[str, str]], role: str, spellings: Iterable[str]
) -> list[tuple[str, str]]:
    """Replace the longest spelling that stands between other signs than letters and digits."""
    for spelling in sorted(spellings, key=len, reverse=True):
        whole = re.compile(rf"(?<![^\W_]){re.escape(spelling)}(?![^\W_])")
        for i, (known, text) in enumerate(parts):
            if not known and (match := whole.search(text)):
                before, after = text[: match.start()], text[match.end() :]
                middle = [("", before), (role, spelling), ("", after)]
                return [*parts[:i], *middle, *parts[i + 1 :]]
    return parts
