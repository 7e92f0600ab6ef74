"""Kinds of processors: quality is checked on all, speed against samples of the same kind."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import junit_schema
import pytest
from fake_board import FakeRun
from typer.testing import CliRunner

from nstbench.analysis.regression.baseline import Baseline, from_board, load_baseline, save_baseline
from nstbench.analysis.regression.check import CheckResult, check
from nstbench.analysis.regression.check_rows import Verdict
from nstbench.analysis.regression.processor_kinds import Kind, kind_of, of_kind
from nstbench.analysis.regression.tolerances import Speed, parse_tolerances
from nstbench.cli.app import app
from nstbench.core.environment import describe_environment
from nstbench.core.errors import UsageError
from nstbench.report.check_files import github_annotations, junit
from nstbench.report.parts.check_text import moves

INTEL = Kind("Xeon", "AVX512")
EPYC_2 = Kind("EPYC", "AVX2")
EPYC_512 = Kind("EPYC", "AVX512")
METHODS = 7


def on(side: Baseline, kind: Kind, factor: float = 1.0) -> Baseline:
    """Return a baseline as a processor of that kind measures it, slower by a factor."""
    entries = []
    for entry in side.entries:
        facts = {"device_name": kind.model, "simd": kind.simd, "threads": 1}
        latency = tuple(factor * seconds for seconds in entry.timing.latency)
        timing = dataclasses.replace(entry.timing, environment=facts, latency=latency)
        entries.append(dataclasses.replace(entry, timing=timing))
    return dataclasses.replace(side, entries=tuple(entries))


def worse(side: Baseline) -> Baseline:
    """Return a baseline with errors that are 10 % larger, on every pair of every method."""
    entries = tuple(
        dataclasses.replace(e, scores=e.scores | {"uef": tuple(1.1 * v for v in e.scores["uef"])})
        for e in side.entries
    )
    return dataclasses.replace(side, entries=entries)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    found = from_board(
        FakeRun(tmp_path_factory.mktemp("fake"), contents=4, styles=3, fail=0).board()
    )
    entries = []
    for entry in found.entries:
        # no two samples alike, all above the resolution of a timing
        latency = tuple(1 + 0.001 * i for i in range(12))
        timing = dataclasses.replace(entry.timing, latency=latency, latency_waits=())
        entries.append(dataclasses.replace(entry, timing=timing))
    return dataclasses.replace(found, entries=tuple(entries))


def compare(run: Baseline, baseline: Baseline, speed: Speed = Speed.REQUIRED) -> CheckResult:
    return check(run, baseline, parse_tolerances([], baseline.metrics), speed=speed)


def test_kinds_agree_where_no_known_fact_differs() -> None:
    assert INTEL.agrees(INTEL)
    assert INTEL.agrees(Kind("Xeon", ""))
    assert Kind("", "AVX512").agrees(INTEL)
    assert not INTEL.agrees(EPYC_512)
    assert not EPYC_2.agrees(EPYC_512)
    assert [str(INTEL), str(Kind("H100", "")), str(Kind("", ""))] == [
        "Xeon, AVX512", "H100", "unknown",
    ]  # fmt: skip


def test_a_gpu_is_its_model_whatever_the_processor_beside_it(plain: Baseline) -> None:
    timing = plain.entries[0].timing
    facts = {"device_name": "H100", "simd": "AVX2"}
    gpu = dataclasses.replace(timing, device="cuda:0", environment=facts)
    assert kind_of(gpu) == Kind("H100", "")
    assert kind_of(dataclasses.replace(gpu, device="cpu")) == Kind("H100", "AVX2")


def test_an_equal_kind_comes_before_one_that_agrees(plain: Baseline) -> None:
    old, exact = (on(plain, kind).entries[0].timing for kind in (Kind("EPYC", ""), EPYC_2))
    assert of_kind([old, exact], EPYC_2) is exact
    assert of_kind([old], EPYC_2) is old
    assert of_kind([old, exact], INTEL) is None


def test_the_environment_names_the_vector_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    assert describe_environment("cpu")["simd"] == torch.backends.cpu.get_cpu_capability()


@pytest.mark.parametrize("kind", [EPYC_2, EPYC_512])
def test_speed_is_not_compared_on_an_unknown_kind(plain: Baseline, kind: Kind) -> None:
    # 1.3 times as many kernels would be a regression of one machine
    run, baseline = on(plain, kind, 1.3), on(plain, INTEL)
    result = compare(run, baseline)
    lost = result.of(Verdict.NOT_COMPARABLE)
    assert {f.metric for f in lost} == {"latency"}
    assert len(lost) == METHODS
    assert f"no samples of this kind of processor ({kind}), only of {INTEL}" in lost[0].reason
    assert result.exit_code == 2
    assert not any(f.excused for f in lost)
    known = compare(run, baseline, Speed.IF_KNOWN)
    assert known.exit_code == 0
    assert [f.excused for f in known.findings] == [f.metric == "latency" for f in known.findings]
    assert moves(known) == ()
    off = compare(run, baseline, Speed.OFF)
    assert off.exit_code == 0
    assert "latency" not in {f.metric for f in off.findings}
    assert len(off.findings) == len(result.findings) - METHODS


def test_the_same_kind_is_compared_whatever_the_option(plain: Baseline) -> None:
    for speed in (Speed.REQUIRED, Speed.IF_KNOWN):
        result = compare(on(plain, EPYC_2, 1.3), on(plain, EPYC_2), speed)
        assert len(result.of(Verdict.REGRESSION)) == METHODS
        assert result.exit_code == 1


def test_worse_quality_is_found_on_an_unknown_kind(plain: Baseline) -> None:
    for speed in Speed:
        result = compare(worse(on(plain, EPYC_2)), on(plain, INTEL), speed)
        assert {f.metric for f in result.of(Verdict.REGRESSION)} == {"uef"}
        assert result.exit_code == 1


def test_nothing_else_is_excused(plain: Baseline) -> None:
    run, baseline = on(plain, EPYC_2), on(plain, INTEL)
    fewer = dataclasses.replace(run, entries=run.entries[1:])
    assert compare(fewer, baseline, Speed.IF_KNOWN).exit_code == 2
    entries = tuple(dataclasses.replace(e, timing=None) for e in run.entries)
    untimed = dataclasses.replace(run, entries=entries)
    assert compare(untimed, baseline, Speed.IF_KNOWN).exit_code == 2


def test_an_update_adds_a_kind_and_keeps_the_others(plain: Baseline, tmp_path: Path) -> None:
    file, new = tmp_path / "base.json", tmp_path / "new.json"
    save_baseline(on(plain, INTEL), file)
    for kind, factor in ((EPYC_2, 1.3), (EPYC_512, 0.7)):
        save_baseline(on(plain, kind, factor), new)
        arguments = ["baseline", "update", new, file, "--reason", f"samples of {kind}"]
        found = CliRunner().invoke(app, list(map(str, arguments)))
        assert found.exit_code == 0, found.output
        assert "0 rows changed" in found.output
    both = load_baseline(file)
    assert both.kinds == (EPYC_512, EPYC_2, INTEL)
    for kind, factor in ((INTEL, 1.0), (EPYC_2, 1.3), (EPYC_512, 0.7)):
        assert compare(on(plain, kind, factor), both).exit_code == 0
        slower = compare(on(plain, kind, 1.3 * factor), both)
        assert len(slower.of(Verdict.REGRESSION)) == METHODS, kind
    # the same kind again replaces its samples
    again = on(plain, EPYC_2, 1.1).with_update("again", (), both)
    assert sorted(map(str, again.kinds)) == sorted(map(str, both.kinds))
    assert again.entries[0].timing.latency[0] == pytest.approx(1.1)
    assert len(again.entries[0].timings) == 3


def test_samples_of_other_parameters_are_not_kept(plain: Baseline) -> None:
    run = on(plain, EPYC_2)
    first = dataclasses.replace(run.entries[0], params={**run.entries[0].params, "iterations": 7})
    before = on(plain, INTEL)
    changed = dataclasses.replace(run, entries=(first, *run.entries[1:]))
    updated = changed.with_update("twice the iterations", (), before)
    assert [len(entry.timings) for entry in updated.entries] == [1] + [2] * (METHODS - 1)
    added = dataclasses.replace(run.entries[0], params={**run.entries[0].params, "new": 7})
    assert len(added.with_samples_of(before.entries[0]).timings) == 2


def test_files_of_a_check_tell_excused_rows(plain: Baseline) -> None:
    result = compare(on(plain, EPYC_2), on(plain, INTEL), Speed.IF_KNOWN)
    text = junit(result)
    assert junit_schema.problems(text) == []
    assert text.count("<skipped ") == METHODS
    assert 'errors="0"' in text
    assert 'errors="1"' not in text
    lines = github_annotations(result)
    assert len(lines) == METHODS
    assert all(line.startswith("::notice ") for line in lines)


def test_the_option_of_the_command(plain: Baseline, tmp_path: Path) -> None:
    base, run = tmp_path / "base.json", tmp_path / "run.json"
    save_baseline(on(plain, INTEL), base)
    save_baseline(on(plain, EPYC_2, 1.3), run)

    def call(*options: str):
        arguments = ["check", str(run), "--baseline", str(base), *options]
        return CliRunner().invoke(app, arguments)

    assert call().exit_code == 2
    assert call("--speed", "if-known").exit_code == 0
    assert call("--speed", "off").exit_code == 0
    assert call("--only", "uef").exit_code == 0
    error = call("--speed", "if-knwon").exception
    assert isinstance(error, UsageError)
    assert "Did you mean 'if-known'" in str(error)
    out = tmp_path / "check.json"
    assert call("--speed", "if-known", "--out", str(out)).exit_code == 0
    assert sum(row["excused"] for row in json.loads(out.read_text())["findings"]) == METHODS
