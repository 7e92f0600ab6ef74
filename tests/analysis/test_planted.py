"""Planted regressions in real runs are found, and runs without one pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import nstbench
from nstbench.analysis.regression.baseline import Baseline, from_board
from nstbench.analysis.regression.check import CheckResult, check
from nstbench.analysis.regression.processor_kinds import Kind, kind_of
from nstbench.analysis.regression.tolerances import Speed, parse_tolerances
from nstbench.plan.config_file import build_config

WORKER = '''
"""Convolves, then sleeps for a share of the time that took."""

import time

import torch
import torch.nn.functional as F
from pydantic import Field

from nstbench.contracts import Method, MethodInfo, Parameters
from nstbench.core.records import Flexibility


class Toiling(Method):
    """Work of some tens of milliseconds."""

    info = MethodInfo(title="Toiling", authors="A", year=2026, paper="https://example.org",
                      family="toy", flexibility=Flexibility.ARBITRARY)

    class Params(Parameters):
        nap: float = Field(0.0, ge=0, description="share of its own time that it sleeps")

    def prepare(self, style):
        pass

    def stylize(self, content, *, generator, on_step):
        start = time.thread_time()
        kernel = torch.full((64, 64, 3, 3), 1 / 576)
        planes = content.pixels.mean(1, keepdim=True).expand(1, 64, -1, -1)
        for _ in range(24):
            planes = F.conv2d(planes, kernel, padding=1)
        if self.params.nap:
            time.sleep(self.params.nap * (time.thread_time() - start))
        return planes[:, :3].clamp(0, 1).contiguous()
'''


def compared(run: Baseline, baseline: Baseline, *fail_on: str) -> CheckResult:
    return check(run, baseline, parse_tolerances(fail_on, baseline.metrics))


def elsewhere(baseline: Baseline) -> Baseline:
    """Return a baseline as if it had been measured on a processor of another kind."""
    facts = {"device_name": "another processor", "simd": "none"}
    entries = tuple(
        replace(e, timing=replace(e.timing, environment={**e.timing.environment, **facts}))
        for e in baseline.entries
        if e.timing is not None
    )
    assert {kind_of(e.timing) for e in entries} == {Kind(*facts.values())}
    return replace(baseline, entries=entries)


@pytest.mark.slow
@pytest.mark.alone
def test_a_nap_of_30_percent_is_caught(picture_folders, tmp_path: Path) -> None:
    contents, styles = map(str, picture_folders)
    plugin = tmp_path / "toiling.py"
    plugin.write_text(WORKER)

    def toil(name: str, nap: float) -> Baseline:
        board = nstbench.run(
            [{"name": "toiling", "label": "toiling", "params": {"nap": nap}}],
            contents, styles, plugins=(plugin,), size=96, limit=1, metrics="color_distance,latency",
            timing_repeats=12, threads=1, device="cpu", formats=(), out=tmp_path / name,
        )  # fmt: skip
        return from_board(board)

    baseline = toil("baseline", 0.0)
    honest = compared(toil("honest", 0.0), baseline, "latency:+15%")
    assert honest.exit_code == 0, honest.findings
    planted = compared(toil("planted", 0.3), baseline, "latency:+15%")
    found = planted.findings[-1]
    assert (found.metric, found.verdict) == ("latency", "regression"), found
    assert found.change == pytest.approx(0.3, abs=0.15)


@pytest.mark.slow
@pytest.mark.usefixtures("network_weights")
def test_a_style_weight_of_20_percent_more_or_less_is_caught(tmp_path: Path) -> None:
    params = build_config({}, suite="regression").method_params["gatys_2015"]
    fail_on = "uef:+2% content_error:+2% style_error:+2%"

    def paint(name: str, style_weight: float) -> Baseline:
        # A larger weight of the style is a smaller weight of the content.
        changed = {**params, "alpha_beta": params["alpha_beta"] / style_weight}
        board = nstbench.run(
            "gatys_2015", suite="regression", out=tmp_path / name, timing_repeats=1,
            metrics="uef,content_error,style_error,latency", device="cpu", formats=(),
            method_params={"gatys_2015": changed},
        )  # fmt: skip
        return from_board(board)

    baseline = paint("baseline", 1.0)
    honest = paint("honest", 1.0)
    assert compared(honest, baseline, fail_on).exit_code == 0
    tolerances = parse_tolerances([], baseline.metrics)
    assert check(honest, elsewhere(baseline), tolerances, speed=Speed.IF_KNOWN).exit_code == 0
    for style_weight, metric in ((1.2, "content_error"), (0.8, "style_error")):
        planted = paint(f"weight{style_weight}", style_weight)
        result = compared(planted, baseline, fail_on)
        found = {finding.metric: finding for finding in result.findings}
        assert found[metric].verdict == "regression", result.findings
        assert "changed: alpha_beta" in found[metric].reason
        assert result.exit_code == 1
        # the committed baseline meets processors of which it has no samples: quality still decides
        result = check(planted, elsewhere(baseline), tolerances, speed=Speed.IF_KNOWN)
        found = {finding.metric: finding for finding in result.findings}
        assert found["latency"].excused
        assert found[metric].verdict == "regression", result.findings
        assert result.exit_code == 1
