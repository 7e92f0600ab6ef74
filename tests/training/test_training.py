"""The training loop on a tiny method: resuming, logging, cards, and what goes wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from nstbench.cli.app import app
from nstbench.core.errors import UsageError, WeightsError
from nstbench.core.records import ImageRecord
from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import load_picture
from nstbench.plan.listener import Listener
from nstbench.plugins import registry
from nstbench.training.checkpoints import installed, look_of, read_checkpoint
from nstbench.training.loop import TrainingError
from nstbench.training.order import build_order
from nstbench.training.together import train

TOY = Path(__file__).parents[1] / "support" / "toy_colour.py"


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    monkeypatch.setenv("NSTBENCH_CHECKPOINTS", str(tmp_path / "installed"))
    monkeypatch.delenv("NSTBENCH_WEIGHTS", raising=False)
    registry.add_file(TOY)


@pytest.fixture
def order(picture_folders):
    contents, styles = picture_folders

    def make(method="toy_colour", **options):
        given = {
            "contents": str(contents), "styles": str(styles), "style": ("s0",), "steps": 12,
            "save_every": 4, "device": "cpu", "threads": 1, **options,
        }  # fmt: skip
        return build_order(method, given)

    return make


class Killed(Exception):  # noqa: N818  it is not an error
    """Simulates the end of the process."""


class KillAfter(Listener):
    def __init__(self, steps):
        self.left = steps

    def advanced(self):
        self.left -= 1
        if not self.left:
            raise Killed


def rows(folder):
    with (folder / "log.csv").open() as stream:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(stream)]


class TestResume:
    @pytest.mark.parametrize("killed_after", [3, 6, 9])
    def test_interrupted_training_ends_bit_equal(self, order, tmp_path, killed_after):
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        (one,) = train(order(out=whole))
        with pytest.raises(Killed):
            train(order(out=parts), listener=KillAfter(killed_after))
        (two,) = train(order(out=parts))
        state = [
            torch.load(path.with_suffix(".training") / "state.pt", weights_only=True)
            for path in (one.path, two.path)
        ]
        for name in ("weight", "bias"):
            exact, resumed = (s["networks"]["network"][name] for s in state)
            assert exact.dtype == torch.float32
            assert torch.equal(exact, resumed)
        assert one.card.sha256 == two.card.sha256
        logs = [rows(path.with_suffix(".training")) for path in (one.path, two.path)]
        for left, right in zip(*logs, strict=True):
            assert {**left, "seconds": 0} == {**right, "seconds": 0}

    def test_the_optimiser_is_resumed(self, order, tmp_path):
        """A resumed training differs from one that continues without the state of Adam."""
        train(order(out=tmp_path / "a", steps=4))
        (resumed,) = train(order(out=tmp_path / "a", steps=12))
        folder = tmp_path / "b"
        train(order(out=folder, steps=4))
        path = folder / "toy_colour--s0.training" / "state.pt"
        state = torch.load(path, weights_only=True)
        fresh = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
        state["optimisers"]["adam"]["state"] = fresh.state_dict()["state"]
        torch.save(state, path)
        (forgetful,) = train(order(out=folder, steps=12))
        assert resumed.card.sha256 != forgetful.card.sha256

    def test_finished_training_takes_no_further_step(self, order, tmp_path):
        (one,) = train(order(out=tmp_path))
        (again,) = train(order(out=tmp_path), listener=KillAfter(13))
        assert again.card.sha256 == one.card.sha256
        assert again.card.seconds == one.card.seconds

    def test_another_training_in_the_same_place_is_refused(self, order, tmp_path):
        train(order(out=tmp_path, steps=4))
        with pytest.raises(UsageError, match=r"learning_rate was '0.05' and is now '0.01'"):
            train(order(out=tmp_path, learning_rate=0.01))

    def test_seed_changes_the_weights(self, order, tmp_path):
        (one,) = train(order(out=tmp_path / "0"))
        (two,) = train(order(out=tmp_path / "1", seed=1))
        assert one.card.sha256 != two.card.sha256


class TestFiles:
    def test_checkpoint_is_half_precision_with_a_complete_card(self, order, tmp_path):
        (made,) = train(order(out=tmp_path))
        tensors = load_file(made.path)
        assert {t.dtype for t in tensors.values()} == {torch.float16}
        card = json.loads(made.path.with_suffix(".json").read_text())
        assert card["method"] == "toy_colour"
        assert card["params"] == {"bias": True, "content_weight": 0.1}
        assert card["steps"] == 12
        assert card["batch"] == 2
        assert card["content_data"] == "2 pictures of contents"
        assert card["styles"][0]["name"] == "s0"
        assert card["seconds"] > 0
        assert card["environment"]["cpu"]
        assert len(card["sha256"]) == 64
        assert "Trained with 12 steps instead of 20." in card["deviations"]
        assert card["loss_curve"][-1]["step"] == 12

    def test_sample_sheets_and_states_every_few_steps(self, order, tmp_path):
        train(order(out=tmp_path))
        samples = tmp_path / "toy_colour--s0.training" / "samples"
        assert [p.stem for p in sorted(samples.iterdir())] == ["0000004", "0000008", "0000012"]
        with Image.open(samples / "0000012.png") as sheet:
            assert sheet.size == (2 * 36, 2 * 36)

    def test_the_loss_falls_in_the_log(self, order, tmp_path):
        train(order(out=tmp_path, steps=60))
        log = rows(tmp_path / "toy_colour--s0.training")
        assert [row["step"] for row in log] == list(range(1, 61))
        assert np.mean([row["style"] for row in log[-10:]]) < 0.3 * log[0]["style"]

    def test_damaged_weights_are_refused(self, order, tmp_path):
        (made,) = train(order(out=tmp_path))
        made.path.write_bytes(made.path.read_bytes()[:-1] + b"\0")
        with pytest.raises(WeightsError, match="its card says"):
            read_checkpoint(made.path.with_suffix(".json")).tensors()

    def test_a_damaged_card_is_ignored(self, order, tmp_path):
        (made,) = train(order())
        made.path.with_suffix(".json").write_text("{")
        assert installed().find("toy_colour", {}) == []


class TestDivergence:
    def test_nan_stops_with_advice(self, order, tmp_path):
        with pytest.raises(TrainingError, match=r"not .*finite.*lower --learning-rate"):
            train(order(out=tmp_path, learning_rate=1e30, precision="float32"))
        assert not list(tmp_path.glob("*.safetensors"))


class TestNames:
    def test_one_model_per_style(self, order):
        made = train(order(style=(), steps=2))
        assert [c.path.stem for c in made] == ["toy_colour--s0", "toy_colour--s1"]

    def test_changed_parameters_get_another_checkpoint(self, order):
        (plain,) = train(order(steps=2))
        (other,) = train(order("toy_colour:bias=false", steps=2))
        (strong,) = train(order("toy_colour:strength=0.5", steps=2))
        assert other.path.stem.startswith("toy_colour--s0-")
        assert strong.path == plain.path, "a runtime parameter does not affect training"

    def test_style_by_file(self, order, picture_folders):
        (made,) = train(order(style=(str(picture_folders[1] / "s1.png"),), steps=2))
        assert made.card.styles[0].name == "s1"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"style": ("s9",)}, r"--style s9: neither a file nor a picture.*Did you mean"),
            ({"contents": "/nowhere"}, r"--contents /nowhere: neither a dataset nor"),
            ({"start": "nothing"}, r"--start nothing: there is no such checkpoint"),
        ],
    )
    def test_wrong_names_are_explained(self, order, options, message):
        with pytest.raises(UsageError, match=message):
            train(order(**options))

    @pytest.mark.parametrize(
        ("method", "message"),
        [
            ("content_copy", "cannot be trained"),
            ("toy_colour,toy_colour:bias=false", "give one method"),
            ("all", "name the methods to train"),
            ("toy_colr", "Did you mean 'toy_colour'"),
            ("toy_colour:stepz=3", "has no parameter 'stepz'"),
        ],
    )
    def test_wrong_methods_are_explained(self, order, method, message):
        with pytest.raises(UsageError, match=message):
            train(order(method))

    def test_start_continues_from_a_checkpoint(self, order, tmp_path):
        (first,) = train(order(out=tmp_path / "a", steps=40))
        (second,) = train(order(out=tmp_path / "b", steps=1, start=str(first.path)))
        (fresh,) = train(order(out=tmp_path / "c", steps=1))
        begun = second.card.loss_curve[0]["style"]
        assert begun < 0.5 * fresh.card.loss_curve[0]["style"]

    def test_the_card_includes_the_seconds_of_the_start(self, order, tmp_path):
        (first,) = train(order(out=tmp_path / "a"))
        (second,) = train(order(out=tmp_path / "b", start=str(first.path)))
        (third,) = train(order(out=tmp_path / "c", start=str(second.path)))
        assert second.card.start == f"{first.name} (sha256 {first.card.sha256})"
        assert f"Began with the weights of {first.name}." in second.card.deviations
        seconds = (one.card.seconds for one in (first, second, third))
        assert third.card.total_seconds == pytest.approx(sum(seconds))
        assert first.card.start == ""
        assert first.card.total_seconds == first.card.seconds

    def test_checkpoints_of_all_folders_are_listed(self, order):
        train(order(style=("s0", "s1")))
        lines = CliRunner().invoke(app, ["list", "checkpoints"]).output.splitlines()
        for style in ("s0", "s1"):
            (line,) = (line for line in lines if f"toy_colour--{style}" in line)
            assert {style, "12", "32"} <= set(line.replace("│", " ").split())


class TestLook:
    def test_a_style_is_recognised_at_any_size_and_format(self, order, picture_folders, tmp_path):
        style = picture_folders[1] / "s0.png"
        (made,) = train(order(steps=1))
        small = load_picture(ImageRecord("renamed", style), 64, "crop")
        assert made.place_of(small) == 0
        jpeg = tmp_path / "other_name.jpg"
        Image.fromarray(read_image(style)).save(jpeg, quality=80)
        assert made.place_of(ImageRecord("other", jpeg)) == 0
        other = ImageRecord("s0", picture_folders[1] / "s1.png")
        assert made.place_of(other) is None, "a style is not recognised by its name"
        assert look_of(other) != look_of(small)

    def test_supports_gives_the_exact_command(self, order, picture_folders):
        cls = registry.load("methods", "toy_colour")
        known, unknown = (ImageRecord(n, picture_folders[1] / f"{n}.png") for n in ("s0", "s1"))
        method = cls(cls.Params())
        train(order(steps=1))
        assert method.supports(known).ok
        state = method.supports(unknown)
        assert state.reason == "needs training"
        assert state.remedy == (
            f"Run: nstbench train toy_colour --style {unknown.path} "
            "--contents FOLDER_OF_PHOTOGRAPHS"
        )
        wanted = cls(cls.Params(bias=False, strength=0.5)).supports(known)
        assert (
            "'toy_colour:bias=false'" in wanted.remedy or "toy_colour:bias=false" in wanted.remedy
        )
        assert cls(cls.Params()).training_seconds() is None, "no checkpoint is open"


@pytest.mark.slow
class TestRuns:
    """``nstbench run`` with a method that must be trained first."""

    @pytest.fixture
    def run(self, picture_folders, tmp_path):
        from nstbench.pipeline.job import execute
        from nstbench.plan.config_file import build_config

        contents, styles = map(str, picture_folders)

        def start(name, **settings):
            options = {
                "methods": "toy_colour", "contents": contents, "styles": styles, "size": 32,
                "metrics": "ssim,train_seconds", "timing_repeats": 2, "threads": 1, "limit": 2,
                "device": "cpu", "out": tmp_path / name, "plugins": (TOY,), "formats": "csv",
                **settings,
            }  # fmt: skip
            return execute(build_config(options))

        return start

    def test_needs_training_then_trained_then_reused(self, run, tmp_path):
        from nstbench.store.store import Store

        board = run("first")
        (row,) = board.leaderboard.to_dict("records")
        assert row["coverage"] in ("0/4", 0.0)
        board = run("second", train_missing=True, train_steps=6)
        known = {w.name: w.training for w in board.methods["toy_colour"].weights if w.training}
        assert sorted(known) == ["toy_colour--s0", "toy_colour--s1"]
        assert {training.steps for training in known.values()} == {6}
        assert all(len(training.loss_curve) > 1 for training in known.values())
        records = list(Store(tmp_path / "second").records("toy_colour"))
        assert [record.status for record in records] == ["done"] * 4
        names = {name for record in records for name in record.parts["checkpoint"]}
        assert names == {"toy_colour--s0", "toy_colour--s1"}
        cards = [c.card for c in installed().find("toy_colour", {})]
        assert [card.steps for card in cards] == [6, 6]
        (timing,) = (tmp_path / "second" / "timings" / "toy_colour").glob("*.json")
        assert json.loads(timing.read_text())["training"] in [card.seconds for card in cards]

        train_again = {c.finished for c in cards}
        run("third", train_missing=True, train_steps=6)
        assert {c.card.finished for c in installed().find("toy_colour", {})} == train_again

    def test_another_checkpoint_makes_results_stale(self, run, order, tmp_path):
        from nstbench.store.store import Store

        train(order(steps=2, style=()))
        run("run")
        train(order(steps=30, style=(), out=tmp_path / "longer"))
        for path in (tmp_path / "longer").glob("toy*.*"):
            if path.is_file():
                path.replace(tmp_path / "installed" / path.name)
        run("run")
        assert len(list(Store(tmp_path / "run").records("toy_colour"))) == 8
