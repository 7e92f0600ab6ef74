"""False alarms of regression checks on a busy machine.

``make soak`` runs it. NSTBENCH_SOAK_RUNS is the number of runs (default 40),
NSTBENCH_SOAK_METHODS the methods of the regression suite to run (default all).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest

import nstbench
from nstbench.analysis.regression.baseline import from_board
from nstbench.analysis.regression.check import check
from nstbench.analysis.regression.check_rows import Verdict
from nstbench.analysis.regression.tolerances import parse_tolerances
from nstbench.plan.config_file import build_config

RUNS = int(os.environ.get("NSTBENCH_SOAK_RUNS", "40"))
METHODS = os.environ.get("NSTBENCH_SOAK_METHODS")


@pytest.fixture
def hog():
    """Run a program that keeps one core busy, like another job of a CI machine."""
    code = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**6))"
    process = subprocess.Popen([sys.executable, "-c", code])
    yield
    process.kill()
    process.wait()


def regression_run(folder):
    settings = {} if METHODS is None else {"methods": METHODS}
    board = nstbench.run(suite="regression", out=folder, **settings)
    shutil.rmtree(folder)
    return from_board(board)


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
def test_unchanged_runs_on_a_busy_machine_raise_no_alarm(tmp_path, request):
    baseline = regression_run(tmp_path / "baseline")
    request.getfixturevalue("hog")
    speed_metrics = {n for n, facts in baseline.metrics.items() if facts.role == "speed"}
    tolerances = parse_tolerances([], baseline.metrics)
    quality, speed, ratios = [], [], {}
    for index in range(RUNS):
        started = time.monotonic()
        result = check(regression_run(tmp_path / f"run{index}"), baseline, tolerances)
        assert not result.of(Verdict.NOT_COMPARABLE)
        alarms = result.of(Verdict.REGRESSION)
        if alarms:
            # As in `make regression`, an alarm counts only if a second run confirms it.
            again = check(regression_run(tmp_path / f"again{index}"), baseline, tolerances)
            print(f"run {index}, first alarms: {[finding.label for finding in alarms]}", flush=True)
            alarms = again.of(Verdict.REGRESSION)
        for finding in alarms:
            (speed if finding.metric in speed_metrics else quality).append((index, finding))
        for finding in result.findings:
            if finding.metric in speed_metrics:
                ratios.setdefault(finding.method, []).append(finding.after / finding.before)
        print(
            f"run {index}: {time.monotonic() - started:.0f} s, load {os.getloadavg()[0]:.1f},",
            {name: round(values[-1], 3) for name, values in ratios.items()},
            f"quality alarms {len(quality)}, speed alarms {len(speed)}",
            flush=True,
        )
    for name, values in ratios.items():
        print(f"{name}: speed ratios {min(values):.3f} to {max(values):.3f} in {RUNS} runs")
    assert not quality, quality
    assert len(speed) <= 1, speed


def test_the_regression_suite_can_decide():
    """The suite has enough pairs for significance after the correction for all rows."""
    config = build_config({}, suite="regression")
    pairs = config.limit * config.contents_per_style
    rows = len(config.methods) * 4
    assert 0.5**pairs * rows < 0.05
    assert config.threads == 1
