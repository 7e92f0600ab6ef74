"""Commands without a result end with exit code 1, and commands do only what was asked."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import nstbench
from nstbench.cli.app import app


def call(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    for folder, name in (("c", "a"), ("s", "m"), ("o", "a__m")):
        (tmp_path / folder).mkdir()
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    return tmp_path


def score(folder, *more):
    return call(
        "score", "--outputs", folder / "o" / "{content}__{style}.png", "--name", "mine",
        "--contents", folder / "c", "--styles", folder / "s", "--out", folder / "run",
        "--device", "cpu", *more,
    )  # fmt: skip


def test_scoring_that_scored_something_ends_with_0(folders):
    result = score(folders, "--metrics", "ssim")
    assert result.exit_code == 0, result.output


def test_scoring_without_a_value_ends_with_1(folders):
    # the content equals the style, so the metric has no value
    pixels = (folders / "c" / "a.png").read_bytes()
    (folders / "s" / "m.png").write_bytes(pixels)
    result = score(folders, "--metrics", "style_error")
    assert result.exit_code == 1, result.output
    assert "No output has a value. The report gives the reasons." in result.output


def test_validate_of_a_run_does_only_that(picture_folders, tmp_path, monkeypatch):
    contents, styles = picture_folders
    nstbench.run(
        "content_copy,noise,pixel_blend", contents, styles, metrics="ssim,color_distance", size=64,
        timing_repeats=0, device="cpu", threads=1, out=tmp_path / "run", formats=(),
    )  # fmt: skip
    arguments = ["validate", "--run", tmp_path / "run", "--metrics", "ssim,color_distance",
                 "--device", "cpu"]  # fmt: skip
    result = call(*arguments, "--out", tmp_path / "v.json")
    assert result.exit_code == 0, result.output
    assert "Do the metrics prefer the same outputs?" in result.output
    assert "whose order is known" not in result.output
    assert "validate:" not in result.output
    more = call(
        *arguments, "--contents", contents, "--styles", styles, "--limit", "1", "--size", "48",
        "--seeds", "1",
    )  # fmt: skip
    assert more.exit_code == 0, more.output
    assert "whose order is known" in more.output
    assert "Do the metrics prefer the same outputs?" in more.output
    assert "validate: " in more.output
