"""Find pictures of any program by a pattern of their names.

``out/{content}__{style}.png`` matches one file per pair. ``{content}`` and ``{style}`` are names of
pictures (file names without suffix), ``{method}`` is any name, ``{seed}`` a whole number, ``*`` is
any text in one folder or file name, and ``**/`` any number of folders. Names are compared in
Unicode normal form C. If there is one picture of a role, its placeholder may be missing, and also
if each content has a style of its own name, with which it is paired. If a name
fits several pairs because of ``*`` or ``{method}``, the longest names of pictures are meant.

A picture in a sub-folder, such as ``monet/01``, is found as ``out/a__monet/01.png``, and with its
folder before the file name, as ``out/monet/a__01.png``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

from nstbench.core.errors import UsageError
from nstbench.core.records import ImageRecord
from nstbench.core.text import natural_key, printable, shown_name
from nstbench.pictures.folder_files import visible_files
from nstbench.pipeline.outputs.spellings import Spellings, spellings_of, suggested_pattern

_FIELDS = ("content", "style", "method", "seed")
_EXAMPLE = "out/{content}__{style}.png"
_PLACE = re.compile(r"\{(\w*)\}|\*\*/|\*+")


class Pair(NamedTuple):
    """Names of content and style, and the seed of the output (0 without ``{seed}``)."""

    content: str
    style: str
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of one method.

    Attributes:
        files: pair by names of the pictures -> file.
        expected: pattern of the file names, for messages.
    """

    files: Mapping[Pair, Path]
    expected: str

    @property
    def seeds(self) -> frozenset[int]:
        """Seeds of the files."""
        return frozenset(pair.seed for pair in self.files)


@dataclass(slots=True)
class Found:
    """Outputs by method, and files without a pair, with the reason."""

    methods: dict[str, dict[Pair, Path]] = field(default_factory=lambda: defaultdict(dict))
    unmatched: list[tuple[Path, str]] = field(default_factory=list)


def find_outputs(
    pattern: str, name: str, contents: Sequence[ImageRecord], styles: Sequence[ImageRecord]
) -> tuple[dict[str, Outputs], list[tuple[Path, str]]]:
    """Return method name -> outputs, and the other files in the pattern's folder.

    Args:
        pattern: see above.
        name: name of the method if the pattern has no ``{method}``.
        contents: the content pictures.
        styles: the style pictures.

    Raises:
        UsageError: if a placeholder is unknown, or that of a role with several pictures is
            missing, if the pattern matches no folder or file, or if a file matches two pairs.
    """
    root = root_of(pattern)
    files = sorted(visible_files(root), key=lambda f: natural_key(str(f)))
    spellings = {"content": spellings_of(contents), "style": spellings_of(styles)}
    named = _named(pattern)
    needed = [
        role for role, of_role in (("content", contents), ("style", styles))
        if len(of_role) > 1 and not pairs_by_name(pattern, contents, styles)
    ]  # fmt: skip
    for missing in (role for role in needed if role not in named):
        raise UsageError(
            f"--outputs {pattern}: {{{missing}}} is missing. Put it in place of the picture's name,"
            f" as in '{suggested_pattern(root, files, spellings, needed) or _EXAMPLE}'."
        )
    found = Found()
    for file in files:
        _place(file, pattern, name, spellings, found)
    if not found.methods:
        examples = ", ".join(printable(f.relative_to(root)) for f in files[:3]) or "no file"
        suggestion = suggested_pattern(root, files, spellings, needed)
        raise UsageError(
            f"--outputs {pattern}: of {len(files)} files under {printable(root)} none is called "
            f"so for a content ({_some(contents)}) and a style ({_some(styles)}). There is "
            f"{examples}." + (f" Try --outputs '{suggestion}'." if suggestion else "")
        )
    methods = {
        method: Outputs(pairs, pattern.replace("{method}", method))
        for method, pairs in found.methods.items()
    }
    return methods, found.unmatched


def pairs_by_name(
    pattern: str, contents: Iterable[ImageRecord], styles: Iterable[ImageRecord]
) -> bool:
    """Return whether a pattern names one picture, and a content is paired with its namesake."""
    named = {"content", "style"} & set(_named(pattern))
    names = {style.name for style in styles}
    return len(named) == 1 and len(names) > 1 and {c.name for c in contents} <= names


def has_method(pattern: str) -> bool:
    """Return whether the pattern contains the method's name."""
    return "{method}" in pattern


def folder_name(pattern: str) -> str:
    """Return a name for the method of a pattern without ``{method}``: that of its folder."""
    return shown_name(root_of(pattern).resolve().name) or "outputs"


def expected_files(pattern: str, pair: Pair) -> list[str]:
    """Return the names that the output of a pair may have; two if a picture is in a sub-folder.

    Example:
        >>> expected_files("out/{content}__{style}.png", Pair("a", "monet/01"))
        ['out/a__monet/01.png', 'out/monet/a__01.png']
    """
    names = {"content": pair.content, "style": pair.style, "seed": str(pair.seed)}
    ahead = pattern
    for role, name in names.items():
        folder, slash, last = name.rpartition("/")
        place = ahead.find(f"{{{role}}}")
        if slash and place >= 0:
            start = ahead.rfind("/", 0, place) + 1
            ahead = f"{ahead[:start]}{folder}/{ahead[start:]}".replace(f"{{{role}}}", last)
    found = []
    for text in (pattern, ahead):
        for role, name in names.items():
            text = text.replace(f"{{{role}}}", name)
        found.append(text)
    return list(dict.fromkeys(found))


def root_of(pattern: str) -> Path:
    """Check the placeholders; return the folder before the first one.

    Raises:
        UsageError: if a placeholder is unknown, or if there is no such folder.
    """
    for wrong in (name for name in _named(pattern) if name not in _FIELDS):
        raise UsageError(
            f"--outputs {pattern}: there is no placeholder {{{wrong}}}; use {{content}}, "
            "{style} and, for several methods or seeds, {method} and {seed}."
        )
    first = _PLACE.search(pattern)
    whole = Path(pattern).expanduser()
    if first is None and whole.is_dir():
        return whole
    root = Path(pattern[: first.start()] + "x").expanduser().parent if first else whole.parent
    if not root.is_dir():
        raise UsageError(f"--outputs {pattern}: there is no folder {printable(root)}.")
    return root


def _named(pattern: str) -> list[str]:
    """Return the names of the placeholders, in order."""
    return [match[1] for match in _PLACE.finditer(pattern) if match[1] is not None]


def _place(
    file: Path, pattern: str, name: str, spellings: Mapping[str, Spellings], found: Found
) -> None:
    """Assign a file to the pair of its name, or to the unmatched files."""
    text = shown_name(file.as_posix())
    lengths: dict[tuple[str, Pair], int] = {}
    unclear = ""
    for match, spelled in _matches(text, pattern, spellings):
        method = match.groupdict().get("method") or name
        seed = int(match.groupdict().get("seed") or 0)
        meant = _meant(text, match, spelled, spellings)
        for hit in product(meant["content"], meant["style"]):
            key = method, Pair(*hit, seed)
            lengths[key] = max(lengths.get(key, 0), sum(map(len, spelled.values())))
        unclear = next((s for role, s in spelled.items() if not meant[role]), unclear)
    hits = [hit for hit, length in lengths.items() if length == max(lengths.values())]
    if len(hits) > 1:
        pairs = " or ".join(f"{p.content} × {p.style}" for _, p in sorted(hits))
        raise UsageError(
            f"--outputs {pattern}: {printable(file)} could be {pairs}. "
            "Separate the names by text that is in neither of them, such as '__'."
        )
    if not hits:
        reason = "its name has no content and style of this run"
        if unclear:
            reason = f"several pictures are called {unclear}, and its path has the folder of none"
        found.unmatched.append((file, reason))
        return
    ((method, pair),) = hits
    known = found.methods[method].get(pair)
    taken = _preferred(pattern, pair, known, file)
    found.methods[method][pair] = taken
    if known is not None:
        other = file if taken == known else known
        found.unmatched.append((other, f"a second picture of the pair of {printable(taken.name)}"))


def _preferred(pattern: str, pair: Pair, known: Path | None, file: Path) -> Path:
    """Return the file of a pair: the one with no text for ``*``, or the last in natural order.

    Programs that save every hundredth step write the result as ``out.png`` or ``out_1000.png``.
    """
    if known is None:
        return file
    bare = Path(pattern.replace("*", "")).expanduser().as_posix()
    is_bare = shown_name(known.as_posix()) in expected_files(bare, pair)
    return known if is_bare or "*" not in pattern else file


def _matches(
    text: str, pattern: str, spellings: Mapping[str, Spellings]
) -> Iterator[tuple[re.Match[str], dict[str, str]]]:
    """Yield each match of a file's path with the pattern, and the spellings by role in it."""
    folders = spellings["content"].all_folders, spellings["style"].all_folders
    named = _named(pattern)
    choices = {role: [s for s in known.all if s in text] for role, known in spellings.items()}
    # Without free text, the rest of the name decides about the style.
    is_free = "*" in pattern or "method" in named
    styles = [(s,) for s in choices["style"]] if is_free else [spellings["style"].all]
    contents = choices["content"] if "content" in named else [""]
    for content, some in product(contents, styles if "style" in named else [("",)]):
        if match := _regex(pattern, content, some, folders).fullmatch(text):
            yield match, {r: s for r, s in match.groupdict().items() if r in spellings}


def _meant(
    text: str, match: re.Match[str], spelled: Mapping[str, str], spellings: Mapping[str, Spellings]
) -> dict[str, tuple[str, ...]]:
    """Return role -> names of the pictures that a file name may mean.

    A role without placeholder has one picture, or the picture of the other role's name.
    """
    meant = {r: spellings[r].meant(s, _before(text, match, r)) for r, s in spelled.items()}
    named = [name for names in meant.values() for name in names]
    for role, known in spellings.items():
        if role not in meant:
            every = tuple(known.folders)
            meant[role] = every if len(every) == 1 else tuple(n for n in named if n in every)
    return meant


def _before(text: str, match: re.Match[str], role: str) -> str:
    """Return the folders before the file or folder name that contains a placeholder."""
    return "/" + text[: text.rfind("/", 0, match.start(role)) + 1]


@cache
def _regex(
    pattern: str, content: str, styles: tuple[str, ...], folders: tuple[tuple[str, ...], ...]
) -> re.Pattern[str]:
    """Return the pattern for one content; a repeated placeholder stands for the same text.

    Folders of pictures may stand before the name that contains their placeholder.
    """
    choices = {
        "content": re.escape(content), "style": _any_of(styles), "method": "[^/]+",
        "seed": "[0-9]+",
    }  # fmt: skip
    pattern = shown_name(Path(pattern).expanduser().as_posix())
    places = list(_PLACE.finditer(pattern))
    starts: dict[int, set[str]] = defaultdict(set)
    for place in places:
        if place[1] in ("content", "style"):
            start = pattern.rfind("/", 0, place.start()) + 1
            starts[start].update(folders[("content", "style").index(place[1])])
    parts, end, seen = [], 0, set()
    for place in places:
        parts.append(_fixed(pattern, end, place.start(), starts))
        end = place.end()
        if place[1] is None:
            parts.append("(?:[^/]+/)*" if place[0] == "**/" else "[^/]*")
        elif place[1] in seen:
            parts.append(f"(?P={place[1]})")
        else:
            parts.append(f"(?P<{place[1]}>{choices[place[1]]})")
            seen.add(place[1])
    return re.compile("".join([*parts, re.escape(pattern[end:])]))


def _fixed(pattern: str, begin: int, end: int, starts: Mapping[int, Iterable[str]]) -> str:
    """Return the fixed text between two placeholders, with optional folders of pictures in it."""
    text = ""
    for start in sorted(s for s in starts if begin <= s <= end and (s > begin or s == 0)):
        text += re.escape(pattern[begin:start])
        begin = start
        if known := tuple(starts[start]):
            text += f"(?:(?:{_any_of(known)})/){{0,2}}"
    return text + re.escape(pattern[begin:end])


def _any_of(texts: Iterable[str]) -> str:
    return "|".join(re.escape(text) for text in sorted(texts, key=lambda t: (-len(t), t)))


def _some(records: Sequence[ImageRecord]) -> str:
    shown = [printable(record.name) for record in records[:3]]
    return ", ".join(shown) + (", ..." if len(records) > 3 else "")
