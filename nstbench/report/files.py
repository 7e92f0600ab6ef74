"""The files of a report: the page, and the tables and figures of its sections."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from nstbench.contracts import Section
from nstbench.core.board import Board
from nstbench.core.errors import UsageError, did_you_mean
from nstbench.report.comparison_page import compare, comparison_page, comparison_table, markdown
from nstbench.report.page import render_page, sections
from nstbench.report.parts import pictures
from nstbench.store.atomic_files import replacing, write_bytes

HTML = "html"
PAGE = "index.html"
COPIES = "pictures"
"""Folder next to the page for copies of its pictures."""


def formats() -> list[str]:
    """Return the values of ``--format``."""
    loaded, _ = sections()
    return sorted({format for cls in loaded.values() for format in cls.info.files} | {HTML})


def check_formats(names: Sequence[str]) -> None:
    """Raise a UsageError if one of the names is not a report format."""
    _sections_by_format(names)


def _sections_by_format(names: Sequence[str]) -> dict[str, list[type[Section]]]:
    loaded, broken = sections()
    by_format: dict[str, list[type[Section]]] = {HTML: []}
    for section in loaded.values():
        for format in section.info.files:
            by_format.setdefault(format, []).append(section)
    for name in names:
        if name not in by_format:
            reasons = "".join(f" {b.reason}." for b in broken)
            raise UsageError(
                f"--format: unknown report format '{name}'.{did_you_mean(name, by_format)} "
                f"Available: {', '.join(sorted(by_format))}.{reasons}"
            )
    return by_format


def write_report(
    board: Board, out: Path, formats: Sequence[str], *, embed: bool = True
) -> list[Path]:
    """Write the files of a report and return their paths.

    Args:
        board: the result of a run.
        out: folder to write to; it is created if necessary.
        formats: ``"html"`` for the page, and formats of the sections' files.
        embed: False links to the pictures instead of embedding them (see
            :func:`render_page`). If ``out`` is outside the run folder, they are copied.

    Raises:
        UsageError: if a format is unknown.
        StoreError: if the folder cannot be written.
    """
    by_format = _sections_by_format(formats)
    written: list[Path] = []
    for format in dict.fromkeys(formats):
        if format == HTML:
            page = render_page(board) if embed else _linked_page(board, out)
            written.append(_write_text(out / PAGE, page))
        for section in (cls() for cls in by_format[format]):
            if section.applies(board):
                path = out / section.info.files[format]
                with replacing(path) as temporary:
                    section.write(board, temporary, format)
                written.append(path)
    return written


def _linked_page(board: Board, out: Path) -> str:
    """Return a page that links to its pictures.

    In the run folder it links to the files of the run. In another folder it links to copies,
    so that the folder can be moved.
    """
    if out.resolve().is_relative_to(board.root.resolve()):
        return render_page(board, embed=False, base=_relative(board.root, out))
    page = render_page(board, embed=False, base=COPIES)
    pictures.copy(page, board.root, out / COPIES)
    return page


def write_growing_page(board: Board, out: Path, reload_seconds: int) -> None:
    """Write the page of a run that goes on; it reloads itself.

    Args:
        board: the run so far.
        out: folder of the page, in the run folder. The page links to the pictures of the run.
        reload_seconds: seconds after which a browser reads the page again.
    """
    base = _relative(board.root, out)
    _write_text(out / PAGE, render_page(board, embed=False, base=base, reload=reload_seconds))


def write_comparison(boards: Sequence[Board], out: Path, formats: Sequence[str]) -> list[Path]:
    """Write a comparison of several runs and return the paths of its files.

    Args:
        boards: at least two; all others are compared with the first.
        out: folder to write to; it is created if necessary.
        formats: any of ``"html"``, ``"csv"`` and ``"md"``.

    Raises:
        UsageError: if a format is unknown.
        StoreError: if the folder cannot be written.
    """
    writers = {
        HTML: (PAGE, lambda compared: comparison_page(boards, compared)),
        "csv": ("comparison.csv", lambda compared: comparison_table(compared).to_csv(index=False)),
        "md": ("comparison.md", lambda compared: markdown(boards, compared)),
    }
    for name in formats:
        if name not in writers:
            raise UsageError(
                f"--format: a comparison of runs cannot be written as '{name}'."
                f"{did_you_mean(name, writers)} Available: {', '.join(writers)}. The report of a "
                "single run has more formats."
            )
    compared = compare(boards)
    return [
        _write_text(out / filename, text(compared))
        for filename, text in (writers[name] for name in dict.fromkeys(formats))
    ]


def _write_text(path: Path, text: str) -> Path:
    write_bytes(path, text.encode())
    return path


def _relative(root: Path, out: Path) -> str:
    return Path(os.path.relpath(root.resolve(), out.resolve())).as_posix()
