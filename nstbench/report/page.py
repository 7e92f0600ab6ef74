"""The report: sections found in ``reports/``, put together into one page and files beside it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import os
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from markupsafe import Markup

from nstbench import __version__
from nstbench.contracts import Section
from nstbench.core.board import Board
from nstbench.core.errors import StoreError, UsageError, did_you_mean, fix_for
from nstbench.core.text import encodable
from nstbench.plugins import registry
from nstbench.report import comparison_page as comparison
from nstbench.report.parts import pictures, templates

HTML = "html"
PAGE = "index.html"
COPIES = "pictures"

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


def formats() -> list[str]:
    """Return every name that ``--format`` takes."""
    known, _ = sections()
    return sorted({cls.info.format for cls in known.values()} | {HTML})


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
    page = _shell(title, "Style transfer leaderboard", fragments, broken, embed)
    return pictures.fill(page, board.root, embed=embed, base=base)


def _shell(
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


def check_formats(names: Sequence[str]) -> None:
    """Raise a UsageError if a report cannot be written in one of these formats."""
    _sections_by_format(names)


def _sections_by_format(names: Sequence[str]) -> dict[str, list[type[Section]]]:
    known, broken = sections()
    by_format: dict[str, list[type[Section]]] = {HTML: []}
    for cls in known.values():
        if cls.info.format != HTML:
            by_format.setdefault(cls.info.format, []).append(cls)
    for name in names:
        if name not in by_format:
            reasons = "".join(f" {b.reason}." for b in broken)
            raise UsageError(
                f"--format: there is no report format '{name}'.{did_you_mean(name, by_format)} "
                f"Known: {', '.join(sorted(by_format))}.{reasons}"
            )
    return by_format


def write_report(
    board: Board, out: Path, formats: Sequence[str], *, embed: bool = True
) -> list[Path]:
    """Write the report's files into a folder and return their paths.

    Args:
        board: the result of a run.
        out: folder to write to; made if it does not exist.
        formats: ``"html"`` for the page and the ``format`` of any other section.
        embed: False puts the pictures beside the page (see :func:`render_page`); if ``out``
            lies outside the run folder, as copies.

    Raises:
        UsageError: if a format is unknown.
        PluginError: if the format's own section cannot be loaded.
        StoreError: if the folder cannot be written.
    """
    by_format = _sections_by_format(formats)
    written: list[Path] = []
    for name in dict.fromkeys(formats):
        if name == HTML:
            page = _page_beside(board, out) if not embed else render_page(board)
            written.append(_replace(out / PAGE, partial(_write_text, page)))
        for section in (cls() for cls in by_format[name]):
            if section.applies(board):
                written.append(_replace(out / section.info.filename, partial(section.write, board)))
    return written


def _page_beside(board: Board, out: Path) -> str:
    """Return a page that loads its pictures lazily from beside it.

    Inside the run folder it links to the run's files; elsewhere it gets copies of them,
    so that the folder can be moved.
    """
    if out.resolve().is_relative_to(board.root.resolve()):
        return render_page(board, embed=False, base=_relative(board.root, out))
    page = render_page(board, embed=False, base=COPIES)
    pictures.copy(page, board.root, out / COPIES)
    return page


def write_comparison(boards: Sequence[Board], out: Path, formats: Sequence[str]) -> list[Path]:
    """Write several runs side by side into a folder and return the paths of the files.

    Args:
        boards: at least two; every further one is compared with the first.
        out: folder to write to; made if it does not exist.
        formats: of ``"html"``, ``"csv"`` and ``"md"``.

    Raises:
        UsageError: if a format is unknown.
    """
    writers = {
        HTML: (PAGE, lambda compared: _comparison_page(boards, compared)),
        "csv": ("comparison.csv", lambda compared: comparison.table(compared).to_csv(index=False)),
        "md": ("comparison.md", lambda compared: comparison.markdown(boards, compared)),
    }
    for name in formats:
        if name not in writers:
            raise UsageError(
                f"--format: several runs together cannot be written as '{name}'."
                f"{did_you_mean(name, writers)} Known: {', '.join(writers)}; each run's own "
                "report has the others."
            )
    compared = comparison.compare(boards)
    return [
        _replace(out / filename, partial(_write_text, text(compared)))
        for filename, text in (writers[name] for name in dict.fromkeys(formats))
    ]


def _comparison_page(boards: Sequence[Board], compared: Sequence[comparison.Compared]) -> str:
    parts = [Fragment(*part) for part in comparison.html(boards, compared)]
    title = " / ".join(str(board.info.get("name") or "run") for board in boards)
    page = _shell(title, "Runs side by side", parts, [], embed=True)
    return pictures.fill(page, boards[0].root, embed=True, base=".")


def _replace(path: Path, write: Callable[[Path], None]) -> Path:
    """Write beside the file and rename, so that readers see the old or the new one whole."""
    temporary = path.with_name(f".partial-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        mend = fix_for(error) or "free space or change permissions"
        raise StoreError(
            f"{path} cannot be written: {error.strerror or error}. To mend it, {mend}, then "
            "write the report again with `nstbench report`."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _relative(root: Path, out: Path) -> str:
    return Path(os.path.relpath(root.resolve(), out.resolve())).as_posix()


def _policy(script: str, style: str, embed: bool) -> str:
    """Return a content security policy that admits this page's own script and nothing else."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    sources = "data:" if embed else "data: file: 'self'"
    return (
        f"default-src 'none'; img-src {sources}; script-src 'sha256-{digest(script)}'; "
        f"style-src 'sha256-{digest(style)}'; base-uri 'none'; form-action 'none'"
    )
