"""What a run says before it begins: what failed before, whose settings apply, whose folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import nstbench
from nstbench.cli.app import app
from nstbench.core.errors import UsageError
from nstbench.pipeline.job import execute, plan_run
from nstbench.pipeline.progress import blocked, failed_before, suite_settings
from nstbench.pipeline.score_outputs import Request, score_outputs
from nstbench.plan.config_file import build_config
from nstbench.plan.listener import Listener

BROKEN = """
from pathlib import Path
from nstbench.contracts import Method, MethodInfo
from nstbench.core.records import Flexibility

class Broken(Method):
    info = MethodInfo("Broken", "me", 2026, "paper", "test", Flexibility.ARBITRARY)

    def prepare(self, style):
        self.style = style

    def stylize(self, content, *, generator, on_step):
        assert Path({fixed!r}).exists(), "the library is missing"
        return content.pixels.clone()
"""


@pytest.fixture
def settings(picture_folders, tmp_path):
    contents, styles = map(str, picture_folders)
    plugin = tmp_path / "broken.py"
    plugin.write_text(BROKEN.format(fixed=str(tmp_path / "fixed")))
    return {
        "methods": "broken,content_copy", "plugins": (plugin,), "contents": contents,
        "styles": styles, "size": 64, "metrics": "ssim", "timing_repeats": 0, "formats": (),
        "device": "cpu", "threads": 1, "out": tmp_path / "run",
    }  # fmt: skip


def test_what_failed_before_is_told_with_the_way_to_try_again(settings, tmp_path):
    board = nstbench.run(**settings)
    _, _, plan = plan_run(build_config(settings))
    (line,) = failed_before(plan)
    assert line.startswith("broken: 4 units failed in an earlier run: ")
    assert "the library is missing" in line
    assert line.endswith(". Try again with --retry failed")
    assert not plan.pending
    (tmp_path / "fixed").touch()
    board = nstbench.run(**settings, retry=("failed",))
    assert set(board.units["status"]) == {"done"}
    assert failed_before(plan_run(build_config(settings))[2]) == []


def test_failures_have_a_column_of_the_plan(settings):
    nstbench.run(**settings)
    options = [f"--{name}={settings[name]}" for name in ("contents", "styles", "size", "metrics")]
    result = CliRunner().invoke(
        app,
        [
            "run", "--methods", settings["methods"], *options, "--plugin",
            str(settings["plugins"][0]), "--device", "cpu", "--threads", "1", "--timing-repeats",
            "0", "--out", str(settings["out"]), "--dry-run",
        ],
        env={"COLUMNS": "200"},
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    head = next(line for line in result.output.splitlines() if "failed before" in line)
    row = next(line for line in result.output.splitlines() if line.startswith("│ broken"))
    cells = dict(
        zip(
            (cell.strip() for cell in head.strip("┃ \n").split("┃")),
            (cell.strip() for cell in row.strip("│ \n").split("│")),
            strict=True,
        )
    )
    assert (cells["cached"], cells["failed before"], cells["to run"]) == ("0", "4", "0")


def test_own_pictures_run_with_settings_that_are_told(settings):
    settings |= {"methods": "gatys_2015:iterations=7,wct_2017,content_copy", "plugins": ()}
    (line,) = suite_settings(plan_run(build_config(settings))[2])
    assert "gatys_2015:iterations=7 (init=content, coarse_scales=[0.5]" in line
    assert "iterations=24" not in line
    assert "wct_2017 (levels=[4, 3, 2, 1])" in line
    assert "content_copy" not in line
    assert suite_settings(plan_run(build_config(settings | {"method_params": {}}))[2]) == []
    starter = build_config({"methods": "gatys_2015", "limit": 1, "out": settings["out"]})
    assert suite_settings(plan_run(starter)[2]) == []


def test_a_board_that_makes_room_for_another_is_told(settings):
    notes = []

    class Notes(Listener):
        def note(self, message):
            notes.append(message)

    config = build_config(settings | {"methods": "content_copy"})
    for _ in range(2):
        execute(config, listener=Notes())
    assert notes == []
    execute(build_config(settings | {"methods": "noise"}), listener=Notes())
    (note,) = notes
    assert "contains a run with other settings" in note


def test_scores_of_imported_pictures_are_not_overwritten(settings):
    execute(build_config(settings | {"methods": "content_copy", "out": settings["out"] / "first"}))
    outputs = settings["out"] / "first" / "inputs" / "content"
    one = next(outputs.iterdir())
    renamed = settings["out"].parent / "made" / "c0__s0.png"
    renamed.parent.mkdir()
    renamed.write_bytes(one.read_bytes())
    mine = settings["out"] / "mine"
    score_outputs(
        Request(
            patterns=(str(renamed.parent / "{content}__{style}.png"),), names=("mine",),
            contents=settings["contents"], styles=settings["styles"], out=mine, device="cpu",
            metrics="ssim", formats=(), pairs="found",
        )
    )  # fmt: skip
    with pytest.raises(UsageError, match="scores of imported pictures"):
        execute(build_config(settings | {"methods": "content_copy", "out": mine}))


def test_no_run_is_written_among_pictures(settings):
    contents = settings["contents"]
    with pytest.raises(UsageError, match="the folder contains pictures"):
        execute(build_config(settings | {"out": contents}))
    with pytest.raises(UsageError, match="the folder contains pictures"):
        score_outputs(
            Request(
                patterns=(f"{contents}/{{content}}__{{style}}.png",), names=("mine",),
                contents=contents, styles=settings["styles"], out=Path(contents),
            )
        )  # fmt: skip


def test_styles_without_a_checkpoint_take_a_few_lines(tmp_path):
    config = build_config({"methods": "johnson_2016:width=1.0", "out": tmp_path / "run"})
    first, second, rest = blocked(plan_run(config)[2])
    for line in (first, second):
        assert "nstbench train johnson_2016:width=1.0 --style" in line
        assert line.endswith("--contents FOLDER_OF_PHOTOGRAPHS")
    assert first != second
    assert rest == "johnson_2016:width=1.0: ... and 12 more reasons (in the report)"
