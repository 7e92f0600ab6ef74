"""Values that a metric does not have: their coverage, their reason, and one note per cause."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from nstbench.analysis.load_board import load_board
from nstbench.pipeline.score_outputs import Request, score_outputs
from nstbench.plan.listener import Listener
from nstbench.report.parts.rows import contenders, leaderboard_rows

RAISES = """
import torch
from nstbench.contracts import MetricInfo, PairMetric, Scope

class Fragile(PairMetric):
    info = MetricInfo(
        title="Fragile", scope=Scope.PAIR, higher_is_better=True, range=(0.0, 1.0),
        citation="none", description="It raises for dark contents.",
    )

    def compute(self, pair):
        if float(pair.content.pixels.mean()) < 0.01:
            raise ValueError("the content is too dark")
        return {"": pair.output.pixels.mean(dim=(1, 2, 3))}
"""


class Notes(Listener):
    def __init__(self):
        self.told = []

    def note(self, message):
        self.told.append(message)


def write(path, pixels):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)


@pytest.fixture
def degenerate(tmp_path):
    """Six pairs: in one the content equals the style, in one both are black."""
    rng = np.random.default_rng(0)
    pictures = {name: rng.integers(0, 256, (40, 40, 3)) for name in ("a", "b", "m", "n")}
    pictures["black"] = np.zeros((40, 40, 3))
    for name in ("a", "b", "black"):
        write(tmp_path / "contents" / f"{name}.png", pictures[name])
    # the style "m" is the content "a", the style "n" is black
    write(tmp_path / "styles" / "m.png", pictures["a"])
    write(tmp_path / "styles" / "n.png", pictures["black"])
    for content in ("a", "b", "black"):
        for style in ("m", "n"):
            write(tmp_path / "made" / f"{content}__{style}.png", pictures["m"])
    return tmp_path


def scored(folder, metrics, listener):
    return score_outputs(
        Request(
            patterns=(str(folder / "made" / "{content}__{style}.png"),), names=("mine",),
            contents=str(folder / "contents"), styles=str(folder / "styles"),
            out=folder / "run", device="cpu", metrics=metrics, formats=("html", "csv", "md"),
        ),
        listener=listener,
    )  # fmt: skip


def test_coverage_of_a_metric_is_told_with_the_reason(degenerate, tmp_path):
    notes = Notes()
    board = scored(degenerate, "ssim,uef,content_error,style_error", notes)
    if "uef" not in board.measured:
        pytest.skip("the weights of UEF are missing")
    (row,) = board.leaderboard.to_dict("records")
    # a black content has no places to recognise, whatever the style is
    assert (row["coverage"], row["uef_coverage"]) == ("6/6", "3/6")
    assert "ssim_coverage" not in row
    values = board.scores.query("metric == 'uef' and part == ''")["value"]
    assert len(values) == 3
    assert row["uef"] == pytest.approx(board.scores[board.scores["metric"] == "uef"]
        .query("part == ''").groupby("style")["value"].mean().mean())  # fmt: skip
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert page.count("differ by less than 0.001 of their statistics") >= 2
    assert "is laid out like content" in page
    assert "3/6" in page
    assert "(3/6)" in (tmp_path / "run" / "report" / "leaderboard.md").read_text()
    # one note per cause, not per metric and unit
    assert len(notes.told) == 5
    assert sum(note.startswith("uef, content_error have no value") for note in notes.told) == 3
    assert sum(note.startswith("style_error has no value") for note in notes.told) == 2


def test_a_metric_that_raises_is_covered_in_part(degenerate, tmp_path, monkeypatch):
    from nstbench.plugins import registry

    plugin = tmp_path / "fragile.py"
    plugin.write_text(RAISES)
    registry.add_file(plugin)
    try:
        notes = Notes()
        board = scored(degenerate, "ssim,fragile", notes)
        (row,) = board.leaderboard.to_dict("records")
        assert row["fragile_coverage"] == "4/6"
        (note,) = notes.told
        assert note.startswith("fragile has no value for 2 outputs of mine: ")
        assert "the content is too dark" in note
        missing = load_board(tmp_path / "run").missing
        assert missing["metric"].tolist() == ["fragile", "fragile"]
        assert set(missing["content"]) == {"black"}
        assert "the content is too dark" in (tmp_path / "run/report/index.html").read_text()
        (shown,) = leaderboard_rows(board)
        assert shown.share(board.metrics["fragile"]) == pytest.approx(4 / 6)
        assert shown.share(board.metrics["ssim"]) == 1
        assert contenders([shown], board.metrics["fragile"]) == [shown]
    finally:
        registry.forget_added()


def test_a_run_without_missing_values_has_no_column_for_them(degenerate):
    board = scored(degenerate, "ssim", Notes())
    assert not [c for c in board.leaderboard.columns if c.endswith("_coverage")]
    assert isinstance(board.missing, pd.DataFrame)
    assert board.missing.empty
