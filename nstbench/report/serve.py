"""A web server that shows the reports of runs, also while they are running.

It listens on the loopback address only, and rejects requests with another host name, so that a
web page cannot reach it by DNS rebinding. It serves the report, rendered on request, and data
files in the run folders.
"""

from __future__ import annotations

import html
import logging
import os
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from nstbench.analysis.load_board import load_board
from nstbench.core.errors import NstbenchError, UsageError
from nstbench.report.page import render_page
from nstbench.store.run_info import read_info

ADDRESS = "127.0.0.1"
REFRESH = 15
"""Seconds after which the browser reloads the report of an unfinished run."""

TYPES = {
    ".png": "image/png",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".tex": "text/plain; charset=utf-8",
    ".parquet": "application/octet-stream",
}
"""Suffix -> content type of the files that are served; none of them can run a script."""

INERT = "default-src 'none'; sandbox"
"""Content security policy of files and messages."""

log = logging.getLogger(__name__)


class Server(ThreadingHTTPServer):
    """Serves one run, or all runs in a folder, until it is closed.

    Args:
        folder: a run folder, or a folder with run folders.
        port: port on the loopback address; 0 selects a free port.

    Raises:
        UsageError: if there is no run or the port cannot be used.
    """

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self.single = (folder / "run.json").is_file()
        if not self.runs():
            raise UsageError(
                f"{folder} contains no run: there is no run.json in it or in a subfolder."
            )
        self._pages: dict[str, tuple[Any, bytes]] = {}
        self._lock = threading.Lock()
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            raise UsageError(
                f"--port {port} cannot be used: {error.strerror}. --port 0 selects a free port."
            ) from error

    @property
    def port(self) -> int:
        """The port of the server."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """Address of the report, or of the list of runs."""
        return f"http://{ADDRESS}:{self.port}/"

    def runs(self) -> dict[str, Path]:
        """Return name -> folder of every run; links to other folders are omitted."""
        if self.single:
            return {self.folder.resolve().name: self.folder}
        base = self.folder.resolve()
        paths = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        return {
            path.name: path
            for path in paths
            if (path / "run.json").is_file() and path.resolve().parent == base
        }

    def page(self, name: str) -> bytes:
        """Return a run's report, rendered again if the run has changed since the last request."""
        root = self.runs()[name]
        with self._lock:
            state = fingerprint(root)
            cached = self._pages.get(name)
            if cached is None or cached[0] != state:
                page = render_page(load_board(root), embed=False, base=".")
                cached = self._pages[name] = state, page.encode()
            return cached[1]


def fingerprint(root: Path) -> tuple[Any, ...]:
    """Return a value that changes whenever the report of a run changes."""
    files = [root / f for f in ("run.json", "plan.json", "scores.parquet", "timings.json")]
    folders = [root / "outputs"]
    # unlike the latest time, the sum also changes after the clock was set back
    times, count = 0, 0
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except FileNotFoundError:
            continue
        folders += [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)]
        records = [e.stat().st_mtime_ns for e in entries if e.name.endswith(".json")]
        times, count = times + sum(records), count + len(records)
    return (*(f.stat().st_mtime_ns if f.is_file() else 0 for f in files), times, count)


def find_file(root: Path, parts: list[str]) -> Path | None:
    """Return the file of a request path, or ``None`` if it must not be served.

    A served file is a regular file with a suffix of :data:`TYPES`. It is in ``root`` after all
    links are resolved, and no part of its path is hidden or leads upwards.
    """
    if any(not p or p.startswith(".") or "\\" in p or "\0" in p for p in parts):
        return None
    path = root.joinpath(*parts)
    if path.suffix not in TYPES:
        return None
    try:
        real = path.resolve(strict=True)
    except OSError:
        return None
    inside = real.is_relative_to(root.resolve())
    return real if inside and real.is_file() and real.suffix == path.suffix else None


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD requests."""

    server: Server
    server_version = "nstbench"
    sys_version = ""

    def do_GET(self) -> None:
        """Send a page, the list of runs or a file."""
        hosts = {f"{name}:{self.server.port}" for name in (ADDRESS, "localhost")}
        if self.headers.get("Host") not in hosts:
            self._text(HTTPStatus.FORBIDDEN, "Forbidden. Use the address that nstbench printed.")
            return
        runs = self.server.runs()
        parts = [unquote(part) for part in urlsplit(self.path).path.split("/")[1:]]
        if parts == [""]:
            self._front(runs)
        elif len(parts) > 1 and parts[0] in runs:
            self._run(runs[parts[0]], parts)
        else:
            self._text(HTTPStatus.NOT_FOUND, "Not found.")

    do_HEAD = do_GET  # noqa: N815  name required by the base class

    def _front(self, runs: dict[str, Path]) -> None:
        if self.server.single:
            self._send(HTTPStatus.FOUND, b"", {"Location": f"/{quote(next(iter(runs)))}/"})
            return
        items = "".join(
            f'<li><a href="/{quote(name)}/">{html.escape(name)}</a> {_state(root)}</li>'
            for name, root in runs.items()
        )
        page = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>nstbench runs</title>'
            '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
            f"<main><h1>Runs</h1><ul>{items}</ul></main></html>"
        )
        headers = {"Content-Type": "text/html; charset=utf-8",
                   "Content-Security-Policy": "default-src 'none'; img-src data:"}  # fmt: skip
        self._send(HTTPStatus.OK, page.encode(), headers)

    def _run(self, root: Path, parts: list[str]) -> None:
        if parts[1:] != [""]:
            file = find_file(root, parts[1:])
            if file is None:
                self._text(HTTPStatus.NOT_FOUND, "Not found.")
            else:
                headers = {"Content-Type": TYPES[file.suffix], "Content-Security-Policy": INERT}
                self._send(HTTPStatus.OK, file.read_bytes(), headers)
            return
        try:
            page = self.server.page(parts[0])
            headers = {"Content-Type": "text/html; charset=utf-8"}
            if not read_info(root).get("finished"):
                headers["Refresh"] = str(REFRESH)
            self._send(HTTPStatus.OK, page, headers)
        except NstbenchError as error:
            self._text(HTTPStatus.SERVICE_UNAVAILABLE, str(error))

    def _text(self, status: HTTPStatus, text: str) -> None:
        headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Security-Policy": INERT}
        self._send(status, text.encode(), headers)

    def _send(self, status: HTTPStatus, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        common = {"Content-Length": str(len(body)), "Cache-Control": "no-store",
               "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}  # fmt: skip
        for key, value in (headers | common).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Write requests to the debug log instead of the terminal."""
        log.debug(format, *args)


def _state(root: Path) -> str:
    try:
        info = read_info(root)
    except NstbenchError as error:
        return html.escape(str(error))
    when = str(info.get("started", ""))[:16].replace("T", " ")
    return html.escape(f"{when} UTC, {'finished' if info.get('finished') else 'not finished'}")
