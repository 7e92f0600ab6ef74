"""Outputs as released programs and users have them: sizes, names, folders, seeds, formats."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from nstbench.analysis.load_board import load_board
from nstbench.cli.app import app
from nstbench.core.errors import UsageError
from nstbench.core.records import ImageRecord
from nstbench.pictures.decode import read_image
from nstbench.pictures.likeness import edge_correlation
from nstbench.pictures.picture import write_png
from nstbench.pipeline.outputs.patterns import Pair, expected_files, find_outputs
from nstbench.pipeline.outputs.shapes import as_fit, best_fit, has_proportions, without_padding
from nstbench.pipeline.score_outputs import Request, score_outputs
from nstbench.plan.listener import Listener


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a picture with edges: uint8 RGB (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(3, height // 8), max(3, width // 8), 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


class Notes(Listener):
    """Keeps the notes and lines of a run."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def found(self, plan, lines) -> None:
        self.lines += lines


def score(folder: Path, **changes):
    given = {
        "patterns": (f"{folder}/out/{{content}}__{{style}}.png",), "names": ("mine",),
        "contents": str(folder / "contents"), "styles": str(folder / "styles"),
        "out": folder / "run", "metrics": "ssim", "device": "cpu", "formats": ("csv",),
    }  # fmt: skip
    notes = Notes()
    return score_outputs(Request(**(given | changes)), listener=notes), notes


@pytest.fixture
def files(tmp_path):
    """One content of 112 x 75 px and one style."""
    write_png(tmp_path / "contents/a.png", smooth(75, 112))
    write_png(tmp_path / "styles/m.png", smooth(64, 64, 1))
    return tmp_path


def ssim(board):
    return float(board.scores.query("metric == 'ssim' and part == ''")["value"].iloc[0])


def test_constant_padding_is_cut_off(files):
    content = read_image(files / "contents/a.png")
    padded = np.full((80, 116, 3), 7, np.uint8)
    padded[2:77, 4:] = content
    write_png(files / "out/a__m.png", padded)
    board, notes = score(files)
    assert ssim(board) == pytest.approx(1.0)
    (note,) = notes.notes
    assert "a__m.png of 116 x 80 px" in note
    assert "constant padding" in note
    np.testing.assert_array_equal(read_image(board.root / board.units["output"][0]), content)


def test_padding_is_found_at_another_scale():
    content = smooth(150, 224)
    small = as_fit(content, (75, 112), "stretch")
    padded = np.zeros((80, 112, 3), np.uint8)
    padded[:75] = small
    np.testing.assert_array_equal(without_padding(padded, (150, 224)), small)
    assert without_padding(small, (150, 224)) is None
    white = np.full((80, 116, 3), 255, np.uint8)
    assert without_padding(white, (75, 112)) is None


def test_a_content_is_resized_to_an_output_of_almost_its_size(files):
    content = read_image(files / "contents/a.png")
    write_png(files / "out/a__m.png", as_fit(content, (80, 116), "stretch"))
    board, notes = score(files)
    assert ssim(board) == pytest.approx(1.0, abs=1e-6)
    assert "content resized to their shape" in notes.notes[0]
    assert board.leaderboard["coverage"].tolist() == ["1/1"]


def test_other_proportions_are_refused_per_picture(files):
    content = read_image(files / "contents/a.png")
    write_png(files / "contents/b.png", smooth(75, 112, 5))
    write_png(files / "out/a__m.png", as_fit(content, (96, 96), "stretch"))
    write_png(files / "out/b__m.png", smooth(75, 112, 5))
    board, _ = score(files)
    units = board.units.set_index("content")
    assert units["status"].to_dict() == {"a": "failed", "b": "done"}
    message = units.loc["a", "message"]
    for part in (
        "a__m.png is 96 x 96 px", "content a.png (112 x 75 px)", "--fit inside", "--fit crop",
        "--fit stretch", "use --fit stretch, which fits the edges best",
    ):  # fmt: skip
        assert part in message


@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_the_fit_that_the_edges_show(files, fit):
    content = read_image(files / "contents/a.png")
    write_png(files / "out/a__m.png", as_fit(content, (96, 96), fit))
    right, notes = score(files, fit=fit)
    assert ssim(right) == pytest.approx(1.0, abs=1e-6)
    assert notes.notes == []
    wrong, notes = score(files, fit="crop" if fit == "stretch" else "stretch", out=files / "wrong")
    assert ssim(wrong) < 0.7
    (note,) = notes.notes
    assert f"The edges of a__m.png fit {fit} better" in note


def test_stretch_resizes_the_styles_too(files):
    write_png(files / "styles/m.png", smooth(64, 100, 1))
    write_png(files / "out/a__m.png", smooth(96, 80, 2))
    board, _ = score(files, fit="stretch")
    shapes = {card.role: read_image(board.root / card.file).shape for card in board.pictures}
    assert shapes == {"content": (96, 80, 3), "style": (96, 80, 3)}


def test_best_fit_and_edges():
    content = smooth(75, 112)
    border = np.zeros((112, 112, 3), np.uint8)
    border[18:93] = content
    assert best_fit(content, border)[0] == "inside"
    assert best_fit(content, smooth(96, 96, 9))[0] is None
    assert edge_correlation(content, content) == pytest.approx(1.0)
    assert edge_correlation(content, np.zeros_like(content)) == 0.0
    assert not has_proportions((96, 96), (75, 112))
    assert has_proportions((50, 75), (75, 112))


def test_a_cut_of_almost_the_size_is_refused(files):
    write_png(files / "contents/a.png", smooth(48, 64))
    write_png(files / "out/a__m.png", as_fit(smooth(48, 64), (48, 48), "crop"))
    board, _ = score(files)
    assert "use --fit crop, which fits the edges best" in board.units["message"][0]


def test_no_value_at_all_ends_with_exit_code_1(files):
    write_png(files / "out/a__m.png", smooth(96, 96, 2))
    command = [
        "score", "--outputs", f"{files}/out/{{content}}__{{style}}.png", "--contents",
        str(files / "contents"), "--styles", str(files / "styles"), "--metrics", "ssim",
        "--device", "cpu", "--out", str(files / "run"),
    ]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "No output has a value" in result.stderr
    assert "out: 1 picture found, 0 missing, 1 not used" in result.stderr
    assert "cached" not in result.output
    assert "called out after the folder" in " ".join(result.stderr.split())
    assert CliRunner().invoke(app, ["score", str(files / "run")]).exit_code == 1
    right = CliRunner().invoke(app, [*command, "--fit", "stretch"])
    assert right.exit_code == 0, right.exception


def test_names_in_form_d_and_other_signs(files):
    decomposed = unicodedata.normalize("NFD", "cézanne")
    composed = unicodedata.normalize("NFC", decomposed)
    (files / "styles/m.png").rename(files / f"styles/{decomposed}.png")
    write_png(files / "contents/[x]#50%.png", smooth(75, 112, 3))
    write_png(files / "contents/神奈川.png", smooth(75, 112, 4))
    for content in ("a", "[x]#50%"):
        write_png(files / f"out/{content}__{composed}.png", smooth(75, 112, 5))
    board, notes = score(files, formats=("html", "csv"))
    assert notes.lines == ["mine: 2 pictures found, 1 missing"]
    units = board.units.set_index("content")
    assert set(units.index) == {"a", "[x]#50%", "神奈川"}
    assert set(units["style"]) == {composed}
    assert units.loc["神奈川", "message"].endswith(f"out/神奈川__{composed}.png")
    assert {"[x]#50%", "a"} == set(board.scores["content"]) - {""}
    table = pd.read_parquet(board.root / "scores.parquet")
    assert composed in set(table["style"])
    page = (board.root / "report/index.html").read_text(encoding="utf-8")
    assert "[x]#50%" in page
    assert "image-" not in " ".join(board.units["content"])
    stored = [p.name for p in board.root.rglob("*.png")]
    assert all(name.isascii() for name in stored)


def test_case_is_kept(files):
    (files / "contents/a.png").rename(files / "contents/A.png")
    write_png(files / "out/a__m.png", smooth(75, 112))
    with pytest.raises(UsageError, match=r"none is called so for a content \(A\)"):
        score(files)


LAYOUTS = {
    "out/{content}__{style}.png": ("out/monet/a__01.png", "out/cezanne/a__01.png"),
    "out/*/{content}__{style}.png": ("out/monet/a__01.png", "out/cezanne/a__01.png"),
    "out/{content}/{style}.png": ("out/a/monet/01.png", "out/a/cezanne/01.png"),
    "out/{style}/{content}.png": ("out/monet/01/a.png", "out/cezanne/01/a.png"),
    "./out/{content}_{style}.png": ("out/a_monet/01.png", "out/a_cezanne/01.png"),
    "out/{method}/{content}__{style}.png": ("out/x/monet/a__01.png", "out/x/cezanne/a__01.png"),
}


@pytest.mark.parametrize("pattern", LAYOUTS)
def test_styles_in_folders_of_artists(pattern, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in LAYOUTS[pattern]:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    contents = [ImageRecord("a", Path("a.png"), source="a.png")]
    styles = [
        ImageRecord(f"{artist}/01", Path(f"{artist}/01.jpg"), source=f"{artist}/01.jpg")
        for artist in ("cezanne", "monet")
    ]
    methods, unmatched = find_outputs(pattern, "x", contents, styles)
    assert unmatched == []
    found = {pair.style: file.as_posix() for pair, file in methods["x"].files.items()}
    assert found == {
        style: next(f for f in LAYOUTS[pattern] if style.split("/")[0] in f)
        for style in ("monet/01", "cezanne/01")
    }


def test_a_stem_of_several_styles_without_folder_is_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a__01.png", "a__monet/01.png"):
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).touch()
    styles = [ImageRecord(f"{s}/01", Path(f"{s}/01.jpg")) for s in ("cezanne", "monet")]
    found, unmatched = find_outputs(
        "out/{content}__{style}.png", "x", [ImageRecord("a", Path("a.png"))], styles
    )
    assert [pair.style for pair in found["x"].files] == ["monet/01"]
    ((file, reason),) = unmatched
    assert file.name == "a__01.png"
    assert "several pictures are called 01" in reason


def test_expected_names_of_a_picture_in_a_folder():
    both = expected_files("o/{method}/{style}/{content}_{seed}.png", Pair("v/1", "m/01", 2))
    assert both == ["o/{method}/m/01/v/1_2.png"]
    plain = expected_files("{content}__{style}.png", Pair("a", "b"))
    assert plain == ["a__b.png"]
    assert expected_files("{content}__{style}.png", Pair("a", "m/01")) == [
        "a__m/01.png", "m/a__01.png"
    ]  # fmt: skip


def test_seeds_in_names(files):
    for seed in (0, 3):
        write_png(files / f"out/a__m_{seed}.png", smooth(75, 112, seed))
    write_png(files / "contents/b.png", smooth(75, 112, 7))
    write_png(files / "out/b__m_3.png", smooth(75, 112, 8))
    board, notes = score(files, patterns=(f"{files}/out/{{content}}__{{style}}_{{seed}}.png",))
    assert notes.lines == ["mine: 3 pictures found, 1 missing"]
    done = board.units.query("status == 'done'")
    assert sorted(zip(done["content"], done["seed"], strict=True)) == [("a", 0), ("a", 3), ("b", 3)]
    (message,) = board.units.query("status != 'done'")["message"]
    assert message.endswith("b__m_0.png")
    assert len(board.scores.query("metric == 'ssim' and part == ''")) == 3
    assert load_board(board.root).leaderboard["coverage"].tolist() == ["3/4"]


def test_outputs_of_several_sizes_are_brought_to_one(files):
    write_png(files / "styles/n.png", smooth(64, 64, 6))
    write_png(files / "styles/o.png", smooth(64, 64, 7))
    for style, shape in (("m", (75, 112)), ("n", (75, 112)), ("o", (76, 113))):
        write_png(files / f"out/a__{style}.png", smooth(*shape))
    board, notes = score(files)
    assert set(board.units["status"]) == {"done"}
    assert {read_image(board.root / p).shape for p in board.units["output"]} == {(75, 112, 3)}
    assert "1 output resized to the shape of the other outputs" in notes.notes[0]


def test_a_method_of_any_script(files):
    write_png(files / "神奈川/a__m.png", smooth(75, 112))
    pattern = f"{files}/神奈川/{{content}}__{{style}}.png"
    board, notes = score(files, patterns=(pattern,), names=())
    assert list(board.methods) == ["神奈川"]
    assert set(board.units["status"]) == {"done"}
    assert "called 神奈川" in notes.notes[0]
