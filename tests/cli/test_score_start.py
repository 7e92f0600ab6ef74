"""Scoring one small picture imports and loads only what it needs."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

SLOW_TO_IMPORT = ("scipy.stats", "torchmetrics", "torchvision", "matplotlib", "datasets", "ray")


@pytest.fixture
def command(tmp_path):
    rng = np.random.default_rng(0)
    for folder, name in (("c", "a"), ("s", "m"), ("o", "a__m")):
        (tmp_path / folder).mkdir()
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    return [
        "-m", "nstbench", "score", "--outputs", str(tmp_path / "o" / "{content}__{style}.png"),
        "--name", "mine", "--contents", str(tmp_path / "c"), "--styles", str(tmp_path / "s"),
        "--out", str(tmp_path / "run"), "--device", "cpu", "--metrics", "ssim",
    ]  # fmt: skip


def test_scoring_one_picture_imports_only_what_it_needs(command):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert "torch" in imported
    assert imported.isdisjoint(SLOW_TO_IMPORT)


@pytest.mark.alone
def test_scoring_one_picture_takes_little_more_than_the_import_of_torch(command):
    """Seconds of the processor, which other programs change less than those of the clock."""
    imports = min(processor_seconds(["-c", "import torch, pandas"]) for _ in range(3))
    ours = min(processor_seconds(command) for _ in range(3))
    assert ours <= 2.5 * imports


def processor_seconds(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
