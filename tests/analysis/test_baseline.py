"""Baseline files: writing, reading, updates with a reason, exchange with pytest-benchmark."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from fake_board import FakeRun
from typer.testing import CliRunner

from nstbench.analysis.regression.baseline import (
    Baseline,
    from_board,
    load_baseline,
    mean_score,
    save_baseline,
)
from nstbench.cli.app import app
from nstbench.core.errors import NstbenchError, StoreError, UsageError
from nstbench.report.parts.numbers import significant


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    board = FakeRun(tmp_path_factory.mktemp("fake"), contents=4, styles=3, fail=0.3).board()
    return from_board(board)


def run(*arguments: str | Path):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_a_file_contains_everything_and_stays_small(baseline: Baseline, tmp_path: Path) -> None:
    save_baseline(baseline, tmp_path / "base.json")
    assert load_baseline(tmp_path / "base.json") == baseline
    assert (tmp_path / "base.json").stat().st_size < 20_000
    gatys = next(entry for entry in baseline.entries if entry.method == "gatys_2015")
    done = [unit[3] == "done" for unit in gatys.units]
    assert [value is not None for value in gatys.scores["uef"]] == done
    assert 0 < sum(done) < len(done), "failed units are there, without scores"


def test_scores_are_those_of_the_run(tmp_path: Path) -> None:
    board = FakeRun(tmp_path, contents=4, styles=3, fail=0).board()
    entry = next(e for e in from_board(board).entries if e.method == "ghiasi_2017")
    table = board.scores[(board.scores["method"] == "ghiasi_2017") & (board.scores["part"] == "")]
    keyed = table.set_index(["metric", "content", "style"])["value"]
    for (content, style, _, _), value in zip(entry.units, entry.scores["ssim"], strict=True):
        assert value == pytest.approx(keyed["ssim", content, style], rel=1e-5)
    assert entry.singles["fd_vgg16"] == pytest.approx(49 - 40 * 0.5, abs=20)
    assert entry.timing is not None
    assert entry.timing.environment == {"threads": 2}


def test_update_prints_changes_and_keeps_the_reason(baseline: Baseline, tmp_path: Path) -> None:
    file, new = tmp_path / "base.json", tmp_path / "new.json"
    save_baseline(baseline, file)
    entries = [
        dataclasses.replace(
            e, scores={**e.scores, "uef": tuple(v and 2 * v for v in e.scores["uef"])}
        )
        for e in baseline.entries
    ]
    save_baseline(dataclasses.replace(baseline, entries=tuple(entries)), new)
    before = file.read_bytes()
    refused = run("baseline", "update", new, file)
    assert isinstance(refused.exception, UsageError)
    assert "--reason" in str(refused.exception)
    assert file.read_bytes() == before
    found = run("baseline", "update", new, file, "--reason", "A better decoder.")
    assert found.exit_code == 0
    assert "rows moved. Reason: A better decoder." in found.output
    (update,) = load_baseline(file).updates
    assert update.reason == "A better decoder."
    assert any("gatys_2015 at 48 px: uef is regression" in line for line in update.moved)
    run("baseline", "update", file, file, "--reason", "Nothing.")
    assert [u.reason for u in load_baseline(file).updates] == ["A better decoder.", "Nothing."]
    shown = run("baseline", "show", file)
    assert "A better decoder." in shown.output
    assert "gatys_2015" in shown.output


def test_shown_numbers_are_those_of_the_check(baseline: Baseline, tmp_path: Path) -> None:
    """Styles have equal weights; the median of an even number of samples is between two."""
    entry = next(e for e in baseline.entries if e.method == "gatys_2015")
    style = entry.units[0][1]
    scores = tuple(3.5 if unit[1] == style else 1.25 for unit in entry.units)
    scores = (None, *scores[1:])
    timing = dataclasses.replace(
        entry.timing, latency=(1.0, 2.0, 4.0, 8.0), calibration=(2.0,), latency_waits=(),
        calibration_waits=(),
    )  # fmt: skip
    entry = dataclasses.replace(entry, scores={"uef": scores}, timing=timing)
    uneven = dataclasses.replace(
        baseline, entries=(entry,), metrics={"uef": baseline.metrics["uef"]}
    )
    save_baseline(uneven, tmp_path / "b.json")
    styles = len({unit[1] for unit in entry.units})
    mean = (3.5 + 1.25 * (styles - 1)) / styles
    assert mean_score(entry, "uef") == pytest.approx(mean)
    assert math.isnan(mean_score(entry, "ssim"))
    row = next(
        line for line in run("baseline", "show", tmp_path / "b.json").output.splitlines()
        if "gatys_2015" in line
    )  # fmt: skip
    cells = [cell.strip() for cell in row.strip("│┃ ").split("│")]
    assert cells[3:] == [significant(mean), significant(1.5), "4"]


def test_save_overwrites_a_file_only_with_force(baseline: Baseline, tmp_path: Path) -> None:
    source, file = tmp_path / "run.json", tmp_path / "base.json"
    save_baseline(baseline, source)
    assert run("baseline", "save", source, file).exit_code == 0
    assert isinstance(run("baseline", "save", source, file).exception, UsageError)
    assert run("baseline", "save", source, file, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        (None, UsageError, "nstbench baseline save"),
        ("{", UsageError, "not JSON"),
        ("[]", UsageError, "has no entries"),
        ('{"entries": [], "schema": 99}', StoreError, "newer nstbench"),
        ('{"entries": [{"method": 3}], "schema": 1}', UsageError, "is not a baseline: name"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text, kind, words) -> None:
    path = tmp_path / "base.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(kind, match=r"base\.json") as error:
        load_baseline(path)
    assert words in str(error.value)
    with pytest.raises(NstbenchError):
        load_baseline(tmp_path)
