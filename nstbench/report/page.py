"""The report page: the sections found in ``reports/`` as one HTML document."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from nstbench import __version__
from nstbench.contracts import Section
from nstbench.core.board import Board
from nstbench.core.records import PENDING, Status
from nstbench.core.text import counted, encodable
from nstbench.plugins import registry
from nstbench.report.parts import pictures, templates

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BrokenSection:
    """A section that cannot be loaded or rendered; the page shows the reason instead."""

    name: str
    reason: str
    details: str = ""


@dataclass(frozen=True)
class Fragment:
    """The HTML of one section."""

    name: str
    title: str
    html: Markup


def sections() -> tuple[dict[str, type[Section]], list[BrokenSection]]:
    """Return the section plug-ins by name in page order, and those that cannot be loaded."""
    loaded: dict[str, type[Section]] = {}
    broken: list[BrokenSection] = []
    for name in registry.names("reports"):
        try:
            loaded[name] = registry.load("reports", name)
        except registry.PluginError as error:
            broken.append(BrokenSection(name, str(error)))
    ordered = sorted(loaded.items(), key=lambda item: (item[1].info.order, item[0]))
    return dict(ordered), broken


def render_page(board: Board, *, embed: bool = True, base: str = "..", reload: int = 0) -> str:
    """Return the report as one HTML page that loads nothing from a network.

    Args:
        board: the result of a run.
        embed: True puts small copies of the pictures into the page; False links to the
            pictures of the run at full resolution.
        base: path from the page to the run folder, for ``embed=False``.
        reload: seconds after which a browser reads the page again; 0 for never.
    """
    loaded, broken = sections()
    fragments: list[Fragment] = []
    for name, section in loaded.items():
        try:
            content = Markup(section().html(board))  # noqa: S704  sections return escaped HTML
        except Exception as error:
            log.warning("report section '%s' failed: %s", name, error)
            reason = f"section '{name}' failed: {type(error).__name__}: {error}"
            broken.append(BrokenSection(name, reason, traceback.format_exc()))
            continue
        if content.strip():
            fragments.append(Fragment(name, section.info.title, content))
    title = str(board.info.get("name") or "run")
    page = render_shell(
        title,
        "Style transfer leaderboard",
        fragments,
        broken,
        embed=embed,
        notice=_incomplete(board, reload),
        reload=reload,
    )
    return pictures.fill(page, board.root, embed=embed, base=base)


def render_shell(
    title: str,
    kicker: str,
    fragments: Sequence[Fragment],
    broken: Sequence[BrokenSection] = (),
    *,
    embed: bool = True,
    notice: str = "",
    reload: int = 0,
) -> str:
    """Return a page with head, navigation and script around its sections.

    Args:
        title: heading of the page.
        kicker: line above the heading.
        fragments: the sections in order.
        broken: sections that are replaced by a note.
        embed: False if the page loads its pictures from files.
        notice: sentence above the first section; empty for none.
        reload: seconds after which a browser reads the page again; 0 for never.
    """
    script, style = templates.inline("report.js"), templates.inline("report.css")
    page = templates.render(
        "page.html",
        title=title,
        kicker=kicker,
        version=__version__,
        fragments=fragments,
        broken=broken,
        notice=notice,
        reload=reload,
        script=script,
        style=style,
        policy=templates.content_policy(style, script, "data:" if embed else "data: file: 'self'"),
    )
    # messages may quote file names that cannot be encoded
    return encodable(page)


def _incomplete(board: Board, reload: int) -> str:
    """Return how much of an unfinished run is done; an empty text for a finished one."""
    statuses = board.units["status"]
    able = statuses[~statuses.isin([Status.UNAVAILABLE, Status.SKIPPED])]
    pending = int((able == PENDING).sum())
    if board.info.get("finished") and not pending:
        return ""
    text = (
        f"This run is incomplete: {len(able) - pending} of {counted(len(able), 'unit')} are done."
    )
    if reload:
        return f"{text} The page is written every {reload} s and reloads itself."
    return text
