"""Pictures inside the page: one small copy of each, whatever the number of places that show it.

A section shows a picture by ``<img data-picture="path in the run folder" alt="...">`` and
tells the page's script about further ones by the same attribute on any other element.
:func:`fill` then gives the former their ``src`` and puts the latter into a store that the
script reads.
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

BUDGET = 13_000_000
"""Bytes for all embedded pictures; base64 makes them a third larger."""

LIMIT = 19_800_000
"""Bytes of a page with its pictures: a page that holds much else gets smaller pictures."""

EDGES = (512, 448, 384, 320, 256, 208, 160)
"""Longest edges in pixels that are tried, largest first."""

QUALITY = 82
SAMPLE = 12
MOST = 640
"""So many pictures fit into the budget at about 256 px."""

_log = logging.getLogger(__name__)

NOTE = Markup("<span data-picture-note></span>")
"""Where a section writes this, the page says how the pictures were embedded."""

_IMG = re.compile(r'<img([^>]*?) data-picture="([^"]*)"')
_ANY = re.compile(r' data-picture="([^"]*)"')


@dataclass(frozen=True)
class Encoded:
    """Embedded pictures: path -> data URI, and what a reader should know about them."""

    uris: dict[str, str]
    note: str


def fill(page: str, root: Path, *, embed: bool, base: str) -> str:
    """Return ``page`` with its pictures.

    Args:
        page: the page as the templates made it.
        root: the run folder.
        embed: True for data URIs, False for links to the files.
        base: path from the page to the run folder, used for links.
    """
    paths = list(dict.fromkeys(html.unescape(p) for p in _ANY.findall(page)))
    shown = {html.unescape(p) for _, p in _IMG.findall(page)}
    # base64 makes pictures a third larger
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
    """Return links to the files of the run, or to their copies."""
    uris = {path: quote(f"{base}/{path}") for path in paths if _inside(root, path)}
    note = "Pictures are the files of the run at full resolution."
    missing = len(paths) - len(uris)
    return Encoded(uris, f"{note} {missing} are missing." if missing else note)


def copy(page: str, root: Path, out: Path) -> None:
    """Copy the pictures that a page shows from the run folder into the folder ``out``.

    Files that are there with the same size and time are left as they are.
    """
    for path in dict.fromkeys(html.unescape(p) for p in _ANY.findall(page)):
        if not _inside(root, path):
            continue
        source, target = root / path, out / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or not filecmp.cmp(source, target):
            shutil.copy2(source, target)


def embedded(paths: Sequence[str], root: Path, budget: int = BUDGET) -> Encoded:
    """Return all pictures as data URIs, at the largest size that keeps to the budget."""
    present = [path for path in paths if _inside(root, path)]
    edge = EDGES[0]
    for edge in EDGES:
        if _estimate(present, root, edge) <= budget:
            break
    uris: dict[str, str] = {}
    damaged = 0
    spent = 0
    # threads help because Pillow releases the interpreter while it decodes and encodes
    with ThreadPoolExecutor() as pool:
        for path, data in zip(
            present, pool.map(partial(_encode, root, edge), present), strict=True
        ):
            damaged += data is None
            spent += len(data or b"")
            if data is not None and spent <= budget:
                uris[path] = "data:image/webp;base64," + base64.b64encode(data).decode()
    note = f"Pictures are embedded at up to {edge} px, WebP quality {QUALITY}."
    missing = len(paths) - len(present)
    if missing:
        note += f" {missing} files are missing from the run folder."
    if damaged:
        note += f" {damaged} files are damaged."
    left_out = len(present) - len(uris) - damaged
    if left_out:
        note += f" {left_out} pictures were left out to keep the page below 20 MB."
    return Encoded(uris, note)


def _encode(root: Path, edge: int, path: str) -> bytes | None:
    try:
        return encode(root / path, edge)
    # decoders fail on damaged files in every way there is
    except Exception as error:
        _log.info("%s is left out of the page: %s", path, error)
        return None


def encode(path: Path, edge: int) -> bytes:
    """Return a picture of a run as WebP with its longest edge at most ``edge`` pixels."""
    # all of them are written as PNG; what else it might be in a folder from somebody else,
    # some of Pillow's readers would start another program for
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
    # a tenth more than the sample says: stylised pictures differ much in size
    return 1.1 * total / max(1, len(sample)) * len(paths)


def _inside(root: Path, path: str) -> bool:
    """Return True for a file below the run folder: no record may reach outside."""
    file = (root / path).resolve()
    return file.is_relative_to(root.resolve()) and file.is_file()
