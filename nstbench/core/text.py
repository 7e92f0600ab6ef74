"""Names that are safe in file names, tables and one-line messages."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

_LONGEST = 60


def printable(text: object) -> str:
    """Return the text on one line: control and undecodable characters become escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text)
    )


def shown_name(name: object) -> str:
    """Return the name of a file as tables show it and patterns compare it.

    Unicode normal form C on one line: macOS stores ``é`` as two characters, most programs as one.
    The case of letters is kept.

    Example:
        >>> shown_name("ce\u0301zanne") == "c\u00e9zanne"
        True
    """
    return printable(unicodedata.normalize("NFC", str(name)))


def encodable(text: str) -> str:
    """Return the text with characters that UTF-8 cannot encode as escapes (odd file names)."""
    return text.encode("utf-8", "backslashreplace").decode()


def slugify(text: str) -> str:
    """Return the text in lower-case ``[a-z0-9_-]``, at most 60 characters, possibly empty.

    Accents are dropped, every run of other characters becomes one hyphen. python-slugify would
    transliterate other alphabets, and so change the names of pictures and the keys of their units.

    Example:
        >>> slugify("Café de Nuit (1888)")
        'cafe-de-nuit-1888'
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9_]+", "-", ascii_text.lower())
    return slug[:_LONGEST].strip("-_")


def path_name(name: str, otherwise: str = "image") -> str:
    """Return the slug of a name for a file of the store, or a checksum if the slug is empty.

    Args:
        name: any text.
        otherwise: word before the checksum.

    Example:
        >>> path_name("monet/01"), path_name("\u795e\u5948\u5ddd")
        ('monet-01', 'image-70334ac3')
    """
    return slugify(name) or digest_name(name, otherwise)


def digest_name(name: str, word: str) -> str:
    """Return a word and the first eight digits of a name's checksum.

    Example:
        >>> digest_name("\u795e\u5948\u5ddd", "image")
        'image-70334ac3'
    """
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()
    return f"{word}-{digest[:8]}"


def unique_slugs(paths: Sequence[PurePath]) -> list[str]:
    """Return a different slug for each path, made from its stem.

    A stem without usable characters gets a checksum of its whole path, and so does each
    stem of a group with equal slugs. So a name does not depend on the order of the paths,
    or on which files of the group are readable.

    Args:
        paths: different relative paths.
    """
    plain = [slugify(path.stem) for path in paths]
    counts = Counter(plain)
    slugs: list[str] = []
    taken = {slug for slug, count in counts.items() if count == 1}
    for path, slug in zip(paths, plain, strict=True):
        if slug and counts[slug] == 1:
            slugs.append(slug)
            continue
        digest = hashlib.sha256(os.fsencode(path.as_posix())).hexdigest()
        length = 8
        while (candidate := f"{slug or 'image'}-{digest[:length]}") in taken:
            length += 1
        taken.add(candidate)
        slugs.append(candidate)
    return slugs


def natural_key(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a sort key that orders numbers inside names by value: ``a2`` before ``a10``.

    natsort also reads digits such as ``²`` as numbers, which changes the order of pictures.

    Example:
        >>> sorted(["a10", "A2", "a1"], key=natural_key)
        ['a1', 'A2', 'a10']
    """
    parts = re.split(r"([0-9]+)", text.casefold())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p], text


def readable_seconds(seconds: float) -> str:
    """Return a duration as text: ``"45 s"``, ``"3 min"``, ``"2 h 10 min"``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``"1 pair"``, ``"2 pairs"``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
