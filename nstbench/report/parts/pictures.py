"""Pictures inside the page: one small copy of each, however often it is shown.

A section shows a picture by ``<img data-picture="path in the run folder" alt="...">``. The
same attribute on another element makes a picture available to the script of the page.
:func:`fill` adds a ``src`` to the images and writes the other pictures into a JSON element
that the script reads.
"""

from __future__ import annotations

import base64
import filecmp
import html
import io
import json
import logging
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup
from PIL import Image

from nstbench.core.text import counted

BUDGET = 13_000_000
"""Bytes of all embedded pictures before base64, which adds a third."""

LIMIT = 19_800_000
"""Largest page in bytes; the pictures get what the rest of the page leaves."""

EDGES = (512, 448, 384, 320, 256, 208, 160)
"""Longest edges in pixels, tried in this order."""

QUALITY = 82
"""WebP quality."""

SAMPLE = 12
"""Pictures that are encoded to estimate the size of all."""

MAX_PICTURES = 640
"""Number of pictures that fit into the budget at about 256 px."""

_log = logging.getLogger(__name__)

NOTE = Markup("<span data-picture-note></span>")
"""Placeholder for the note on how the pictures were embedded."""

_IMG = re.compile(r'<img([^>]*?) data-picture="([^"]*)"')
_ANY = re.compile(r' data-picture="([^"]*)"')


@dataclass(frozen=True)
class Encoded:
    """Sources of pictures: path -> data URI or link, and a note for readers."""

    uris: dict[str, str]
    note: str


def fill(page: str, root: Path, *, embed: bool, base: str) -> str:
    """Return ``page`` with its pictures.

    Args:
        page: HTML with ``data-picture`` attributes.
        root: the run folder.
        embed: True for data URIs, False for links to the files.
        base: path from the page to the run folder, for links.
    """
    paths = list(dict.fromkeys(html.unescape(p) for p in _ANY.findall(page)))
    shown = {html.unescape(p) for _, p in _IMG.findall(page)}
    # base64 adds a third
    room = max(0, LIMIT - len(page.encode()) - 200 * len(paths)) * 3 // 4
    encoded = embedded(paths, root, min(BUDGET, room)) if embed else linked(paths, root, base)

    def with_source(match: re.Match[str]) -> str:
        source = encoded.uris.get(html.unescape(match[2]))
        lazy = "" if embed else ' loading="lazy"'
        return f'{match[0]}{lazy} src="{html.escape(source)}"' if source else match[0]

    page = _IMG.sub(with_source, page).replace(str(NOTE), html.escape(encoded.note))
    store = {path: uri for path, uri in encoded.uris.items() if path not in shown}
    text = json.dumps(store, ensure_ascii=False).replace("<", "\\u003c")
    block = f'<script type="application/json" id="picture-store">{text}</script>'
    return page.replace("<!-- picture-store -->", block)


def linked(paths: Sequence[str], root: Path, base: str) -> Encoded:
    """Return links to the pictures of a run; ``base`` is the path to its folder or to copies."""
    uris = {path: quote(f"{base}/{path}") for path in paths if _inside(root, path)}
    note = "Pictures are shown at full resolution."
    missing = len(paths) - len(uris)
    return Encoded(uris, f"{note} Missing: {counted(missing, 'file')}." if missing else note)


def copy(page: str, root: Path, out: Path) -> None:
    """Copy the pictures of a page from the run folder into the folder ``out``.

    Files with the same size and time are not copied again.
    """
    for path in dict.fromkeys(html.unescape(p) for p in _ANY.findall(page)):
        if not _inside(root, path):
            continue
        source, target = root / path, out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or not filecmp.cmp(source, target):
            shutil.copy2(source, target)


def embedded(paths: Sequence[str], root: Path, budget: int = BUDGET) -> Encoded:
    """Return the pictures as data URIs, at the largest size within the budget in bytes."""
    present = [path for path in paths if _inside(root, path)]
    edge = EDGES[0]
    for edge in EDGES:
        if _estimate(present, root, edge) <= budget:
            break
    uris: dict[str, str] = {}
    damaged = 0
    size = 0
    # Pillow releases the interpreter lock while it decodes and encodes
    with ThreadPoolExecutor() as pool:
        for path, data in zip(
            present, pool.map(partial(_encode, root, edge), present), strict=True
        ):
            damaged += data is None
            size += len(data or b"")
            if data is not None and size <= budget:
                uris[path] = "data:image/webp;base64," + base64.b64encode(data).decode()
    note = f"Pictures are embedded at up to {edge} px, WebP quality {QUALITY}."
    missing = len(paths) - len(present)
    if missing:
        note += f" Missing from the run folder: {counted(missing, 'file')}."
    if damaged:
        note += f" Damaged: {counted(damaged, 'file')}."
    omitted = len(present) - len(uris) - damaged
    if omitted:
        note += f" Omitted to keep the page below 20 MB: {counted(omitted, 'picture')}."
    return Encoded(uris, note)


def _encode(root: Path, edge: int, path: str) -> bytes | None:
    try:
        return encode(root / path, edge)
    # a decoder may raise any exception for a damaged file
    except Exception as error:
        _log.info("the page omits %s: %s", path, error)
        return None


def encode(path: Path, edge: int) -> bytes:
    """Return a PNG of a run as WebP with its longest edge at most ``edge`` pixels."""
    # only PNG, because some of Pillow's other readers start external programs
    with Image.open(path, formats=("PNG",)) as image:
        picture = image.convert("RGB")
    if max(picture.size) > edge:
        picture.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY, method=2)
    return buffer.getvalue()


def _estimate(paths: Sequence[str], root: Path, edge: int) -> float:
    every = max(1, len(paths) // SAMPLE)
    sample = paths[::every]
    total = sum(len(_encode(root, edge, path) or b"") for path in sample)
    # with a margin of 10 %, because stylised pictures differ much in size
    return 1.1 * total / max(1, len(sample)) * len(paths)


def _inside(root: Path, path: str) -> bool:
    """Return True for a file in the run folder; a record must not name a file outside it."""
    file = (root / path).resolve()
    return file.is_relative_to(root.resolve()) and file.is_file()
