"""Score 100 outputs on 14 pairs, against the version before UEF 2, which had no bar.

The older version is taken from the history of the repository. Each version runs in a process of
its own, two threads each, and the processes score the same folder in turns.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from measure import add_row
from PIL import Image
from reference import independent

from nstbench.nn.weights import cache

pytestmark = pytest.mark.usefixtures("on_cpu")

BEFORE = "3f5388b"
"""The last commit before UEF 2."""

METRICS = (
    "color_distance", "content_error", "content_loss", "fd_vgg16", "gram_distance",
    "lpips_alex", "lpips_vgg", "self_similarity", "ssim", "style_error", "style_loss", "swd_style",
    "uef",
)  # fmt: skip
"""The metrics of outputs at that commit."""

WITH_BAR = (*METRICS, "beats_bar", "total_error")

LIMIT = 1.25
SIDE = 256
CONTENTS, STYLES, OUTPUTS = 2, 7, 100
ROUNDS = 5
THREADS = 2
ROOT = Path(__file__).parents[2]


def write_pictures(root: Path) -> None:
    """Write 2 contents, 7 styles, and 100 outputs of 8 methods, the last one incomplete."""
    rng = np.random.default_rng(0)
    scene, texture = independent.scene(SIDE, SIDE), independent.texture(SIDE, SIDE)
    contents = [np.roll(scene, 90 * k, axis=1) for k in range(CONTENTS)]
    styles = [np.roll(texture[..., ::-1] * (1 - 0.08 * k), k, axis=2) for k in range(STYLES)]
    for role, pictures in (("contents", contents), ("styles", styles)):
        for k, pixels in enumerate(pictures):
            save(root / role / f"{k}.png", pixels + rng.integers(0, 20, pixels.shape))
    for k in range(OUTPUTS):
        method, pair = divmod(k, CONTENTS * STYLES)
        c, s = divmod(pair, STYLES)
        mixed = 0.6 * contents[c] + 0.4 * np.roll(styles[s], 9 * method + 5, axis=(0, 1))
        save(root / f"outputs/{method}/{c}__{s}.png", mixed + rng.normal(0, 4, mixed.shape))


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def check_out(commit: str, folder: Path) -> None:
    """Write the files of a commit, or skip if the history is not there."""
    made = subprocess.run(
        ["git", "archive", "--format=tar", commit], cwd=ROOT, capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"the repository has no commit {commit}; fetch its whole history")
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        archive.extractall(folder, filter="data")


@contextmanager
def scorer(
    tree: Path, pictures: Path, out: Path, metrics: tuple[str, ...]
) -> Iterator[subprocess.Popen[str]]:
    """Start a process that scores the pictures once for each line; see ``scoring_rounds``."""
    (out / "cache").mkdir(parents=True)
    (out / "cache/weights").symlink_to(cache.cache_folder())
    program = Path(__file__).with_name("scoring_rounds.py")
    process = subprocess.Popen(
        [sys.executable, str(program), str(tree), str(pictures), str(out), ",".join(metrics)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tree,
        env=os.environ
        | {
            "OMP_NUM_THREADS": str(THREADS),
            "PYTHONPATH": str(tree),
            "NSTBENCH_CACHE": str(out / "cache"),
        },
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def seconds(process: subprocess.Popen[str]) -> float:
    """Let a process score once, and return the seconds."""
    assert process.stdin is not None
    assert process.stdout is not None
    print(file=process.stdin, flush=True)
    line = process.stdout.readline()
    assert line, "the process has ended"
    whole, _, factors = line.split()
    # a refused pair would cost nothing
    assert int(factors) == OUTPUTS
    return float(whole)


@pytest.mark.bench
@pytest.mark.timeout(1800)
@pytest.mark.benchmark(group="scoring 100 outputs on 14 pairs, 256 px")
def test_bars_cost_at_most_a_quarter_of_scoring(benchmark, tmp_path, network_weights):
    write_pictures(tmp_path / "pictures")
    check_out(BEFORE, tmp_path / "before")
    rounds: list[tuple[float, float]] = []
    with (
        scorer(
            tmp_path / "before", tmp_path / "pictures", tmp_path / "before_runs", METRICS
        ) as old,
        scorer(ROOT, tmp_path / "pictures", tmp_path / "runs", WITH_BAR) as new,
    ):
        # the first round reads the weights
        seconds(old)
        seconds(new)

        def one_round() -> None:
            before = seconds(old)
            rounds.append((seconds(new), before))

        benchmark.pedantic(one_round, rounds=ROUNDS)
    row = add_row(
        benchmark,
        rounds,
        case=f"Scoring {OUTPUTS} outputs on {CONTENTS * STYLES} pairs, bars included, {SIDE} px",
        compared_with="the version before UEF 2",
        limit=LIMIT,
    )
    assert row.ratio <= row.limit
