"""The server: allowed and refused requests, and runs that are not finished."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

import nstbench
from nstbench.core.errors import UsageError
from nstbench.report.serve import ADDRESS, Server


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a finished run, and secrets around it."""
    root = tmp_path_factory.mktemp("served")
    pixels = np.random.default_rng(3).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for role in ("contents", "styles"):
        (root / role).mkdir()
        Image.fromarray(pixels if role == "contents" else 255 - pixels).save(root / role / "a.png")
    nstbench.run(
        "content_copy,style_copy", root / "contents", root / "styles",
        metrics="ssim", size=64, timing_repeats=0, device="cpu", threads=1,
        out=root / "runs" / "tiny", formats="csv",
    )  # fmt: skip
    (root / "secret.json").write_text('{"secret": true}')
    run = root / "runs" / "tiny"
    (run / "link.json").symlink_to(root / "secret.json")
    (run / "up").symlink_to(root)
    (run / ".hidden.json").write_text("{}")
    (run / "page.html").write_text("<script>1</script>")
    (root / "other_folder").mkdir()
    (root / "other_folder" / "run.json").write_text((run / "run.json").read_text())
    (root / "runs" / "out").symlink_to(root / "other_folder")
    return root / "runs"


@pytest.fixture(scope="module")
def served(folder):
    """The run of the folder, served."""
    with Server(folder / "tiny") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, path, host=None, method="GET"):
    connection = http.client.HTTPConnection(ADDRESS, server.port, timeout=60)
    # without a client that normalises the path
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"{ADDRESS}:{server.port}")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_page_and_its_pictures(served):
    answer, _ = ask(served, "/")
    assert (answer.status, answer.getheader("Location")) == (302, "/tiny/")
    answer, body = ask(served, "/tiny/")
    assert answer.status == 200
    assert b'data-section="leaderboard"' in body
    assert answer.getheader("Refresh") is None
    sources = [part.split(b'"')[0] for part in body.split(b' src="')[1:]]
    assert len(sources) >= 4
    for source in sources:
        answer, picture = ask(served, "/tiny/" + source.decode().removeprefix("./"))
        assert (answer.status, picture[:4]) == (200, b"\x89PNG"), source


def test_head_has_no_body(served):
    answer, body = ask(served, "/tiny/", method="HEAD")
    assert (answer.status, body) == (200, b"")
    assert int(answer.getheader("Content-Length")) > 1000


@pytest.mark.parametrize(
    "path",
    [
        "/tiny/../secret.json", "/tiny/../../secret.json", "/tiny/%2e%2e/%2e%2e/secret.json",
        "/tiny/..%2f..%2fsecret.json", "/tiny/..\\..\\secret.json", "/tiny//etc/passwd",
        "/tiny/link.json", "/tiny/up/secret.json", "/tiny/.hidden.json", "/tiny/page.html",
        "/tiny/logs/", "/tiny/outputs", "/tiny/none.json", "/tiny/a%00.json", "/secret.json",
        "/tiny", "/%2e%2e/secret.json", "/tiny/./run.json",
    ],
)  # fmt: skip
def test_other_paths_are_not_found(served, path):
    answer, body = ask(served, path)
    assert (answer.status, body) == (404, b"Not found.")


def test_data_files_cannot_run_scripts(served):
    answer, body = ask(served, "/tiny/run.json")
    assert json.loads(body)["name"] == "tiny"
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert "sandbox" in answer.getheader("Content-Security-Policy")


def test_other_names_and_methods_are_refused(served):
    assert ask(served, "/tiny/", host="evil.example")[0].status == 403
    assert ask(served, "/tiny/", host=f"localhost:{served.port}")[0].status == 200
    assert ask(served, "/tiny/", method="POST")[0].status == 501


def test_only_the_loopback_address_is_bound(served):
    assert served.server_address[0] == "127.0.0.1"
    # a server on all addresses would also answer here
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", served.port), timeout=5)


def test_page_of_an_unfinished_run_is_refreshed(served, folder):
    info = folder / "tiny" / "run.json"
    before = ask(served, "/tiny/")[1]
    whole = info.read_text()
    try:
        info.write_text(json.dumps(json.loads(whole) | {"finished": ""}))
        answer, body = ask(served, "/tiny/")
        assert answer.getheader("Refresh") == "15"
        assert b"not finished" in body
        record = next((folder / "tiny" / "outputs").rglob("*.json"))
        kept = record.read_bytes()
        record.unlink()
        assert b"1 of 2 outputs done" in ask(served, "/tiny/")[1]
        record.write_bytes(kept)
    finally:
        info.write_text(whole)
    assert ask(served, "/tiny/")[1] == before


def test_folder_of_runs_lists_them_without_links_out(folder):
    with Server(folder) as server:
        assert set(server.runs()) == {"tiny"}
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        body = ask(server, "/")[1]
        page = ask(server, "/tiny/")[0]
        server.shutdown()
        thread.join()
    assert b'<a href="/tiny/">tiny</a>' in body
    assert page.status == 200


def test_errors_of_the_server_name_the_cause(folder, tmp_path):
    with pytest.raises(UsageError, match="contains no run"):
        Server(tmp_path)
    with Server(folder) as taken, pytest.raises(UsageError, match=r"--port 0 selects a free port"):
        Server(folder, taken.port)


def test_command_prints_the_address_and_ends_on_interrupt(folder):
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "nstbench", "serve", str(folder / "tiny"), "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert line.startswith("http://127.0.0.1:")
    assert (process.returncode, errors) == (0, "")
