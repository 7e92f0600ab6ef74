"""Trainings of a list in a fixed time: shares, resuming, kills, failures, cards, exit codes."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from nstbench.cli.app import app
from nstbench.contracts import Role
from nstbench.core.errors import UsageError
from nstbench.core.isolation import isolated
from nstbench.plan.listener import Listener
from nstbench.plan.variants import open_dataset
from nstbench.plugins import registry
from nstbench.training.checkpoints import read_checkpoint
from nstbench.training.job import prepare
from nstbench.training.listed.conduct import train_list
from nstbench.training.listed.group import Group
from nstbench.training.listed.held_out import HeldOut
from nstbench.training.listed.planned import Options, plan_trainings
from nstbench.training.listed.results import read_results
from nstbench.training.listed.shares import Deadline
from nstbench.training.listed.training_list import read_list
from nstbench.training.loop import Loop
from nstbench.training.steps.buffers import WARM_UP

TIMED = Path(__file__).parents[1] / "support" / "timed_colour.py"
STEP = 0.04


@pytest.fixture(autouse=True, scope="module")
def _loaded():
    """Load the modules of a training, which takes several seconds, before time is measured."""
    importlib.import_module("lightning_fabric")


@pytest.fixture(autouse=True)
def timed(monkeypatch, tmp_path):
    monkeypatch.setenv("NSTBENCH_CHECKPOINTS", str(tmp_path / "installed"))
    monkeypatch.delenv("NSTBENCH_WEIGHTS", raising=False)
    # a command that has too little time on a busy machine must not end the tests
    monkeypatch.setattr("os._exit", lambda code: None)
    registry.add_file(TIMED)


@pytest.fixture
def listed(tmp_path, picture_folders):
    """Return a function that writes a list of trainings of the timed method."""
    contents, styles = picture_folders
    for index in range(3):
        (contents / f"kept{index}.png").write_bytes((contents / "c0.png").read_bytes())

    def make(*entries):
        file = tmp_path / "mine.yaml"
        given = [
            {"method": "timed_colour", "styles": str(styles), "style": "s0", **entry}
            for entry in entries
        ]
        file.write_text(yaml.safe_dump({"version": 1, "licence": "MIT", "trainings": given}))
        return file

    return make


@pytest.fixture
def call(tmp_path, picture_folders, listed):
    """Return a function that trains a list for some seconds."""
    contents, _ = picture_folders

    def run(*entries, seconds=8.0, together=1, listener=None, **options):
        given = {"contents": str(contents), "out": tmp_path / "out", "device": "cpu",
                 "threads": 1, "held_out": 2, **options}  # fmt: skip
        deadline = Deadline(seconds, time.monotonic())
        return train_list(listed(*entries), Options(**given), deadline, together, listener)

    return run


@pytest.mark.slow
class TestTime:
    def test_every_training_has_its_time_to_within_a_step(self, call, monkeypatch):
        given = []
        train = Group.train

        def noted(group, seconds, interval):
            given.append((group.runners[0].name, seconds))
            train(group, seconds, interval=1e9)  # without the time of saving

        monkeypatch.setattr(Group, "train", noted)
        began = time.monotonic()
        results = call({"name": "a"}, {"name": "b"}, {"name": "c", "share": 2}, seconds=10)
        assert time.monotonic() - began < 10
        assert [name[-1] for name, _ in given] == ["a", "b", "c"]
        for name, seconds in given:
            one = results.trainings[name]
            assert one.seconds == pytest.approx(seconds, abs=2 * STEP)
            assert one.steps == pytest.approx(one.seconds / STEP, rel=0.35)
            assert one.last_loss < one.first_loss

    def test_trainings_of_a_group_share_its_time_whatever_a_step_costs(self, call):
        quick, slow = "timed_colour:step_seconds=0.01", "timed_colour:step_seconds=0.04"
        results = call(
            {"method": quick, "name": "quick", "share": 1},
            {"method": slow, "name": "slow", "share": 3},
            together=2,
        )
        fast, costly = (results.trainings[f"timed_colour--{n}"] for n in ("quick", "slow"))
        assert costly.seconds == pytest.approx(3 * fast.seconds, abs=2 * 0.05)
        assert fast.steps * 0.01 == pytest.approx(costly.steps * 0.04 / 3, rel=0.4)

    def test_probes_of_a_gpu_run_enough_steps_to_capture_all_phases(self, call, monkeypatch):
        advanced = []
        advance = Loop.advance
        monkeypatch.setattr(
            "nstbench.training.listed.conduct.Group",
            lambda **given: Group(**{**given, "on_gpu": True}),
        )
        monkeypatch.setattr(
            Loop, "advance", lambda loop, steps: (advanced.append(steps), advance(loop, steps))[1]
        )
        results = call({"name": "a"}, seconds=5)
        assert advanced[0] == WARM_UP + 1
        assert advanced[1] >= 3
        assert sum(advanced) == results.trainings["timed_colour--a"].steps

    def test_the_last_total_is_the_number_of_steps(self, call, monkeypatch):
        """Learning rates that fall to zero over the training depend on it."""
        training = registry.load("methods", "timed_colour").training.__globals__["TimedTraining"]
        made = []
        before = training.__init__
        monkeypatch.setattr(
            training, "__init__", lambda self, *given: (made.append(self), before(self, *given))[1]
        )
        results = call({"name": "a"}, seconds=6)
        (one,) = made
        assert one.totals[-1] == pytest.approx(results.trainings["timed_colour--a"].steps, abs=1)
        # the estimate is near from the first measurement on
        assert one.totals[len(one.totals) // 4] == pytest.approx(one.totals[-1], rel=0.3)

    def test_a_time_that_is_too_short_is_reported(self, call):
        results = call({"name": "a"}, {"name": "b"}, seconds=0.01)
        assert {one.status for one in results.trainings.values()} == {"waiting"}
        assert all("of its share" in one.reason for one in results.trainings.values())


@pytest.mark.slow
class TestResume:
    def test_seconds_and_steps_add_up_over_calls(self, call, tmp_path):
        first = call({"name": "b"}, {"name": "c"}, seconds=5, together=2)
        again = call({"name": "a"}, {"name": "b"}, {"name": "c"}, seconds=7, together=3)
        for name in ("timed_colour--b", "timed_colour--c"):
            assert again.trainings[name].steps >= first.trainings[name].steps
            card = read_checkpoint(tmp_path / "out" / f"{name}.json").card
            assert card.steps == again.trainings[name].steps
        # the new training catches up with the others
        seconds = [again.trainings[f"timed_colour--{name}"].seconds for name in "abc"]
        assert min(seconds) > 0.8 * max(seconds)
        assert [len(one.calls) for one in (first, again)] == [1, 2]
        assert read_results(tmp_path / "out") == again
        assert [name[-1] for name in again.trainings] == ["a", "b", "c"]

    def test_a_kill_loses_nothing_that_was_written(self, listed, tmp_path, picture_folders):
        contents, _ = picture_folders
        out = tmp_path / "out"
        file = listed({"name": "a", "share": 1}, {"name": "b", "share": 9})
        command = [
            sys.executable, "-m", "nstbench", "checkpoints", "train", "--list", str(file),
            "--minutes", "0.7", "--contents", str(contents), "--out", str(out), "--held-out", "2",
            "--device", "cpu", "--threads", "1", "--plugin", str(TIMED),
        ]  # fmt: skip
        process = subprocess.Popen(
            command, env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        state = out / "timed_colour--b.training" / "state.pt"
        try:
            end = time.monotonic() + 60
            while not state.exists() and time.monotonic() < end:
                time.sleep(0.05)
            time.sleep(0.5)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        results = read_results(out)
        done, cut = (results.trainings[f"timed_colour--{name}"] for name in "ab")
        assert read_checkpoint(out / "timed_colour--a.json").card.steps == done.steps > 0
        assert (out / done.sheet).is_file()
        saved = torch.load(state, weights_only=True)
        assert saved["done"] > 0
        assert not cut.file
        with isolated(1):
            again = train_list(
                file,
                Options(contents=str(contents), out=out, device="cpu", threads=1, held_out=2),
                Deadline(6.0, time.monotonic()),
            )
        assert again.trainings["timed_colour--b"].steps > saved["done"]
        assert again.trainings["timed_colour--b"].file

    def test_the_time_ends_in_the_middle_of_a_step(self, listed, tmp_path, picture_folders):
        contents, _ = picture_folders
        out = tmp_path / "out"
        file = listed({"name": "a", "method": "timed_colour:step_seconds=300"}, {"name": "b"})
        command = [
            sys.executable, "-m", "nstbench", "checkpoints", "train", "--list", str(file),
            "--minutes", "0.4", "--contents", str(contents), "--out", str(out), "--held-out", "2",
            "--device", "cpu", "--threads", "1", "--plugin", str(TIMED),
        ]  # fmt: skip
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 1
        rows = [line for line in ended.stdout.splitlines() if "waiting" in line]
        assert [row.split()[1] for row in rows] == ["timed_colour--a", "timed_colour--b"]
        assert read_results(out).trainings["timed_colour--b"].status == "waiting"
        # every phase is announced
        assert "reading photographs" in ended.stderr
        assert "timed_colour--a: preparing" in ended.stderr


class TestFailures:
    def test_one_that_fails_costs_the_others_nothing(self, call):
        bad = "timed_colour:fails_at=3"
        results = call(
            {"method": bad, "name": "bad"}, {"name": "a"}, {"name": "b"}, together=3, seconds=6
        )
        assert results.trainings["timed_colour--bad"].status == "failed"
        assert "not a finite number" in results.trainings["timed_colour--bad"].reason
        for name in ("timed_colour--a", "timed_colour--b"):
            assert results.trainings[name].status == "done"
            assert results.trainings[name].file

    def test_a_failed_training_is_tried_again(self, call, monkeypatch):
        results = call({"name": "bad", "method": "timed_colour:fails_at=0"}, seconds=4)
        assert results.trainings["timed_colour--bad"].status == "failed"
        results = call({"name": "bad"}, seconds=4)
        assert results.trainings["timed_colour--bad"].status == "done"

    def test_the_shipped_folder_is_not_overwritten(self, call):
        from nstbench.training.checkpoints import shipped_dir

        with pytest.raises(UsageError, match=r"--out .*starts of the trainings"):
            call({"name": "a"}, out=shipped_dir())

    def test_too_few_photographs(self, call):
        with pytest.raises(UsageError, match=r"--contents .*5 pictures, and 5 .*--held-out"):
            call({"name": "a"}, held_out=5)


class TestHeldOut:
    @pytest.fixture
    def loop(self, listed, picture_folders, tmp_path):
        contents, _ = picture_folders
        file = listed({"name": "a", "size": 32, "batch": 2})
        options = Options(contents=str(contents), out=tmp_path / "out", device="cpu", threads=1)
        records = open_dataset(str(contents), "--contents").load(Role.CONTENT).images
        (one,) = plan_trainings(read_list(file), file, options, records[:2])
        with isolated(1):
            yield prepare(one.job, Listener()), records[2:], one.job.styles

    def test_it_is_the_loss_of_the_networks_on_these_photographs(self, loop):
        loop, records, styles = loop
        measured = HeldOut(tuple(records), torch.device("cpu")).loss(loop, styles)
        from nstbench.pictures.picture import load_picture

        network, target = loop.training.network, loop.training.target
        expected = 0.0
        for record in records:
            pixels = load_picture(record, 32, "crop").pixels
            with torch.no_grad():
                made = network(pixels)
            style = (made.mean(dim=(-2, -1), keepdim=True) - target).square().mean()
            expected += float(style + 0.1 * (made - pixels).square().mean()) / len(records)
        # the toy adds noise of 0.01 to its contents, and only whole batches are measured
        assert measured == pytest.approx(expected, rel=0.05)

    def test_measuring_changes_nothing(self, loop):
        loop, records, styles = loop
        loop.advance(2)
        before = {n: t.clone() for n, t in loop.training.network.state_dict().items()}
        last, generator = loop.training.last.clone(), torch.get_rng_state()
        held_out = HeldOut(tuple(records), torch.device("cpu"))
        one, two = held_out.loss(loop, styles), held_out.loss(loop, styles)
        assert one == two
        assert torch.equal(loop.training.last, last)
        assert torch.equal(torch.get_rng_state(), generator)
        for name, tensor in loop.training.network.state_dict().items():
            assert torch.equal(tensor, before[name])

    def test_photographs_of_the_loss_are_not_in_the_training(self, call, tmp_path):
        call({"name": "a"}, seconds=4, held_out=2)
        card = read_checkpoint(tmp_path / "out" / "timed_colour--a.json").card
        assert card.content_data == "3 pictures of contents"


@pytest.mark.slow
class TestFiles:
    def test_card_sheet_and_weights(self, call, tmp_path):
        first = call({"name": "a"}, seconds=4)
        folder = tmp_path / "out"
        start = read_checkpoint(folder / "timed_colour--a.json")
        results = call(
            {"name": "b", "start": "timed_colour--a"},
            seconds=4, out=tmp_path / "more", start_from=(folder,),
        )  # fmt: skip
        result = results.trainings["timed_colour--b"]
        made = read_checkpoint(tmp_path / "more" / "timed_colour--b.json")
        assert {t.dtype for t in load_file(made.path).values()} == {torch.float16}
        assert made.card.licence == "MIT"
        assert made.card.held_out_loss == result.held_out_loss > 0
        assert made.card.held_out_loss_of_start == pytest.approx(
            first.trainings["timed_colour--a"].held_out_loss, rel=0.05
        )
        assert made.card.start.startswith("timed_colour--a")
        assert made.card.start_seconds == pytest.approx(start.card.seconds)
        assert made.describe().training.held_out_loss == made.card.held_out_loss
        made.tensors()  # its checksum is that of the card
        with Image.open(tmp_path / "more" / result.sheet) as sheet:
            # a column of contents and one per style, a row of styles and four of contents
            assert sheet.size == (2 * 36 - 4, 5 * 36 - 4)


@pytest.mark.gpu
@pytest.mark.usefixtures("network_weights")
def test_trainings_on_a_gpu_run_together_and_are_written(call, tmp_path):
    """A training of several phases, and two of one, with graphs, held-out losses and sheets."""
    johnson = {"method": "johnson_2016:width=0.125", "start": "new", "size": 64, "style_size": 64}
    results = call(
        {**johnson, "name": "a"},
        {**johnson, "name": "b", "share": 2},
        {"method": "wct_2017:feature_weight=0.05", "name": "w", "size": 64, "batch": 2},
        seconds=40, together=2, device="cuda",
    )  # fmt: skip
    for result in results.trainings.values():
        assert result.status == "done", result
        assert result.held_out_loss > 0
        assert (tmp_path / "out" / result.sheet).is_file()
        card = read_checkpoint(tmp_path / "out" / f"{result.name}.json").card
        assert card.steps == result.steps > 100
    a, b, _ = results.trainings.values()
    assert b.seconds == pytest.approx(2 * a.seconds, rel=0.2)
    assert a.last_loss < a.first_loss


class TestCommand:
    def run(self, file, contents, out, *more):
        arguments = [
            "checkpoints", "train", "--list", file, "--contents", contents, "--out", out,
            "--held-out", 2, "--device", "cpu", "--threads", 1, "--plugin", TIMED, *more,
        ]  # fmt: skip
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    def test_it_ends_in_a_table(self, listed, picture_folders, tmp_path):
        out = tmp_path / "out"
        ended = self.run(
            listed({"name": "a"}, {"name": "b"}),
            picture_folders[0],
            out,
            "--minutes",
            0.12,
            "--together",
            2,
        )
        assert ended.exit_code == 0, ended.output
        rows = json.loads((out / "trainings" / "results.json").read_text())["trainings"]
        for name, row in rows.items():
            (line,) = [line for line in ended.stdout.splitlines() if name in line][:1]
            cells = [cell.strip() for cell in line.split("│")]
            assert cells[1] == name
            assert cells[2] == f"{row['steps']:,}"
            assert cells[6] == f"{row['last_loss']:.4g}"
            assert cells[7] == f"{row['held_out_loss']:.4g}"

    def test_a_failure_ends_with_1(self, listed, picture_folders, tmp_path):
        ended = self.run(
            listed({"name": "a", "method": "timed_colour:fails_at=0"}),
            picture_folders[0], tmp_path / "out", "--minutes", 0.06,
        )  # fmt: skip
        assert ended.exit_code == 1
        assert "failed" in ended.stdout

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--minutes", 0], "--minutes 0"),
            (["--minutes", 1, "--start-from", "no/such/folder"], "--start-from no/such/folder"),
            (["--minutes", 1, "--only", "unknown"], "--only unknown"),
        ],
    )
    def test_mistakes(self, listed, picture_folders, tmp_path, more, message):
        ended = self.run(listed({"name": "a"}), picture_folders[0], tmp_path / "out", *more)
        assert isinstance(ended.exception, UsageError)
        assert message in str(ended.exception)
