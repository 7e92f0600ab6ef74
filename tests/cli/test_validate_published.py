"""``nstbench validate`` with published outputs, a run folder and votes: one command, one page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import nstbench
from nstbench.analysis.validation.published import read_published
from nstbench.analysis.validation.verdicts import QUESTIONS
from nstbench.cli.app import app
from nstbench.core.errors import UsageError

SIDE = 64
METHOD = '''
"""Mean colour of the style."""
from nstbench.contracts import Flexibility, Method, MethodInfo

class Mean(Method):
    """Half of the content, half of the style's mean colour."""
    info = MethodInfo(title="Mean", authors="Test", year=2026, paper="https://example.org",
                      family="colour transfer", flexibility=Flexibility.ARBITRARY)
    def prepare(self, style):
        self.colour = style.pixels.mean(dim=(2, 3), keepdim=True)
    def stylize(self, content, *, generator, on_step):
        return (content.pixels + self.colour) / 2
'''


def picture(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["validate", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Published outputs of 4 programs on 6 pairs, two of one method, with scores of people."""
    folder = tmp_path_factory.mktemp("study")
    votes = ["content,style,method,score"]
    for place in range(6):
        content, style = picture(place), picture(100 + place)
        for kind, image in (("contents", content), ("styles", style)):
            (folder / kind).mkdir(exist_ok=True)
            image.save(folder / kind / f"{kind[0]}{place}.png")
        for share, program in enumerate(("one", "two", "half", "most")):
            amount = (0.3, 0.32, 0.5, 0.8)[share]
            (folder / "outputs" / program).mkdir(parents=True, exist_ok=True)
            name = f"c{place}__s{place}.png"
            Image.blend(content, style, amount).save(folder / "outputs" / program / name)
            votes.append(f"c{place},s{place},{program},{10 - 10 * amount}")
    (folder / "methods.csv").write_text("outputs,method\none,blend\ntwo,blend\n")
    (folder / "votes.csv").write_text("\n".join(votes) + "\n")
    return folder


def test_one_command_answers_every_question(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "trust.json"
    output = call(
        "--published", study, "--humans", study, "--metrics", "ssim,color_distance,fid,latency",
        "--size", SIDE, "--damaged", 6, "--device", "cpu", "--out", out,
    )  # fmt: skip
    data = json.loads(out.read_text())
    table = {(row["metric"], row["test"]): row for row in data["verdicts"]}
    assert set(table) == {(m, t) for m in ("ssim", "color_distance", "fid") for t in QUESTIONS}
    # blends of one pair differ from the content in the order of their share
    programs = next(row for row in data["programs"] if row["metric"] == "ssim")
    assert (programs["pairs"], programs["couples"], programs["closer"]) == (6, 6, 1.0)
    assert 0 < programs["within"] < programs["between"]
    assert table["ssim", "programs"]["verdict"] == "yes"
    within = {row["within"]: row for row in data["within"] if row["metric"] == "ssim"}
    assert within["style"]["rho"] == pytest.approx(1.0)
    assert (within["style"]["groups"], within["style"]["pictures"]) == (6, 24)
    assert within["style"]["low"] == pytest.approx(1.0)
    # one picture per style and method: four methods of six pictures
    assert (within["method"]["groups"], within["method"]["low"]) == (0, None)
    people = next(row for row in data["people"] if row["metric"] == "ssim")
    assert (people["tau"], people["accuracy"]) == (1.0, 1.0)
    assert table["ssim", "T5"]["verdict"] == "not enough data"
    assert table["fid", "T1"]["verdict"] == "not asked"
    assert table["ssim", "T4"]["verdict"] == "not asked"
    assert "Which metric can be trusted for what?" in output
    page = out.with_suffix(".html").read_text()
    for name in ("trust", "known", "programs", "people"):
        assert f'id="{name}"' in page
    assert "6 pairs with 6 couples of programs of one method." in page


def test_a_folder_without_programs_says_so(study: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("contents", "styles", "outputs"):
        (plain / name).symlink_to(study / name)
    output = call("--published", plain, "--metrics", "ssim", "--size", SIDE, "--damaged", 0,
                  "--device", "cpu")  # fmt: skip
    assert "Not enough data: no pair has outputs of two programs" in " ".join(output.split())


def test_a_run_is_tested_like_published_outputs(tmp_path: Path) -> None:
    for kind, start in (("contents", 0), ("styles", 50)):
        (tmp_path / kind).mkdir()
        for i in range(2):
            picture(start + i).save(tmp_path / kind / f"{kind[0]}{i}.png")
    plugin, run = tmp_path / "mean.py", tmp_path / "run"
    plugin.write_text(METHOD)
    settings = {"size": SIDE, "metrics": ("ssim",), "device": "cpu", "timing_repeats": 0,
                "formats": (), "seeds": (0, 1), "plugins": (plugin,)}  # fmt: skip
    nstbench.run(["mean", "content_copy"], tmp_path / "contents", tmp_path / "styles", out=run,
                 **settings)  # fmt: skip
    published = read_published(run)
    assert published.side == SIDE
    assert {output.method for output in published.outputs} == {"mean"}
    assert sorted((o.content, o.style) for o in published.outputs) == [
        ("c0", "s0"), ("c0", "s1"), ("c1", "s0"), ("c1", "s1"),
    ]  # fmt: skip
    content, style = (np.asarray(picture(seed), dtype=float) for seed in (0, 50))
    first = next(o for o in published.outputs if (o.content, o.style) == ("c0", "s0"))
    expected = (content + style.mean(axis=(0, 1))) / 2
    assert np.abs(first.pixels - expected).max() <= 1
    np.testing.assert_array_equal(published.contents["c0"], content)
    assert read_published(run, 32).outputs[0].pixels.shape == (32, 32, 3)
    alone = tmp_path / "alone"
    nstbench.run("content_copy", tmp_path / "contents", tmp_path / "styles", out=alone, **settings)
    with pytest.raises(UsageError, match="has no output of a method that is not trivial"):
        read_published(alone)
