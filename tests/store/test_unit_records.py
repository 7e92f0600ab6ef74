"""Unit records: one reader and one writer, which agree, and refuse incomplete data."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from unit_records import unit_record

from nstbench.core.errors import StoreError
from nstbench.core.records import Status, UnitRecord
from nstbench.store.unit_records import plain_record, read_record, sound_record

RECORD = unit_record(
    "0f", "done", unit_seed=7, parts={"size": 32, "params": {"a": [1, 2]}}, message="", batch=3,
    started="2026-01-01", finished="2026-01-02", device="cpu", device_name="CPU", threads=2,
    process=5, alone=False, seconds=0.5, waits=(0.1,), load_seconds=1.0, prepare_seconds=0.25,
    calibration=(0.01, 0.02), calibration_waits=(0.0, 0.001), source="a.png",
)  # fmt: skip


def test_a_record_survives_json():
    assert read_record(json.loads(json.dumps(plain_record(RECORD)))) == RECORD


def test_every_attribute_is_stored_but_one():
    names = {field.name for field in fields(UnitRecord)}
    assert names - plain_record(RECORD).keys() == {"from_other_process"}
    other = replace(RECORD, from_other_process=True)
    assert read_record(plain_record(other)) == RECORD


@pytest.mark.parametrize("name", ["key", "method", "plugin", "content", "style", "status"])
def test_a_record_without_its_identity_is_none(name):
    plain = plain_record(RECORD)
    del plain[name]
    assert read_record(plain) is None
    with pytest.raises(StoreError, match="incomplete record"):
        sound_record(plain)


@pytest.mark.parametrize("data", [None, [], "done", 3, {}])
def test_other_data_is_none(data):
    assert read_record(data) is None


def test_done_needs_a_picture_and_its_checksum():
    assert read_record(plain_record(replace(RECORD, output=""))) is None
    assert read_record(plain_record(replace(RECORD, output_sha256=""))) is None
    failed = replace(RECORD, status=Status.FAILED, output="", output_sha256="")
    assert read_record(plain_record(failed)) == failed


def test_text_that_utf8_cannot_encode_is_written_as_escapes():
    record = replace(RECORD, message="photo_\udcff.png is missing")
    stored = json.dumps(plain_record(record)).encode("utf-8")
    read = read_record(json.loads(stored))
    assert read is not None
    assert read.message == "photo_\\udcff.png is missing"
