"""A model hub of one dataset repository on this machine, as far as streaming needs one."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve(folder: Path, repo: str = "owner/pictures") -> Iterator[tuple[str, list[str]]]:
    """Serve a folder as ``repo``; yield the endpoint and the growing list of requests."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            path = unquote(urlsplit(self.path).path)
            requests.append(f"{self.command} {path} {self.headers.get('Range') or ''}".strip())
            if path == f"/api/datasets/{repo}" or path.startswith(f"/api/datasets/{repo}/revision"):
                self._send_json(
                    {
                        "id": repo,
                        "sha": COMMIT,
                        "private": False,
                        "tags": [],
                        "siblings": [{"rfilename": name} for name in _files(folder)],
                    }
                )
            elif path.startswith(f"/api/datasets/{repo}/paths-info/"):
                self._send_json([_entry(folder, name) for name in _asked(body)])
            elif path.startswith(f"/api/datasets/{repo}/tree/"):
                under = path.removeprefix(f"/api/datasets/{repo}/tree/").partition("/")[2]
                deep = "recursive=true" in self.path.lower()
                self._send_tree(folder / under, deep)
            elif match := re.match(rf"/datasets/{repo}/resolve/[^/]+/(.+)", path):
                self._send_file(folder / match[1])
            else:
                self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

        def _send_tree(self, under: Path, deep: bool) -> None:
            if not under.is_dir():
                self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
                return
            found = sorted(under.rglob("*") if deep else under.iterdir())
            self._send_json([_entry(folder, p.relative_to(folder).as_posix()) for p in found])

        def _send_json(self, data: object) -> None:
            self._send(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

        def _send_file(self, path: Path) -> None:
            if not path.is_file():
                self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
                return
            data = path.read_bytes()
            headers = {"ETag": f'"{path.name}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            if asked is None:
                self._send(200, data, headers)
                return
            first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            self._send(206, data[first : last + 1], headers)

        def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    def _asked(body: str) -> list[str]:
        names = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body)["paths"]
        return [name for name in names if (folder / name).exists()]

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def _entry(folder: Path, name: str) -> dict[str, object]:
    path = folder / name
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "0" * 40}
    return {"type": "file", "path": name, "size": path.stat().st_size, "oid": "0" * 40}
