"""Keys, atomic writes and records."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit_records import unit_record

from nstbench.core.errors import StoreError, UsageError
from nstbench.store.atomic_files import read_json, write_bytes, write_json
from nstbench.store.keys import SCHEMA, KeyText, key_of, key_without_code, seed_of
from nstbench.store.store import Store

PARTS = {"method": "m", "source": "s", "params": {"a": 1, "b": 2.5}, "schema": SCHEMA}


def test_key_does_not_depend_on_order():
    backwards = dict(reversed(PARTS.items())) | {"params": {"b": 2.5, "a": 1}}
    assert key_of(backwards) == key_of(PARTS)


@pytest.mark.parametrize(
    "change", [{"method": "n"}, {"source": "t"}, {"params": {"a": 1, "b": 2.6}}, {"new": None}]
)
def test_every_part_changes_the_key(change):
    assert key_of(PARTS | change) != key_of(PARTS)


def test_key_without_code_forgets_the_source_only():
    assert key_without_code(PARTS | {"source": "t"}) == key_without_code(PARTS)
    assert key_without_code(PARTS | {"method": "n"}) != key_without_code(PARTS)


@pytest.mark.parametrize("shared", [PARTS, {**PARTS, "checkpoint": {"ü": "1", "a": None}}])
def test_keys_written_in_pieces_are_the_same_keys(shared):
    changes = {"content": "sha", "content_map": None, "seed": 3, "style": 'with "quotes"'}
    text = KeyText(shared, changes)
    for seed in (3, 4):
        parts = {**shared, **changes, "seed": seed}
        pieces = {name: KeyText.piece(name, parts[name]) for name in changes}
        assert text.keys(pieces) == (key_of(parts), key_without_code(parts))


def test_seed_fits_torch():
    assert 0 <= seed_of("f" * 64) < 2**63


@given(st.dictionaries(st.text(), st.floats() | st.text() | st.lists(st.integers())))
def test_written_json_is_always_readable(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("json") / "x.json"
    write_json(path, data)
    loaded = read_json(path)
    assert loaded is not None
    assert set(loaded) == set(data)


def test_no_temporary_file_is_left(tmp_path):
    write_bytes(tmp_path / "a" / "x.json", b"{}")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["x.json"]


def test_unwritable_folder_is_a_store_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be written.*same command again"):
        write_bytes(tmp_path / "file" / "x.json", b"{}")


def test_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_bytes(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_reader_never_sees_half_a_file_when_the_writer_is_killed(tmp_path):
    path = tmp_path / "record.json"
    code = (
        "import sys; from pathlib import Path; from nstbench.store.store import write_json\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1\n"
        f"    write_json(Path({str(path)!r}), {{'n': n, 'fill': 'x' * 200_000, 'end': n}})\n"
    )
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", code])
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.15)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        record = json.loads(path.read_text())
        assert record["n"] == record["end"]


def test_record_counts_only_when_whole(tmp_path):
    store = Store(tmp_path)
    key = key_of(PARTS)
    assert store.record("m", key) is None
    store.write_record(unit_record(key, "done"))
    assert store.record("m", key) is None, "done without its picture is not done"
    store.output_path("m", key).write_bytes(b"png")
    assert store.record("m", key) == unit_record(key, "done")
    path = store.record_path("m", key)
    path.write_text(path.read_text()[:20])
    assert store.record("m", key) is None, "torn"


def test_newer_schema_is_refused(tmp_path):
    write_json(tmp_path / "run.json", {"schema": SCHEMA + 1})
    with pytest.raises(StoreError, match="newer nstbench"):
        Store.open(tmp_path)


def test_cards_of_another_version_are_refused_with_a_fix(tmp_path):
    from nstbench.analysis.load_board import load_board

    card = {"method": "mine", "plugin": "mine"}
    info = {"schema": SCHEMA, "methods": [card], "metrics": [], "pictures": []}
    write_json(tmp_path / "run.json", info)
    with pytest.raises(UsageError, match=r"another version of nstbench \(title: Field required"):
        load_board(tmp_path)


def test_keys_are_listed_without_reading_records(tmp_path):
    store = Store(tmp_path)
    assert store.keys("m") == set()
    keys = {key_of({"n": n}) for n in range(5)}
    for key in keys:
        store.write_record(unit_record(key))
        store.output_path("m", key).write_bytes(b"png")
    assert store.keys("m") == keys


def test_find_key_by_its_beginning(tmp_path):
    store = Store(tmp_path)
    key = key_of(PARTS)
    store.write_record(unit_record(key, parts=PARTS))
    kind, record = store.find_key(key[:8])
    assert (kind, record["parts"]) == ("outputs", PARTS)
    with pytest.raises(StoreError, match="no record"):
        store.find_key("0000")
