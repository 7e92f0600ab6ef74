"""Keys of scores, storage of errors, and set metrics of incomplete methods."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nstbench
from nstbench.pipeline import timing_stage
from nstbench.pipeline.job import rescore
from nstbench.pipeline.score_outputs import Request, score_outputs
from nstbench.plan.listener import Listener
from nstbench.plugins import registry
from nstbench.plugins.source_hash import source_files
from nstbench.score.stage import ScoreStage, feature_files

CORE = Path(nstbench.__file__).parent

METRIC = """
from pathlib import Path

from nstbench.contracts import MetricInfo, PairMetric
from nstbench.core.errors import NoValueError
from nstbench.score.maths.frechet import GaussianSums, frechet_distance
from nstbench.core.records import Scope
from nstbench.score.maths.feature_sets import {base}, StyleVectors

class Mine({base}):
    info = MetricInfo("Mine", Scope.{scope}, False, (0.0, 9e9), "no paper", "a test", order=1)
"""

PAIR = (
    METRIC.format(base="FrechetMetric", scope="PAIR").replace("(FrechetMetric)", "(PairMetric)")
    + """
    def compute(self, pair):
        with Path({asked!r}).open("a") as stream:
            stream.write("x")
        if not Path({cure!r}).exists():
            raise {error}
        return {{"": pair.output.pixels.mean(dim=(1, 2, 3))}}
"""
)

SET = (
    METRIC.format(base="FrechetMetric", scope="SET")
    + """
    def means(self, pair, of):
        return getattr(pair, of).pixels.mean(dim=(2, 3))
"""
)


class Notes(Listener):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def outputs(
    tmp_path: Path, folders: tuple[Path, Path], left_out: str = "", pairs: str = "all"
) -> Path:
    """Create a run of two methods, "all" and "some"; "some" lacks the pairs of one style."""
    contents, styles = folders
    for content, style, name in itertools.product(
        contents.iterdir(), styles.iterdir(), ("all", "some")
    ):
        if name == "some" and style.stem == left_out:
            continue
        first, second = (np.asarray(Image.open(path), dtype=float) for path in (content, style))
        file = tmp_path / f"out/{name}/{content.stem}__{style.stem}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        # equal outputs share one score
        share = 0.5 if name == "all" else 0.4
        Image.fromarray((share * (first + second)).astype(np.uint8)).save(file)
    score_outputs(
        Request(
            patterns=(str(tmp_path / "out/{method}/{content}__{style}.png"),),
            names=(),
            contents=str(contents),
            styles=str(styles),
            out=tmp_path / "run",
            metrics="color_distance",
            device="cpu",
            formats=(),
            pairs=pairs,
        )
    )
    return tmp_path / "run"


def plugin(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    registry.add_file(file)


# --- keys --------------------------------------------------------------------------------


def behind(name: str) -> set[str]:
    """Return the core files that the key of a metric's scores includes."""
    info = registry.load("metrics", name).info
    files = {*source_files(registry.find("metrics", name)), *feature_files(info)}
    return {str(file.relative_to(CORE)) for file in files if file.is_relative_to(CORE)}


def test_key_of_a_score_includes_the_networks_that_the_metric_reads() -> None:
    assert behind("uef") >= {
        "score/feature_bank.py", "pictures/picture.py", "score/maths/feature_distances.py",
        "score/maths/normalised_errors.py", "nn/losses/gram.py", "nn/layers/layered.py",
        "nn/layers/frozen_convolution.py", "nn/backbones/vgg.py", "nn/backbones/alexnet.py",
    }  # fmt: skip
    assert "cli/app.py" not in behind("uef")


def test_key_of_a_score_without_networks_includes_none() -> None:
    found = behind("ssim")
    assert found >= {"score/feature_bank.py", "pictures/picture.py"}
    assert not [file for file in found if file.startswith("nn/")]


def test_key_includes_all_code_that_a_metric_imports() -> None:
    assert "nn/backbones/lpips.py" in behind("lpips_alex")


def test_edit_of_a_feature_network_changes_the_keys_of_scores(
    picture_folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = outputs(tmp_path, picture_folders)
    rescore(root, metrics="gram_distance,color_distance", device="cpu")
    stage = ScoreStage(root, "cpu")
    before = {name: stage._metric_parts(name)["source"] for name in stage.metrics}
    read = Path.read_bytes

    def edited(path: Path) -> bytes:
        return read(path) + (b"# edited" if path.name == "gram.py" else b"")

    monkeypatch.setattr(Path, "read_bytes", edited)
    assert stage._metric_parts("gram_distance")["source"] != before["gram_distance"]
    assert stage._metric_parts("color_distance")["source"] == before["color_distance"]


def test_key_of_a_timing_includes_the_code_that_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    before = timing_stage._timing_source()
    read = Path.read_text
    changed = []
    for file in sorted(CORE.rglob("*.py")):
        with monkeypatch.context() as patch:
            patch.setattr(
                Path, "read_text", lambda p, *a, f=file: read(p, *a) + ("#" if p == f else "")
            )
            if timing_stage._timing_source() != before:
                changed.append(str(file.relative_to(CORE)))
    assert set(changed) >= {
        "core/glibc_malloc.py", "core/isolation.py", "generate/batch_timing.py",
        "generate/clock.py", "generate/flops.py", "generate/runner.py",
    }  # fmt: skip
    assert not [name for name in changed if name.startswith(("cli", "report", "store", "nn/"))]


# --- errors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        ('RuntimeError("CUDA out of memory")', False),
        ('OSError("no network")', False),
        ('NoValueError("too alike")', True),
    ],
)
def test_only_errors_that_depend_on_the_pictures_are_stored(
    error: str, kept: bool, picture_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    root = outputs(tmp_path, picture_folders)
    asked, cure = tmp_path / "asked", tmp_path / "cure"
    plugin(tmp_path, PAIR.format(asked=str(asked), cure=str(cure), error=error))
    notes = Notes()
    first = rescore(root, metrics="mine", device="cpu", listener=notes)
    assert first.scores[first.scores["metric"] == "mine"].empty
    assert any(error.split('"')[1] in text for text in notes.told)
    assert any("tries again" in text for text in notes.told) != kept
    assert len(asked.read_text()) == 8
    cure.touch()
    board = rescore(root, metrics=None, device="cpu")
    assert (board.scores["metric"] == "mine").sum() == (0 if kept else 8)
    assert len(asked.read_text()) == (8 if kept else 16)
    rescore(root, metrics=None, device="cpu")
    assert len(asked.read_text()) == (8 if kept else 16), "a stored value was computed again"


# --- sets --------------------------------------------------------------------------------


@pytest.mark.parametrize("pairs", ["all", "found"])
def test_set_metric_has_a_value_for_complete_methods_only(
    pairs: str, picture_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    root = outputs(tmp_path, picture_folders, left_out="s1", pairs=pairs)
    plugin(tmp_path, SET)
    notes = Notes()
    board = rescore(root, metrics="mine,color_distance", device="cpu", listener=notes)
    values = board.scores[board.scores["metric"] == "mine"]
    assert set(values["method"]) == {"all"}
    parts = values.set_index("part")["value"]
    assert parts[["n", "styles"]].tolist() == [4, 2]
    table = board.leaderboard.set_index("method")
    assert table["mine"].notna().to_dict() == {"all": True, "some": False}
    assert table["color_distance"].notna().all()
    assert any("mine of some: no value for 2 of 4 outputs" in text for text in notes.told)
