"""Several trainings in one process, compared with each by itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from nstbench.cli.app import app
from nstbench.core.errors import UsageError
from nstbench.core.isolation import isolated
from nstbench.plan.listener import Listener
from nstbench.plugins import registry
from nstbench.training.job import Job, finish, jobs, prepare
from nstbench.training.loop import TrainingError
from nstbench.training.order import build_order
from nstbench.training.steps.buffers import Steps
from nstbench.training.together import run_in_turns, train

TOY = Path(__file__).parents[1] / "support" / "toy_colour.py"


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    monkeypatch.setenv("NSTBENCH_CHECKPOINTS", str(tmp_path / "installed"))
    registry.add_file(TOY)


@pytest.fixture
def job(picture_folders, tmp_path):
    contents, styles = picture_folders

    def make(place: str, method: str = "toy_colour", **options) -> Job:
        given = {
            "contents": str(contents), "styles": str(styles), "style": ("s0",), "steps": 12,
            "save_every": 4, "device": "cpu", "threads": 1, "out": tmp_path / place, **options,
        }  # fmt: skip
        (made,) = jobs(build_order(method, given))
        return made

    return make


class Counter(Listener):
    def __init__(self) -> None:
        self.steps = 0

    def advanced(self) -> None:
        self.steps += 1


@pytest.mark.usefixtures("network_weights")
def test_trainings_in_turns_equal_each_alone(job):
    """Their weights are equal bit for bit; the last one begins when another one has ended."""
    kinds = [
        {},
        {"style": ("s1",), "steps": 7, "seed": 3},
        {"method": "cyclegan_2017:width=4,blocks=6", "size": 32, "batch": 2, "steps": 5},
        {"method": "dumoulin_2017:width=0.125", "size": 32, "batch": 2, "steps": 4},
    ]
    alone, listener = [], Counter()
    with isolated(1):
        for kind in kinds:
            made, failed = run_in_turns([job("alone", **kind)], 1, Listener())
            assert not failed
            alone.append(made[0])
        together, failed = run_in_turns([job("together", **kind) for kind in kinds], 3, listener)
    assert not failed
    assert listener.steps == 12 + 7 + 5 + 4
    assert sorted(together) == [0, 1, 2, 3]
    together = [together[index] for index in range(4)]
    for one, other in zip(alone, together, strict=True):
        assert one.card.sha256 == other.card.sha256
        assert one.card.steps == other.card.steps
    ends = [each.card.loss_curve[-1] for each in (alone[3], together[3])]
    assert {**ends[0], "seconds": 0} == {**ends[1], "seconds": 0}


def test_trainings_share_pictures(job):
    loops = [prepare(job("out", style=(name,)), Listener()) for name in ("s0", "s1")]
    one, other = (loop.source.contents.pictures for loop in loops)
    assert one is other


def test_a_loop_is_finished_before_its_last_step(job):
    """A budget of time can end a training earlier; the card has the steps that were done."""
    one = job("out")
    with isolated(1):
        loop = prepare(one, Listener())
        assert loop.advance(5) == 5
        loop.save(sheet=False)
        assert finish(one, loop).card.steps == 5
        again = prepare(one, Listener())
        assert again.done == 5
        assert again.advance(100) == 7
        assert again.advance(100) == 0
        again.set_total(14)
        assert again.advance(100) == 2
    assert again.seconds > loop.seconds


def test_the_number_of_steps_may_change_while_a_training_runs(job):
    """WCT then shares the new number out among its levels, CycleGAN lowers its rate later."""
    one = job("out", method="cyclegan_2017:width=4,blocks=6", size=32, batch=1, steps=4)
    with isolated(1):
        loop = prepare(one, Listener())
        loop.advance(3)
        rates = [group["lr"] for group in loop.training.optimisers["generators"].param_groups]
        assert rates == [pytest.approx(1e-4)]
        loop.set_total(100)
        loop.advance(1)
        rates = [group["lr"] for group in loop.training.optimisers["generators"].param_groups]
        assert rates == [pytest.approx(2e-4)]


def test_a_training_that_fails_does_not_stop_the_others(job):
    several = [job("good"), job("bad", learning_rate=1e30, precision="float32"), job("next")]
    with isolated(1):
        made, failed = run_in_turns(several, 2, Listener())
    assert {index: checkpoint.card.steps for index, checkpoint in made.items()} == {0: 12, 2: 12}
    assert list(failed) == [1]
    assert isinstance(failed[1], TrainingError)
    assert "finite" in str(failed[1])


def test_too_little_memory_for_one_training_is_explained(job, monkeypatch):
    run = Steps.run

    def fails(self, index):
        if index == 3 and self.source.seed == 7:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        run(self, index)

    monkeypatch.setattr(Steps, "run", fails)
    with isolated(1):
        made, failed = run_in_turns([job("one"), job("other", seed=7)], 2, Listener())
    assert list(made) == [0]
    assert re.search(r"toy_colour--s0: out of memory at step 3.*--at-once", str(failed[1]))


def test_steps_use_no_global_generator(job):
    with isolated(1):
        loop = prepare(job("out"), Listener())
        before = torch.get_rng_state()
        loop.advance(12)
        assert torch.equal(torch.get_rng_state(), before)


def test_the_command_takes_several_methods(picture_folders, tmp_path):
    contents, styles = map(str, picture_folders)
    common = [
        "--contents", contents, "--styles", styles, "--steps", "2", "--size", "32", "--batch", "1",
        "--device", "cpu", "--threads", "1", "--plugin", str(TOY),
    ]  # fmt: skip
    methods = "toy_colour,toy_colour:bias=false"
    result = CliRunner().invoke(app, ["train", methods, *common, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    written = sorted(path.stem for path in (tmp_path / "out").glob("*.safetensors"))
    assert len(written) == 4
    assert written[:1] == ["toy_colour--s0"]
    result = CliRunner().invoke(app, ["train", methods, *common, "--name", "mine"])
    assert isinstance(result.exception, UsageError)
    assert "--name" in str(result.exception)


@pytest.mark.gpu
@pytest.mark.usefixtures("network_weights")
def test_trainings_at_once_on_a_gpu_are_those_alone(picture_folders, tmp_path):
    """GPUs add in any order, so losses differ a little."""
    contents, styles = map(str, picture_folders)
    losses = []
    for at_once in (1, 4):
        given = {
            "contents": contents, "styles": styles, "steps": 12, "size": 64, "batch": 2,
            "save_every": 12, "device": "cuda", "out": tmp_path / str(at_once), "at_once": at_once,
        }  # fmt: skip
        orders = [
            build_order(name, given)
            for name in ("johnson_2016:width=0.25", "dumoulin_2017:width=0.25")
        ]
        made = train(*orders)
        assert [each.card.steps for each in made] == [12] * 3
        losses.append([each.card.loss_curve[-1]["total"] for each in made])
    assert losses[0] == pytest.approx(losses[1], rel=0.1)
