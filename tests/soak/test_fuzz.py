"""Randomly damaged files are read or reported by name, in every layer that reads them.

The normal suite draws a few files, always the same ones. `make soak` draws thousands, and other
ones each time.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutants
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nstbench
from nstbench.analysis.load_board import load_board
from nstbench.core.errors import NstbenchError, UsageError
from nstbench.core.records import Role
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import write_png
from nstbench.plan.config import RunConfig
from nstbench.plan.config_file import SUITES, build_config
from nstbench.plan.listener import Listener
from nstbench.plugins import registry
from nstbench.report.page import render_page
from nstbench.score.stage import score_units
from nstbench.store.store import Store

MOST_SECONDS = 2.0
"""Seconds of processor time, which other programs do not change."""

FEW, PICTURES, TEXTS = 40, 5000, 500
FEW_RUNS = 15


def drawing(count: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=count <= FEW,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


class Clock:
    """Fails if its block takes too long."""

    def __enter__(self) -> None:
        self.start = time.process_time()

    def __exit__(self, *error: object) -> None:
        assert time.process_time() - self.start < MOST_SECONDS


# --- pictures ----------------------------------------------------------------------------


def check_picture(folder: Path, data: bytes) -> bool:
    """Load a dataset of a file and two good pictures; return whether the file was usable."""
    path = folder / "b.png"
    path.write_bytes(data)
    cls = registry.load("datasets", "folder")
    with Clock():
        found = cls(cls.Params(path=folder)).load(Role.STYLE)
    names = [image.path.name for image in found.images]
    left_out = {skip.path.name: skip.reason for skip in found.skipped}
    assert {"a.png", "c.png"} <= set(names)
    assert ("b.png" in names) != ("b.png" in left_out)
    if "b.png" not in names:
        assert left_out["b.png"]
        assert "\n" not in left_out["b.png"]
        return False
    pixels = read_image(path)
    assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)
    return True


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    good = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    for name in ("a.png", "c.png"):
        write_png(tmp_path / name, good)
    return tmp_path


@pytest.mark.parametrize("name", mutants.pictures())
def test_the_files_before_any_edit_are_read(picture_folder: Path, name: str) -> None:
    assert check_picture(picture_folder, mutants.pictures()[name])


@drawing(FEW)
@given(data=mutants.broken_pictures())
def test_pictures_are_read_or_reported(picture_folder: Path, data: bytes) -> None:
    check_picture(picture_folder, data)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_5000_pictures_are_read_or_reported(picture_folder: Path) -> None:
    usable: list[bool] = []

    @drawing(PICTURES)
    @given(data=mutants.broken_pictures())
    def draw(data: bytes) -> None:
        usable.append(check_picture(picture_folder, data))

    draw()
    print(f"read {sum(usable)}, reported {len(usable) - sum(usable)}")
    assert len(usable) >= PICTURES
    # Edits that break every file, or none, would test nothing.
    assert 0.02 < np.mean(usable) < 0.98


# --- run folders -------------------------------------------------------------------------


class Notes(Listener):
    """Keeps the notes for the user."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real run with an output, scores, timings and a trace."""
    root = tmp_path_factory.mktemp("fuzzed")
    rng = np.random.default_rng(2)
    for role in ("contents", "styles"):
        write_png(root / role / "a.png", rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    nstbench.run(
        "content_copy,style_copy", root / "contents", root / "styles", metrics="ssim,latency",
        size=64, timing_repeats=1, device="cpu", threads=1, out=root / "run", formats="csv",
    )  # fmt: skip
    return root / "run"


def fuzzed_files(root: Path) -> list[Path]:
    found = [root / name for name in ("run.json", "plan.json", "timings.json")]
    for folder in ("outputs", "scores", "timings"):
        found += sorted((root / folder).rglob("*.json"))
    return found


def check_run(original: Path, copy: Path, file: Path, data: bytes) -> bool:
    """Put a file into a copy of a run and read it; return whether it made a board."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(original, copy)
    (copy / file).write_bytes(data)
    with Clock():
        try:
            store = Store(copy)
            for method in ("content_copy", "style_copy"):
                list(store.records(method))
                store.keys_by_inputs(method)
            board = load_board(copy)
            score_units(copy, "cpu", Notes())
        except NstbenchError as error:
            message = str(error)
            assert str(copy) in message
            return False
    assert len(board.units) <= 2
    # No path of a record leads out of the run folder.
    for output in board.units["output"]:
        assert (copy / output).resolve().is_relative_to(copy.resolve())
    page = render_page(board)
    assert "root:x:0" not in page
    return True


@st.composite
def broken_runs(draw: st.DrawFn, root: Path) -> tuple[Path, bytes]:
    file = draw(st.sampled_from(fuzzed_files(root)))
    data = draw(mutants.broken_json(json.loads(file.read_bytes())))
    return file.relative_to(root), data


def fuzz_runs(root: Path, copy: Path, count: int) -> list[bool]:
    results: list[bool] = []

    @drawing(count)
    @given(broken=broken_runs(root))
    def draw(broken: tuple[Path, bytes]) -> None:
        results.append(check_run(root, copy, *broken))

    draw()
    return results


@pytest.mark.slow
def test_records_are_read_or_reported(run_folder: Path, tmp_path: Path) -> None:
    assert check_run(run_folder, tmp_path / "copy", Path("x.json"), b"")
    assert {True, False} <= set(fuzz_runs(run_folder, tmp_path / "copy", FEW_RUNS))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_500_records_are_read_or_reported(run_folder: Path, tmp_path: Path) -> None:
    results = fuzz_runs(run_folder, tmp_path / "copy", TEXTS)
    print(f"read {sum(results)}, reported {len(results) - sum(results)}")
    assert len(results) >= TEXTS


# --- configurations ----------------------------------------------------------------------


def check_config(folder: Path, data: bytes) -> bool:
    """Read a configuration file; return whether it made a configuration."""
    path = folder / "fuzzed.yaml"
    path.write_bytes(data)
    with Clock():
        try:
            config = build_config({}, file=path)
        except UsageError as error:
            message = str(error)
            assert "fuzzed.yaml" in message
            assert len(message) < 5000
            return False
    assert isinstance(config, RunConfig)
    return True


def configurations() -> list[str]:
    example = (
        "methods: gatys_2015:iterations=5,noise\nsize: 64\nseeds: [1, 2]\ntimeout: 3.5\nlimit: 2\n"
    )
    return [example, *(path.read_text() for path in sorted(SUITES.rglob("*.yaml")))]


@drawing(FEW)
@given(data=mutants.broken_yaml(configurations()))
def test_configurations_are_read_or_reported(tmp_path: Path, data: bytes) -> None:
    check_config(tmp_path, data)


@pytest.mark.parametrize("piece", mutants.YAML_PIECES, ids=lambda p: p[:20])
def test_each_odd_line_of_a_configuration_is_read_or_reported(tmp_path: Path, piece: str) -> None:
    check_config(tmp_path, piece.encode())
    check_config(tmp_path, f"size: {piece}".encode())
    check_config(tmp_path, f"suite: {piece}".encode())
    check_config(tmp_path, f"methods: 'gatys_2015:iterations={piece}'".encode())


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_500_configurations_are_read_or_reported(tmp_path: Path) -> None:
    results: list[bool] = []

    @drawing(TEXTS)
    @given(data=mutants.broken_yaml(configurations()))
    def draw(data: bytes) -> None:
        results.append(check_config(tmp_path, data))

    draw()
    print(f"read {sum(results)}, reported {len(results) - sum(results)}")
    assert len(results) >= TEXTS
    assert 0.02 < np.mean(results) < 0.98
