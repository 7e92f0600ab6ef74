"""Imported pictures on the board of a run: same pixels, same pairs, no unit runs twice."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import nstbench
from nstbench.cli.app import app
from nstbench.core.errors import UsageError
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import write_png
from nstbench.pipeline.score_outputs import Request, score_outputs
from nstbench.plan.plan_file import read_plan


@pytest.fixture
def run(tmp_path):
    """A run of three baselines over two contents in rotation; names that are no slugs."""
    rng = np.random.default_rng(3)
    for name in ("contents/Old Bridge", "contents/b", "styles/Wave", "styles/w2"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (12, 18, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((144, 96), Image.Resampling.BICUBIC).save(path)
    return nstbench.run(
        "content_copy,pixel_blend,style_copy", contents=str(tmp_path / "contents"),
        styles=str(tmp_path / "styles"), contents_per_style=1, size=64, metrics="ssim,fd_vgg16",
        timing_repeats=1, formats=(), device="cpu", threads=1, out=tmp_path / "field",
    )  # fmt: skip


def save_outputs(board, folder, method="pixel_blend"):
    """Save what a method of a run made under names that people would choose."""
    folder.mkdir()
    given = {"old-bridge": "Old Bridge", "wave": "Wave"}
    for unit in read_plan(board.root):
        if unit["method"] == method:
            names = (given.get(unit[role], unit[role]) for role in ("content", "style"))
            path = board.root / "outputs" / unit["plugin"] / unit["key"][:2] / f"{unit['key']}.png"
            write_png(folder / f"{'__'.join(names)}.png", read_image(path))


def beside(board, folder, **changes):
    given = {
        "patterns": (f"{folder}/{{content}}__{{style}}.png",), "names": ("mine",), "contents": "",
        "styles": "", "out": folder.parent / "both", "metrics": "ssim,fd_vgg16", "device": "cpu",
        "formats": ("csv",), "beside": board.root,
    }  # fmt: skip
    return score_outputs(Request(**(given | changes)))


def test_the_same_pictures_have_the_same_numbers_on_one_board(run, tmp_path):
    save_outputs(run, tmp_path / "mine")
    both = beside(run, tmp_path / "mine")
    rows = both.leaderboard.set_index("method")
    assert sorted(rows.index) == ["content_copy", "mine", "pixel_blend", "style_copy"]
    assert rows.loc["mine", "coverage"] == rows.loc["pixel_blend", "coverage"] == "2/2"
    before = run.leaderboard.set_index("method")
    for metric in ("ssim", "fd_vgg16"):
        assert rows.loc["mine", metric] == rows.loc["pixel_blend", metric]
        assert rows.loc["style_copy", metric] == before.loc["style_copy", metric]
    assert {t.method for t in both.timings} == {t.method for t in run.timings}
    assert both.info["config"]["contents"] == str(tmp_path / "contents")


def test_nothing_of_the_run_is_scored_twice_or_changed(run, tmp_path, monkeypatch):
    from nstbench.score.scorer import Scorer

    save_outputs(run, tmp_path / "mine")
    for path in (tmp_path / "mine").iterdir():
        write_png(path, 255 - read_image(path))
    before = {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()}
    scored = []
    original = Scorer.score_pair
    monkeypatch.setattr(
        Scorer, "score_pair", lambda *given, **more: scored.append(1) or original(*given, **more)
    )
    beside(run, tmp_path / "mine")
    assert len(scored) == 2
    assert {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()} == before


def test_outputs_of_another_size_are_scaled_and_of_another_shape_refused(run, tmp_path):
    save_outputs(run, tmp_path / "mine")
    first, second = sorted((tmp_path / "mine").iterdir())
    large = Image.open(first)
    large.resize((2 * large.width, 2 * large.height)).save(first)
    Image.open(second).resize((64, 30)).save(second)
    units = beside(run, tmp_path / "mine").units.query("method == 'mine'")
    assert sorted(units["status"]) == ["done", "failed"]
    (message,) = units.query("status == 'failed'")["message"]
    assert "but the content of the run beside is" in message


def test_a_pair_without_a_picture_is_a_gap(run, tmp_path):
    save_outputs(run, tmp_path / "mine")
    next((tmp_path / "mine").iterdir()).unlink()
    rows = beside(run, tmp_path / "mine").leaderboard.set_index("method")
    assert rows.loc["mine", "coverage"] == "1/2"


def test_names_and_options_that_contradict_are_refused(run, tmp_path):
    save_outputs(run, tmp_path / "mine")
    with pytest.raises(UsageError, match="has a method of that name"):
        beside(run, tmp_path / "mine", names=("pixel_blend",))
    with pytest.raises(UsageError, match="is not a run folder"):
        beside(run, tmp_path / "mine", beside=tmp_path / "mine")
    pattern = str(tmp_path / "mine/{content}__{style}.png")
    for option, value in (("--contents", str(tmp_path)), ("--size", "32")):
        command = ["score", "--outputs", pattern, "--name", "m", "--beside", str(run.root)]
        result = CliRunner().invoke(app, [*command, option, value])
        assert isinstance(result.exception, UsageError)
        assert "out." in str(result.exception)
