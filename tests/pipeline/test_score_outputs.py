"""Pictures made by any program: found by name, scored as a run, every gap accounted for."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import nstbench
from nstbench.analysis.load_board import load_board
from nstbench.core.errors import UsageError
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import fit
from nstbench.pipeline.job import rescore
from nstbench.pipeline.score_outputs import Request, score_outputs

METRICS = "ssim,color_distance"


@pytest.fixture
def workspace(tmp_path):
    """Contents of 96 x 64 with a name that is not a slug, styles, and outputs of two programs."""
    rng = np.random.default_rng(3)
    for name in ("contents/Old Bridge", "contents/b", "styles/Wave", "styles/w2"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)).resize(
            (96, 64), Image.Resampling.BICUBIC
        ).save(path)
    for method in ("good", "bad"):
        (tmp_path / "out" / method).mkdir(parents=True)
        for content in ("Old Bridge", "b"):
            for style in ("Wave", "w2"):
                first = read_image(tmp_path / f"contents/{content}.png")
                second = read_image(tmp_path / f"styles/{style}.png")
                share = 0.2 if method == "good" else 0.8
                blend = ((1 - share) * first + share * second).astype(np.uint8)
                small = Image.fromarray(blend).resize((72, 48))
                small.save(tmp_path / f"out/{method}/{content}_stylized_{style}.png")
    return tmp_path


def request(folder, **changes):
    given = {
        "patterns": (f"{folder}/out/good/{{content}}_stylized_{{style}}.png",),
        "names": ("mine",),
        "contents": str(folder / "contents"),
        "styles": str(folder / "styles"),
        "out": folder / "run",
        "metrics": METRICS,
        "device": "cpu",
        "formats": ("html", "csv"),
    }
    return Request(**(given | changes))


def values(board, metric):
    chosen = board.scores[(board.scores["metric"] == metric) & (board.scores["part"] == "")]
    return chosen.set_index(["method", "content", "style"])["value"].sort_index()


def test_scores_equal_those_of_a_run_on_the_same_pictures(workspace):
    board = score_outputs(request(workspace))
    assert list(board.units["status"]) == ["done"] * 4
    (size,) = set(board.units["size"])
    assert size == 72
    from skimage.metrics import structural_similarity

    luma = np.array([0.299, 0.587, 0.114])
    content = Image.open(workspace / "contents/Old Bridge.png").resize((72, 48), 1)
    output = Image.open(workspace / "out/good/Old Bridge_stylized_Wave.png")
    expected = structural_similarity(
        np.asarray(content) / 255 @ luma, np.asarray(output) / 255 @ luma, gaussian_weights=True,
        sigma=1.5, use_sample_covariance=False, data_range=1.0,
    )  # fmt: skip
    assert values(board, "ssim")["mine", "Old Bridge", "Wave"] == pytest.approx(expected, rel=1e-6)
    assert (workspace / "run/report/index.html").stat().st_size > 10_000
    assert "mine" in (workspace / "run/report/leaderboard.csv").read_text()
    again = rescore(workspace / "run", metrics="ssim", device="cpu")
    pd.testing.assert_series_equal(values(again, "ssim"), values(board, "ssim"))


def test_several_methods_by_placeholder_or_by_name(workspace):
    pattern = f"{workspace}/out/{{method}}/{{content}}_stylized_{{style}}.*"
    together = score_outputs(request(workspace, patterns=(pattern,), names=()))
    apart = score_outputs(
        request(
            workspace,
            patterns=tuple(pattern.replace("{method}", m) for m in ("good", "bad")),
            names=("good", "bad"),
            out=workspace / "other",
        )
    )
    assert set(together.methods) == {"good", "bad"}
    for metric in METRICS.split(","):
        pd.testing.assert_series_equal(values(together, metric), values(apart, metric))
    assert (values(together, "ssim")["good"] > values(together, "ssim")["bad"]).all()


def test_every_gap_is_a_failed_unit_with_its_reason(workspace):
    out = workspace / "out/good"
    (out / "b_stylized_w2.png").unlink()
    (out / "b_stylized_Wave.png").write_bytes(b"no picture")
    (out / "c_stylized_Wave.png").write_bytes((out / "Old Bridge_stylized_w2.png").read_bytes())
    Image.new("RGB", (48, 32)).save(out / "Old Bridge_stylized_w2.png")
    Image.new("RGB", (72, 48)).save(out / "Old Bridge_stylized_Wave.jpg")
    pattern = f"{out}/{{content}}_stylized_{{style}}.*"
    board = score_outputs(request(workspace, patterns=(pattern,)))
    found = board.units.set_index(["content", "style"])
    assert sorted(found["status"]) == ["done", "failed", "failed", "failed"]
    assert "there is no file" in found.loc[("b", "w2"), "message"]
    assert "not a JPEG, PNG" in found.loc[("b", "Wave"), "message"]
    messages = " ".join(found.loc["Old Bridge", "message"])
    assert "px, but most outputs of this content are" in messages
    left_out = json.loads((workspace / "run/run.json").read_text())["skipped"]
    reasons = {entry["path"].rpartition("/")[2]: entry["reason"] for entry in left_out}
    assert "no content and style" in reasons["c_stylized_Wave.png"]
    second = [reason for name, reason in reasons.items() if name.startswith("Old Bridge")]
    assert "second picture of the pair" in second[0]
    only = score_outputs(
        request(workspace, patterns=(pattern,), pairs="found", out=workspace / "f")
    )
    assert len(only.units) == 3


def test_size_brings_all_to_one_scale(workspace):
    out = workspace / "out/good"
    Image.open(out / "b_stylized_w2.png").resize((60, 40)).save(out / "b_stylized_w2.png")
    board = score_outputs(request(workspace, size=48))
    assert list(board.units["status"]) == ["done"] * 4
    assert {read_image(board.root / p).shape for p in board.units["output"]} == {(32, 48, 3)}


def test_cropped_outputs_need_a_word(workspace):
    for path in (workspace / "out/good").iterdir():
        Image.fromarray(fit(read_image(path), 48, "crop")).save(path)
    board = score_outputs(request(workspace))
    assert set(board.units["status"]) == {"failed"}
    assert "use --fit crop, which fits the edges best" in board.units["message"][0]
    cropped = score_outputs(request(workspace, fit="crop", out=workspace / "cropped"))
    assert set(cropped.units["status"]) == {"done"}
    (card,) = (p for p in cropped.pictures if (p.role, p.name) == ("content", "b"))
    expected = fit(read_image(workspace / "contents/b.png"), 48, "crop")
    np.testing.assert_array_equal(read_image(cropped.root / card.file), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patterns": ("{w}/out/good/{content}.png",)}, r"\{style\} is missing"),
        ({"patterns": ("{w}/out/{contents}_{style}.png",)}, r"no placeholder \{contents\}"),
        ({"patterns": ("{w}/nowhere/{content}_{style}.png",)}, "there is no folder"),
        ({"patterns": ("{w}/out/good/{content}-{style}.png",)}, "of 4 files under .* none"),
        ({"names": (), "patterns": ("o/{content}_{style}.png",) * 2}, "0 names for 2 patterns"),
        ({"names": ("a",), "patterns": ("o/{content}_{style}.png",) * 2}, "1 name for 2 patterns"),
        ({"contents": "no/such/folder"}, "--contents no/such/folder"),
        ({"metrics": "ssmi"}, "Did you mean 'ssim'"),
    ],
)
def test_mistakes_are_named(changes, message, workspace):
    if "patterns" in changes:
        filled = (p.replace("{w}", str(workspace)) for p in changes["patterns"])
        changes = changes | {"patterns": tuple(filled)}
    with pytest.raises(UsageError, match=message):
        score_outputs(request(workspace, **changes))


def test_a_name_that_could_be_two_pairs_is_refused(tmp_path):
    for name in ("c/a", "c/a_b", "s/c", "s/b_c", "o/a_b_c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(len(name)).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    with pytest.raises(UsageError, match="could be a × b_c or a_b × c"):
        score_outputs(
            request(
                tmp_path,
                patterns=(f"{tmp_path}/o/{{content}}_{{style}}.png",),
                contents=str(tmp_path / "c"),
                styles=str(tmp_path / "s"),
            )
        )


def test_a_run_of_methods_is_not_overwritten(picture_folders, tmp_path, workspace):
    contents, styles = picture_folders
    nstbench.run(["content_copy"], contents, styles, limit=1, size=48, metrics=("ssim",),
                 timing_repeats=0, formats=("csv",), out=tmp_path / "run")  # fmt: skip
    with pytest.raises(UsageError, match="Choose another folder"):
        score_outputs(request(workspace))
    assert set(load_board(tmp_path / "run").methods) == {"content_copy"}


def test_command_line(workspace):
    from typer.testing import CliRunner

    from nstbench.cli.app import app

    common = ["--contents", str(workspace / "contents"), "--styles", str(workspace / "styles")]
    pattern = f"{workspace}/out/{{method}}/{{content}}_stylized_{{style}}.png"
    out = ["--out", str(workspace / "run"), "--metrics", "ssim", "--device", "cpu"]
    result = CliRunner().invoke(app, ["score", "--outputs", pattern, *common, *out])
    assert result.exit_code == 0, result.exception
    board = load_board(workspace / "run")
    assert set(board.methods) == {"good", "bad"}
    assert board.info["started"] <= board.info["finished"]
    page = (workspace / "run" / "report" / "index.html").read_text()
    assert "not finished" not in page
    assert "2 methods × 4 pairs" in page
    again = CliRunner().invoke(
        app, ["score", str(board.root), "--metrics", " ssim, color_distance"]
    )
    assert again.exit_code == 0, again.exception
    assert set(load_board(board.root).metrics) == {"ssim", "color_distance"}
    for arguments, message in (
        (["score"], "give either"),
        (["score", str(workspace), "--outputs", pattern], "give either"),
        (["score", "--outputs", pattern, *common[:2]], "--styles: needed"),
        (["score", "--outputs", pattern, *common, "--fit", "cut"], "--fit cut"),
    ):
        wrong = CliRunner().invoke(app, arguments)
        assert isinstance(wrong.exception, UsageError)
        assert message in str(wrong.exception)


def test_one_method_and_one_pair_are_counted_as_one(workspace):
    only = workspace / "out" / "good" / "b_stylized_w2.png"
    board = score_outputs(
        request(
            workspace,
            patterns=(f"{only.parent}/{{content}}_stylized_{{style}}.png",),
            contents=str(workspace / "contents/b.png"),
            styles=str(workspace / "styles/w2.png"),
        )
    )
    assert "1 method × 1 pair<" in (board.root / "report" / "index.html").read_text()
