"""Rank correlations between the metrics of a run."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from nstbench.analysis.validation.agreement import basis, matrix, run_agreement, same
from nstbench.cli.app import app
from nstbench.core.errors import UsageError
from nstbench.pipeline.score_outputs import Request, score_outputs
from nstbench.plan.variants import metric_cards

METRICS = ["ssim", "color_distance"]


@pytest.fixture
def run(picture_folders, tmp_path):
    """Score copies of content and style, and their mean, as three methods."""
    contents, styles = picture_folders
    for content, style in itertools.product(contents.iterdir(), styles.iterdir()):
        first, second = (np.asarray(Image.open(path), dtype=float) for path in (content, style))
        for share in (0, 0.5, 1):
            file = tmp_path / f"out/blend{share}/{content.stem}__{style.stem}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            blend = (1 - share) * first + share * second
            Image.fromarray(blend.astype(np.uint8)).save(file)
    request = Request(
        patterns=(str(tmp_path / "out/{method}/{content}__{style}.png"),),
        names=(),
        contents=str(contents),
        styles=str(styles),
        out=tmp_path / "run",
        metrics=",".join(METRICS),
        device="cpu",
        formats=(),
    )
    score_outputs(request)
    return tmp_path / "run"


def test_a_metric_of_content_contradicts_one_of_style(run, picture_folders, tmp_path):
    square = matrix(run_agreement(run, metric_cards(METRICS)))
    assert list(square.index) == list(square.columns) == sorted(METRICS)
    np.testing.assert_allclose(np.diag(square), 1.0)
    # The content copy has the structure and colours of the content, the style copy of the style.
    assert square.loc["ssim", "color_distance"] == pytest.approx(-1.0)
    assert same(square) == []

    contents, styles = map(str, picture_folders)
    told = CliRunner().invoke(
        app,
        ["validate", "--metrics", ",".join(METRICS), "--contents", contents, "--styles", styles,
         "--limit", "1", "--size", "64", "--seeds", "1", "--run", str(run),
         "--out", str(tmp_path / "trust.json")],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    assert "ranks of methods on each of 4 pairs" in " ".join(told.output.split())
    assert "Nearly equal (0.9 or more): none" in told.output
    rows = json.loads((tmp_path / "trust.json").read_text())["agreement"]
    found = {(row["metric"], row["other"]): row["within"] for row in rows}
    assert found["ssim", "color_distance"] == pytest.approx(-1.0)
    assert "Agreement of the metrics at 96 px" in (tmp_path / "trust.html").read_text()


def test_only_a_run_without_shared_pairs_is_correlated_over_all_outputs():
    rows = [("a", "a", 1.0), ("a", "b", np.nan), ("b", "a", np.nan), ("b", "b", np.nan)]
    frame = pd.DataFrame(rows, columns=["metric", "other", "within"]).assign(units=9, spearman=0.5)
    # "b" is constant within pairs; the correlation over all outputs must not replace that.
    assert np.isnan(matrix(frame.assign(pairs=[3, 2, 2, 2])).loc["a", "b"])
    assert basis(frame.assign(pairs=[3, 2, 2, 2])).endswith("each of 2 to 3 pairs")
    assert matrix(frame.assign(pairs=0)).loc["a", "b"] == 0.5
    assert basis(frame.assign(pairs=0)) == "over all 9 outputs, as no pair was done by two methods"


def test_a_run_with_only_one_of_the_metrics_is_refused(run, tmp_path):
    with pytest.raises(UsageError, match=r"two of these metrics.*nstbench score"):
        run_agreement(run, metric_cards(["ssim"]))
    with pytest.raises(UsageError, match="is not a run folder"):
        run_agreement(tmp_path / "nothing", metric_cards(METRICS))


def test_metrics_that_correlate_are_listed_once_and_the_highest_first():
    names = ["a", "b", "c"]
    values = [[1.0, 0.92, np.nan], [0.92, 1.0, 0.97], [np.nan, 0.97, 1.0]]
    square = pd.DataFrame(values, index=names, columns=names)
    assert same(square) == [("b", "c", 0.97), ("a", "b", 0.92)]
