"""Find pictures of any program by a pattern of their names.

``out/{content}__{style}.png`` matches one file per pair. ``{content}`` and ``{style}`` are names of
pictures (file names without extension, or nstbench's slugs), ``{method}`` is any name, and ``*`` is
any text in one folder or file name.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from nstbench.core.errors import UsageError
from nstbench.core.records import ImageRecord
from nstbench.core.text import natural_key, printable

_FIELDS = ("content", "style", "method")
_PLACE = re.compile(r"\{(\w*)\}|\*+")

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of one method.

    Attributes:
        files: (content, style) by nstbench's names -> file.
        expected: pattern of the file names, for messages.
    """

    files: Mapping[Pair, Path]
    expected: str


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
        UsageError: if the pattern has no or an unknown placeholder, or matches no folder or
            file, or if a file matches two pairs.
    """
    root = _root(pattern)
    files = sorted((f for f in root.rglob("*") if f.is_file()), key=lambda f: natural_key(str(f)))
    tokens = {"content": _tokens(contents), "style": _tokens(styles)}
    found = Found()
    for file in files:
        _place(file, pattern, name, tokens, found)
    if not found.methods:
        examples = ", ".join(printable(f.relative_to(root)) for f in files[:3]) or "no file"
        raise UsageError(
            f"--outputs {pattern}: of {len(files)} files under {printable(root)} none is called "
            f"so for a content ({_some(tokens['content'])}) and a style "
            f"({_some(tokens['style'])}). There is {examples}."
        )
    methods = {
        method: Outputs(pairs, pattern.replace("{method}", method))
        for method, pairs in found.methods.items()
    }
    return methods, found.unmatched


def has_method(pattern: str) -> bool:
    """Return whether the pattern contains the method's name."""
    return "{method}" in pattern


def _root(pattern: str) -> Path:
    """Check the placeholders; return the folder before the first one."""
    named = [match[1] for match in _PLACE.finditer(pattern) if match[1] is not None]
    for wrong in (n for n in named if n not in _FIELDS):
        raise UsageError(
            f"--outputs {pattern}: there is no placeholder {{{wrong}}}; use {{content}}, "
            "{style} and, for several methods, {method}."
        )
    for needed in ("content", "style"):
        if needed not in named:
            raise UsageError(
                f"--outputs {pattern}: {{{needed}}} is missing. "
                "Put it in place of the picture's name, as in 'out/{content}__{style}.png'."
            )
    first = _PLACE.search(pattern)
    assert first is not None
    root = Path(pattern[: first.start()] + "x").parent.expanduser()
    if not root.is_dir():
        raise UsageError(f"--outputs {pattern}: there is no folder {printable(root)}.")
    return root


def _tokens(records: Iterable[ImageRecord]) -> dict[str, str]:
    """Return every spelling of a picture's name -> the name; file names come before slugs."""
    records = list(records)
    by_slug = {record.name: record.name for record in records}
    stems = [(Path(record.source or record.path).stem, record.name) for record in records]
    unique = {stem: name for stem, name in stems if [s for s, _ in stems].count(stem) == 1}
    return {**by_slug, **unique}


def _place(
    file: Path,
    pattern: str,
    name: str,
    tokens: Mapping[str, Mapping[str, str]],
    found: Found,
) -> None:
    """Assign a file to the pair of its name, or to the unmatched files."""
    text = file.as_posix()
    hits: set[tuple[str, Pair]] = set()
    for content in (token for token in tokens["content"] if token in text):
        match = _regex(pattern, content, tuple(tokens["style"])).fullmatch(text)
        if match:
            method = printable(match.groupdict().get("method") or name)
            hits.add((method, (tokens["content"][content], tokens["style"][match["style"]])))
    if len(hits) > 1:
        pairs = " or ".join(f"{c} × {s}" for _, (c, s) in sorted(hits))
        raise UsageError(
            f"--outputs {pattern}: {printable(file)} could be {pairs}. "
            "Separate the names by text that is in neither of them, such as '__'."
        )
    if not hits:
        found.unmatched.append((file, "its name has no content and style of this run"))
        return
    ((method, pair),) = hits
    known = found.methods[method].setdefault(pair, file)
    if known != file:
        found.unmatched.append((file, f"a second picture of the pair of {known.name}"))


@cache
def _regex(pattern: str, content: str, styles: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern for one content; a repeated placeholder stands for the same text."""
    longest_first = "|".join(re.escape(s) for s in sorted(styles, key=len, reverse=True))
    choices = {"content": re.escape(content), "style": longest_first, "method": "[^/]+"}
    parts, end, seen = [], 0, set()
    pattern = Path(pattern).expanduser().as_posix()
    for place in _PLACE.finditer(pattern):
        parts.append(re.escape(pattern[end : place.start()]))
        end = place.end()
        if place[1] is None:
            parts.append("[^/]*")
        elif place[1] in seen:
            parts.append(f"(?P={place[1]})")
        else:
            parts.append(f"(?P<{place[1]}>{choices[place[1]]})")
            seen.add(place[1])
    return re.compile("".join([*parts, re.escape(pattern[end:])]))


def _some(tokens: Mapping[str, str]) -> str:
    shown = [printable(token) for token in list(tokens)[:3]]
    return ", ".join(shown) + (", ..." if len(tokens) > 3 else "")
