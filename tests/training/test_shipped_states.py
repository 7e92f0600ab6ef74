"""Checkpoints that nstbench ships can be trained further on a CPU."""

from __future__ import annotations

import time

import pytest
import yaml

from nstbench.contracts import Role
from nstbench.plan.variants import open_dataset
from nstbench.training.listed.conduct import train_list
from nstbench.training.listed.planned import Options
from nstbench.training.listed.shares import Deadline

SECONDS = 60.0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("network_weights")
def test_a_shipped_network_goes_on_for_two_minutes_and_gets_better(tmp_path, monkeypatch):
    """Two calls of a minute; the loss is that of photographs that are not in the training."""
    monkeypatch.setenv("NSTBENCH_CHECKPOINTS", str(tmp_path / "none"))
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for record in open_dataset("starter", "starter").load(Role.CONTENT).images:
        (photographs / record.path.name).write_bytes(record.path.read_bytes())
    listed = tmp_path / "list.yaml"
    entry = {
        "method": "johnson_2016:width=0.5", "style": ["mosaic"], "size": 96, "batch": 2,
        "style_size": 192,
    }  # fmt: skip
    listed.write_text(yaml.safe_dump({"version": 1, "licence": "MIT", "trainings": [entry]}))
    options = Options(
        contents=str(photographs), out=tmp_path / "out", device="cpu", threads=1, held_out=2
    )
    steps = []
    for _ in range(2):
        results = train_list(listed, options, Deadline(SECONDS, time.monotonic()))
        result = results.trainings["johnson_2016--mosaic"]
        steps.append(result.steps)
    assert 0 < steps[0] < steps[1]
    assert result.start == "johnson_2016--mosaic"
    assert 0 < result.held_out_loss < result.held_out_loss_of_start
