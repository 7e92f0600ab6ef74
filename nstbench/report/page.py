"""The report: sections found in ``reports/``, put together into one page and files beside it."""

from __future__ import annotations

import base64
import hashlib
import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from nstbench import __version__
from nstbench.contracts import Section
from nstbench.core.board import Board
from nstbench.core.text import encodable
from nstbench.plugins import registry
from nstbench.report.parts import pictures, templates

HTML = "html"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Broken:
    """A section that could not be loaded or drawn: a visible note takes its place."""

    name: str
    reason: str
    details: str = ""


@dataclass(frozen=True)
class Fragment:
    """A section of the page after drawing."""

    name: str
    title: str
    html: Markup


def sections() -> tuple[dict[str, type[Section]], list[Broken]]:
    """Return all section plug-ins by name, in page order, and those that cannot be loaded."""
    loaded: dict[str, type[Section]] = {}
    broken: list[Broken] = []
    for name in registry.names("reports"):
        try:
            loaded[name] = registry.load("reports", name)
        except registry.PluginError as error:
            broken.append(Broken(name, str(error)))
    ordered = sorted(loaded.items(), key=lambda item: (item[1].info.order, item[0]))
    return dict(ordered), broken


def render_page(board: Board, *, embed: bool = True, base: str = "..") -> str:
    """Return the whole report as one HTML page that loads nothing from a network.

    Args:
        board: the result of a run.
        embed: True puts small copies of the pictures into the page; False links to the
            files of the run, at full resolution.
        base: path from the page to the run folder, for ``embed=False``.
    """
    known, broken = sections()
    fragments: list[Fragment] = []
    for name, cls in known.items():
        if cls.info.format != HTML:
            continue
        try:
            content = Markup(cls().html(board))  # noqa: S704  sections return escaped HTML
        except Exception as error:
            log.warning("report section '%s' failed: %s", name, error)
            reason = f"section '{name}' failed: {type(error).__name__}: {error}"
            broken.append(Broken(name, reason, traceback.format_exc()))
            continue
        if content.strip():
            fragments.append(Fragment(name, cls.info.title, content))
    title = str(board.info.get("name") or "run")
    page = shell(title, "Style transfer leaderboard", fragments, broken, embed)
    return pictures.fill(page, board.root, embed=embed, base=base)


def shell(
    title: str, kicker: str, fragments: Sequence[Fragment], broken: Sequence[Broken], embed: bool
) -> str:
    """Return the page around its sections."""
    script, style = templates.static("report.js"), templates.static("report.css")
    page = templates.render(
        "page.html",
        title=title,
        kicker=kicker,
        version=__version__,
        fragments=fragments,
        broken=broken,
        script=Markup(script),  # noqa: S704  our own file
        style=Markup(style),  # noqa: S704  our own file
        policy=_policy(script, style, embed),
    )
    # messages may quote file names that are no text in any encoding
    return encodable(page)


def _policy(script: str, style: str, embed: bool) -> str:
    """Return a content security policy that admits this page's own script and nothing else."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    sources = "data:" if embed else "data: file: 'self'"
    return (
        f"default-src 'none'; img-src {sources}; script-src 'sha256-{digest(script)}'; "
        f"style-src 'sha256-{digest(style)}'; base-uri 'none'; form-action 'none'"
    )
