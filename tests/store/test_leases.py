"""Leases under processes that end, and under clocks that differ."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nstbench.core.errors import StoreError
from nstbench.store import leases as leases_module
from nstbench.store.leases import Leases


@pytest.fixture
def make(tmp_path):
    made = []

    def leases(**settings):
        made.append(Leases(tmp_path, **settings))
        return made[-1]

    yield leases
    for each in made:
        each.close()


def owner_file(root, leases):
    return root / "leases" / f"{leases._name}.owner"


def on_another_host(root, leases):
    """Let an owner seem to run on a machine about whose processes nothing is known here."""
    leases._closed.set()
    leases._pulse.join()
    path = owner_file(root, leases)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"host": "another"}))
    return path


def test_a_lease_is_held_by_one_at_a_time(make):
    one, other = make(), make()
    assert one.take("k")
    assert not other.take("k")
    assert not one.take("k")
    assert other.take("l")
    one.release("k")
    assert other.take("k")


def test_many_threads_and_owners_never_hold_the_same_lease_file(make):
    owners = [make() for _ in range(4)]
    held, wrong = set(), []

    def work(owner):
        for round_ in range(40):
            key = str(round_ % 3)
            if owner.take(key):
                wrong.extend([key] if key in held else [])
                held.add(key)
                held.discard(key)
                owner.release(key)

    threads = [threading.Thread(target=work, args=(owner,)) for owner in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not wrong


def test_threads_of_one_process_never_hold_the_same_lease_file(make):
    owner, start = make(), threading.Barrier(4, timeout=60)
    owner.join()
    won = []

    def work():
        for round_ in range(200):
            start.wait()
            if owner.take(str(round_)):
                won.append(round_)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(won) == list(range(200))


def test_leases_of_a_dead_process_here_are_void_at_once(make, tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from nstbench.store.leases import Leases\n"
        "c = Leases(Path(sys.argv[1])); assert c.take('k')\n"
        "print('taken', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"taken\n"
    mine = make()
    mine.join()
    assert mine.company
    assert not mine.take("k"), "it lives"
    process.kill()
    process.communicate()
    assert mine.take("k")


def test_a_silent_owner_elsewhere_is_stale_and_one_that_lives_is_not(make, tmp_path):
    away, mine = make(heartbeat=60), make(heartbeat=60, stale=30)
    assert away.take("k")
    path = on_another_host(tmp_path, away)
    assert not mine.take("k")
    long_ago = path.stat().st_mtime - 31
    os.utime(path, (long_ago, long_ago))
    assert mine.take("k")


@pytest.mark.parametrize("shift", [-1e6, 1e6])
def test_a_wrong_clock_of_this_machine_changes_nothing(make, tmp_path, monkeypatch, shift):
    away, mine = make(heartbeat=60), make(heartbeat=60, stale=30)
    assert away.take("k")
    on_another_host(tmp_path, away)
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + shift)
    assert not mine.take("k")


def test_an_owner_from_the_future_is_stale_once_its_time_stands_still(make, tmp_path, monkeypatch):
    """The file server's clock was set back: ages are negative until it has caught up."""
    away, mine = make(heartbeat=60), make(heartbeat=60, stale=30)
    assert away.take("k")
    path = on_another_host(tmp_path, away)
    future = path.stat().st_mtime + 1e5
    os.utime(path, (future, future))
    assert not mine.take("k")
    right = time.monotonic
    monkeypatch.setattr(leases_module.time, "monotonic", lambda: right() + 29)
    assert not mine.take("k")
    os.utime(path, (future + 5, future + 5))
    monkeypatch.setattr(leases_module.time, "monotonic", lambda: right() + 45)
    assert not mine.take("k"), "it was touched meanwhile"
    monkeypatch.setattr(leases_module.time, "monotonic", lambda: right() + 80)
    assert mine.take("k")


def test_an_owner_keeps_its_leases_by_heartbeats(make, tmp_path):
    away, mine = make(heartbeat=0.05), make(heartbeat=0.05, stale=1.5)
    assert away.take("k")
    path = owner_file(tmp_path, away)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"host": "another"}))
    for _ in range(8):
        time.sleep(0.25)
        assert not mine.take("k")


def test_a_lease_without_a_name_is_stale_by_its_own_age(make, tmp_path):
    mine = make(heartbeat=60, stale=30)
    mine.join()
    half = tmp_path / "leases" / "k.lease"
    half.write_text("")
    assert not mine.take("k"), "its owner may be about to write its name"
    long_ago = half.stat().st_mtime - 31
    os.utime(half, (long_ago, long_ago))
    assert mine.take("k")


def test_hold_waits(make):
    one, other = make(), make()
    order = []
    with one.hold("board"):
        thread = threading.Thread(target=lambda: order.append(other.hold("board").__enter__()))
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join(timeout=30)
    assert order == ["first", None]


def test_nothing_is_left(make, tmp_path):
    one, other = make(), make()
    one.take("k")
    other.take("l")
    one.close()
    assert sorted(p.suffix for p in (tmp_path / "leases").iterdir()) == [".lease", ".owner"]
    other.close()
    assert not (tmp_path / "leases").exists()


def test_an_unwritable_folder_is_a_store_error(tmp_path):
    (tmp_path / "leases").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        Leases(tmp_path).take("k")


def test_a_full_disk_leaves_no_sign_of_a_process_that_never_began(tmp_path, monkeypatch):
    def full(path, text):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StoreError, match=r"No space left.*free space"):
        Leases(tmp_path).join()
    assert not list((tmp_path / "leases").iterdir())
