"""Known cases: what is made of published outputs, and how scores of them are rated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import spearmanr
from simulate_boards import metric_card
from sklearn.metrics import roc_auc_score

from nstbench.analysis.validation.case_ratings import rate_cases
from nstbench.analysis.validation.known_cases import (
    DAMAGES,
    DISTRACTORS,
    Output,
    cases,
    distractors,
    trivial_answers,
)
from nstbench.analysis.validation.published import read_published, validate_published
from nstbench.core.errors import UsageError
from nstbench.plan import variants as catalog
from nstbench.plan.listener import Listener

SIDE = 64


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def some(prefix: str, count: int) -> dict[str, np.ndarray]:
    return {f"{prefix}{i}": pixels(i + 10 * len(prefix)) for i in range(count)}


# --- cases -------------------------------------------------------------------------------


def test_22_trivial_answers_have_the_shape_of_the_content() -> None:
    content, style = pixels(0), np.tile(pixels(1), (2, 1, 1))
    answers = trivial_answers(content, style)
    assert len(answers) == 22
    for name, answer in answers.items():
        assert answer.shape == content.shape, name
        assert answer.dtype == np.uint8
    np.testing.assert_array_equal(answers["content copy"], content)
    half = SIDE // 2
    np.testing.assert_array_equal(answers["half and half"][:, :half], content[:, :half])
    np.testing.assert_array_equal(
        answers["half and half"][:, half:], answers["style copy"][:, half:]
    )
    middle = (content.astype(float) + answers["style copy"]) / 2
    assert np.abs(answers["blend 0.5"] - middle).max() <= 1


def test_histogram_matching_is_that_of_scikit_image() -> None:
    from skimage.exposure import match_histograms

    content = (pixels(0) // 2 + 30).astype(np.uint8)
    found = trivial_answers(content, pixels(1))["histogram matching"]
    expected = match_histograms(content, pixels(1), channel_axis=2)
    # scikit-image maps a value to the end of its ranks, this program to their middle.
    assert np.abs(found.astype(float) - expected).max() <= 4


def test_every_output_meets_its_cases() -> None:
    contents, styles = some("c", 7), some("s", 3)
    outputs = [Output("m", f"c{i}", "s0", pixels(i)) for i in range(5)]
    found = list(cases(contents, styles, outputs, damaged=2))
    counts = pd.Series([case.test for case in found]).value_counts().to_dict()
    assert counts == {
        "trivial": 5 * 22,
        "real": 5,
        "content": 5 * DISTRACTORS,
        "style": 5 * 2,
        "damage": 2 * 2 * len(DAMAGES),
    }
    for case in found:
        content, style = case.scored_against
        assert (content != case.content) == (case.test == "content")
        assert (style != case.style) == (case.test == "style")


def test_distractors_are_others_and_spread() -> None:
    names = [f"n{i}" for i in range(9)]
    assert distractors(names, "n8") == ["n0", "n2", "n5", "n7"]
    assert distractors(["a", "b"], "a") == ["b"]


def test_damage_grows(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:256, 0:256]
    smooth = np.stack([rows, columns, (rows + columns) // 2], axis=-1).astype(np.uint8)
    for kind, (change, strengths) in DAMAGES.items():
        first, second = (np.abs(change(smooth, s).astype(float) - smooth).mean() for s in strengths)
        assert 0 < first < second, kind


# --- ratings -----------------------------------------------------------------------------


def planted(rows: list[tuple[str, str, str, str, int, float]]) -> pd.DataFrame:
    """Scores of a metric ``toy``: test, method, style, other, strength, value; content c0."""
    names = ["test", "method", "style", "other", "strength", "value"]
    return pd.DataFrame(rows, columns=names).assign(content="c0", metric="toy", part="")


def rated(scores: pd.DataFrame, higher: bool = False) -> dict[str, dict[str, float]]:
    card = replace(metric_card("toy"), higher_is_better=higher, networks=("vgg16", "alexnet"))
    frame = rate_cases(scores, {"toy": card})
    return frame[frame["part"] == ""].set_index("what").to_dict("index")


def test_ratings_by_hand() -> None:
    scores = planted(
        [
            ("real", "a", "s0", "", 0, 0.5),
            ("real", "a", "s1", "", 0, 0.9),
            ("trivial", "", "s0", "x", 0, 0.6),
            ("trivial", "", "s0", "y", 0, 0.5),
            ("trivial", "", "s1", "x", 0, 0.8),
            ("trivial", "", "s1", "y", 0, 1.0),
            ("content", "a", "s0", "c1", 0, 0.7),
            ("content", "a", "s0", "c2", 0, 0.4),
            ("style", "a", "s1", "s0", 0, 1.2),
            ("damage", "a", "s0", "blur", 1, 0.6),
            ("damage", "a", "s0", "blur", 2, 0.8),
            ("damage", "a", "s0", "fade", 1, 0.4),
            ("damage", "a", "s0", "fade", 2, 0.4),
        ]
    )
    found = rated(scores)
    assert found["trivial answers beaten"]["value"] == pytest.approx((0.75 + 0.5) / 2)
    assert found["beats all trivial answers"]["value"] == 0
    expected = roc_auc_score([0, 0, 1, 1, 1, 1], [0.5, 0.9, 0.6, 0.5, 0.8, 1.0])
    assert found["AUC over all pairs"]["value"] == pytest.approx(expected)
    assert found["own content fits better"]["value"] == 0.5
    assert found["own style fits better"]["value"] == 1
    assert found["damage makes worse"]["value"] == 0.5
    assert found["more damage is worse"]["value"] == pytest.approx(0.75)


def test_a_metric_turned_around_gets_the_opposite() -> None:
    scores = planted([("real", "a", "s0", "", 0, 0.5), ("trivial", "", "s0", "x", 0, 0.6)])
    assert rated(scores)["trivial answers beaten"]["value"] == 1
    assert rated(scores, higher=True)["trivial answers beaten"]["value"] == 0


def many(styles: int, seed: int) -> pd.DataFrame:
    """Real outputs and trivial answers with random values."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(styles):
        rows += [("real", f"m{k}", f"s{i}", "", 0, rng.normal()) for k in range(1 + i % 3)]
        rows += [("trivial", "", f"s{i}", f"t{k}", 0, rng.normal(1)) for k in range(4)]
    return planted(rows)


def test_the_interval_of_auc_draws_whole_styles() -> None:
    scores = many(8, 0)
    found = rated(scores)["AUC over all pairs"]
    groups = [group for _, group in scores.groupby("style")]
    draws = np.random.default_rng(5).integers(0, 8, (2000, 8))
    values = []
    for draw in draws:
        drawn = pd.concat([groups[i] for i in draw])
        values.append(roc_auc_score(drawn["test"] == "trivial", drawn["value"]))
    assert found["value"] == pytest.approx(
        roc_auc_score(scores["test"] == "trivial", scores["value"])
    )
    expected = np.quantile(values, (0.025, 0.975))
    np.testing.assert_allclose([found["low"], found["high"]], expected, atol=0.03)
    assert np.isnan(rated(many(4, 0))["AUC over all pairs"]["low"])


def test_the_correlation_of_networks_has_an_interval_over_styles() -> None:
    rng = np.random.default_rng(2)
    first = planted(
        [("real", "m", f"s{i}", "", 0, float(v)) for i, v in enumerate(rng.normal(size=12))]
    )
    second = first.assign(value=first["value"] + rng.normal(0, 0.5, 12), part="alexnet")
    found = rated(pd.concat([first, first.assign(part="vgg16"), second]))
    row = found["Spearman, vgg16 and alexnet"]
    pairs = np.stack([first["value"], second["value"]], axis=1)
    draws = rng.integers(0, 12, (500, 12))
    expected = np.quantile([spearmanr(pairs[d]).statistic for d in draws], (0.025, 0.975))
    np.testing.assert_allclose([row["low"], row["high"]], expected, atol=0.1)
    assert row["low"] < row["value"] < row["high"]


def test_networks_are_correlated_over_outputs() -> None:
    scores = planted([("real", f"m{i}", "s0", "", 0, v) for i, v in enumerate((1.0, 2.0, 3.0))])
    turned = scores.assign(value=[3.0, 2.0, 1.0], part="alexnet")
    both = pd.concat([scores, scores.assign(part="vgg16"), turned])
    assert rated(both)["Spearman, vgg16 and alexnet"]["value"] == pytest.approx(-1)


# --- folders -----------------------------------------------------------------------------


def save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def test_a_folder_is_read_scored_and_rated(tmp_path: Path) -> None:
    for name, picture in {**some("c", 2), **some("s", 2)}.items():
        save(tmp_path / {"c": "contents", "s": "styles"}[name[0]] / f"{name}.png", picture)
    save(tmp_path / "outputs" / "m" / "c0__s1.png", pixels(3))
    for hidden in ("outputs/m/._c0__s1.png", "contents/._c0.png"):
        (tmp_path / hidden).write_bytes(b"of macOS")
    published = read_published(tmp_path, SIDE)
    frame = validate_published(
        published, {"ssim": catalog.metric_card("ssim")}, "cpu", Listener(), damaged=1
    ).known
    assert set(frame["test"]) == {"T1", "T2", "T3"}
    copy = frame[frame["what"] == "trivial answers beaten"]["value"].item()
    assert 0 < copy < 1


def test_folders_of_another_form_are_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="contents is not a folder"):
        read_published(tmp_path, SIDE)
    save(tmp_path / "contents" / "c.png", pixels(0))
    save(tmp_path / "styles" / "s.png", pixels(1))
    with pytest.raises(UsageError, match="holds no outputs"):
        read_published(tmp_path, SIDE)
    save(tmp_path / "outputs" / "m" / "c-s.png", pixels(2))
    with pytest.raises(UsageError, match=r"c-s\.png is not an output of a content and a style"):
        read_published(tmp_path, SIDE)


def test_methods_csv_names_the_programs_of_one_method(tmp_path: Path) -> None:
    for name, picture in {**some("c", 1), **some("s", 1)}.items():
        save(tmp_path / {"c": "contents", "s": "styles"}[name[0]] / f"{name}.png", picture)
    for seed, program in enumerate(("one", "two", "rest")):
        save(tmp_path / "outputs" / program / "c0__s0.png", pixels(seed))
    assert read_published(tmp_path, SIDE).methods == {}
    file = tmp_path / "methods.csv"
    file.write_text("outputs,method\none,gatys\ntwo,gatys\n")
    assert read_published(tmp_path, SIDE).methods == {"one": "gatys", "two": "gatys"}
    file.write_text("outputs,method\none,gatys\nthree,gatys\n")
    with pytest.raises(UsageError, match=r"methods\.csv, line 3: .*three has no outputs"):
        read_published(tmp_path, SIDE)
    file.write_text("folder,method\none,gatys\n")
    with pytest.raises(UsageError, match="has the columns folder, method"):
        read_published(tmp_path, SIDE)
