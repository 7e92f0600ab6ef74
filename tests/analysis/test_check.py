"""Checks of a run against a baseline: regressions, rows that are fine or not comparable."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import junit_schema
import numpy as np
import pytest
from fake_board import FakeRun
from scipy import stats as reference
from typer.testing import CliRunner

from nstbench.analysis.regression.baseline import Baseline, from_board, save_baseline
from nstbench.analysis.regression.check import CheckResult, check
from nstbench.analysis.regression.check_rows import Finding, Verdict
from nstbench.analysis.regression.one_sided_tests import signed_rank_p
from nstbench.analysis.regression.tolerances import parse_tolerances
from nstbench.analysis.relative_speed import relative_latency
from nstbench.cli.app import app
from nstbench.core.errors import UsageError
from nstbench.report.check_files import github_annotations, junit, markdown, write_check
from nstbench.report.parts.check_text import moves

ROWS = 7 * 4


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    folder = tmp_path_factory.mktemp("fake")
    found = from_board(FakeRun(folder, contents=4, styles=3, fail=0).board())
    rng = np.random.default_rng(3)
    for entry in found.entries:
        found = with_timing(found, entry.method, latency=tuple(rng.normal(1, 0.02, 12)))
    return found


def entry_of(baseline: Baseline, method: str):
    return next(entry for entry in baseline.entries if entry.method == method)


def with_entry(baseline: Baseline, method: str, /, **changes) -> Baseline:
    entries = tuple(
        dataclasses.replace(entry, **changes) if entry.method == method else entry
        for entry in baseline.entries
    )
    return dataclasses.replace(baseline, entries=entries)


def with_timing(baseline: Baseline, method: str, /, **changes) -> Baseline:
    timing = dataclasses.replace(entry_of(baseline, method).timing, **changes)
    return with_entry(baseline, method, timing=timing)


def with_scores(baseline: Baseline, method: str, metric: str, function) -> Baseline:
    scores = entry_of(baseline, method).scores
    values = tuple(function(i, value) for i, value in enumerate(scores[metric]))
    return with_entry(baseline, method, scores={**scores, metric: values})


def compare(run: Baseline, baseline: Baseline, *fail_on: str, **options) -> CheckResult:
    return check(run, baseline, parse_tolerances(fail_on, baseline.metrics), **options)


def row(result: CheckResult, method: str, metric: str) -> Finding:
    return next(f for f in result.findings if (f.method, f.metric) == (method, metric))


def test_a_run_is_fine_against_itself(baseline: Baseline) -> None:
    result = compare(baseline, baseline)
    assert {finding.verdict for finding in result.findings} == {Verdict.FINE}
    assert len(result.findings) == 7 * (4 + 1), "four metrics and the coverage of each method"
    assert result.exit_code == 0
    assert moves(result) == ()
    assert result.notes == ()


# --- quality -----------------------------------------------------------------------------


def test_a_change_on_every_pair_is_a_regression(baseline: Baseline) -> None:
    run = with_scores(baseline, "gatys_2015", "uef", lambda i, v: v * (1.03 + 0.001 * i))
    result = compare(run, baseline)
    found = row(result, "gatys_2015", "uef")
    assert result.of(Verdict.REGRESSION) == (found,)
    assert result.exit_code == 1
    # Of 2^12 patterns of signs, only one is as extreme.
    assert found.p == pytest.approx(0.5**12)
    assert found.p_holm == pytest.approx(min(1, ROWS * 0.5**12))
    assert found.change == pytest.approx(0.035, abs=0.004)
    improved = compare(baseline, run)
    assert row(improved, "gatys_2015", "uef").verdict is Verdict.BETTER
    assert improved.exit_code == 0


def test_a_regression_needs_both_the_tolerance_and_the_test(baseline: Baseline) -> None:
    small = with_scores(baseline, "gatys_2015", "uef", lambda i, v: v * 1.015)
    found = row(compare(small, baseline), "gatys_2015", "uef")
    assert found.p_holm < 0.05
    assert found.verdict is Verdict.FINE
    assert row(compare(small, baseline, "uef:+1%"), "gatys_2015", "uef").verdict == "regression"
    # Large changes, as often better as worse, can be chance.
    noisy = with_scores(
        baseline, "gatys_2015", "uef", lambda i, v: v * (1.3 if i % 2 else 0.9 - i / 100)
    )
    found = row(compare(noisy, baseline), "gatys_2015", "uef")
    assert found.change > 0.02
    assert found.verdict is Verdict.FINE
    assert "not significant" in found.reason


def test_metrics_of_which_more_is_better_fail_downwards(baseline: Baseline) -> None:
    run = with_scores(baseline, "gatys_2015", "ssim", lambda i, v: v - 0.05)
    assert row(compare(run, baseline, "ssim:-2%"), "gatys_2015", "ssim").verdict == "regression"
    assert row(compare(baseline, run, "ssim:2%"), "gatys_2015", "ssim").verdict == "better"


def test_rounding_is_not_a_change_even_if_the_baseline_is_zero(baseline: Baseline) -> None:
    run = with_scores(baseline, "content_copy", "content_error", lambda i, v: 1e-6)
    result = compare(run, baseline)
    assert row(result, "content_copy", "content_error").verdict is Verdict.FINE
    run = with_scores(baseline, "content_copy", "content_error", lambda i, v: 0.05 + i / 1000)
    assert row(compare(run, baseline), "content_copy", "content_error").verdict == "regression"


def test_signed_rank_agrees_with_all_patterns_of_signs(baseline: Baseline) -> None:
    factors = [1.05, 1.01, 0.985, 1.02, 1.03, 1.04, 0.99, 1.06, 1.07, 1.08, 1.09, 0.97]
    run = with_scores(baseline, "gatys_2015", "uef", lambda i, v: v * factors[i])
    old = entry_of(baseline, "gatys_2015").scores["uef"]
    new = entry_of(run, "gatys_2015").scores["uef"]
    differences = np.subtract(new, old)
    ranks = reference.rankdata(np.abs(differences))
    observed = ranks[differences > 0].sum()
    patterns = itertools.product((0, 1), repeat=len(ranks))
    share = np.mean([np.dot(pattern, ranks) >= observed - 1e-9 for pattern in patterns])
    assert row(compare(run, baseline), "gatys_2015", "uef").p == pytest.approx(share)


def test_ties_are_tested_exactly() -> None:
    steps = np.array([0.5, 0.5, -0.5, 1, 1, 1, -2, 2, 3, 3, -3, 4, 4, 5])
    ranks = reference.rankdata(np.abs(steps))
    patterns = np.array(list(itertools.product((0, 1), repeat=len(ranks))))
    share = np.mean(patterns @ ranks >= ranks[steps > 0].sum() - 1e-9)
    assert signed_rank_p(steps) == pytest.approx(share, rel=1e-12)
    untied = np.arange(1.0, 51) * np.where(np.arange(50) % 4, 1, -1)
    exact = reference.wilcoxon(untied, alternative="greater", method="exact").pvalue
    assert signed_rank_p(untied) == pytest.approx(exact, rel=1e-9)
    many = np.arange(1.0, 61) * np.where(np.arange(60) % 3, 1, -1)
    normal = reference.wilcoxon(many, alternative="greater", method="asymptotic").pvalue
    assert signed_rank_p(many) == pytest.approx(normal, rel=0.05), "both agree at the limit"
    longer = np.append(many, 61.0)
    normal = reference.wilcoxon(longer, alternative="greater", method="asymptotic").pvalue
    assert signed_rank_p(longer) == pytest.approx(normal)


def test_changes_of_all_pairs_are_found_among_200_rows(baseline: Baseline) -> None:
    """With one tie, a normal approximation gives p = 0.0005 at best for 14 of 14 pairs worse."""

    def of_200(side: Baseline, changes: tuple[float, ...]) -> Baseline:
        units = tuple((f"c{i:02d}", "s", 0, "done") for i in range(14))
        entry = entry_of(side, "gatys_2015")
        entries = tuple(
            dataclasses.replace(
                entry,
                method=f"m{i}",
                units=units,
                scores={"uef": tuple(1.0 + change * (i == 0) for change in changes)},
            )
            for i in range(200)
        )
        pictures = {
            "content": {u[0]: "x" for u in units},
            "style": {u[1]: "x" for u in units},
        }
        return dataclasses.replace(side, entries=entries, pictures=pictures)

    steps = (0.5, 0.5, *(0.5 + 0.125 * i for i in range(1, 13)))
    result = compare(of_200(baseline, steps), of_200(baseline, (0.0,) * 14), "uef:+2%")
    assert [f.method for f in result.of(Verdict.REGRESSION)] == ["m0"]


def test_few_pairs_are_not_comparable(baseline: Baseline) -> None:
    def only_two(side: Baseline) -> Baseline:
        entry = entry_of(side, "gatys_2015")
        scores = {name: values[:2] for name, values in entry.scores.items()}
        return with_entry(side, "gatys_2015", units=entry.units[:2], scores=scores)

    run = with_scores(baseline, "gatys_2015", "uef", lambda i, v: v * 2)
    result = compare(only_two(run), only_two(baseline))
    found = row(result, "gatys_2015", "uef")
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert "too few" in found.reason
    assert found.undecidable
    assert result.exit_code == 2
    better = row(compare(only_two(baseline), only_two(run)), "gatys_2015", "uef")
    assert (better.verdict, better.undecidable) == (Verdict.FINE, True)
    missing = row(compare(without_metric(baseline), baseline), "gatys_2015", "uef")
    assert (missing.verdict, missing.undecidable) == (Verdict.NOT_COMPARABLE, False)


def test_changed_settings_are_named_and_the_row_is_compared(baseline: Baseline) -> None:
    run = with_scores(baseline, "gatys_2015", "uef", lambda i, v: v * 1.1)
    run = with_entry(run, "gatys_2015", params={"iterations": 300, "alpha": 1.2})
    found = row(compare(run, baseline), "gatys_2015", "uef")
    assert found.verdict == "regression"
    assert "alpha 1.0 / 1.2" in found.reason


def test_a_unit_that_fails_now_is_a_regression(baseline: Baseline) -> None:
    units = entry_of(baseline, "ghiasi_2017").units
    scores = entry_of(baseline, "ghiasi_2017").scores
    for status, verdict, code in (("failed", "regression", 1), ("skipped", "not comparable", 2)):
        broken = tuple((*unit[:3], status) if i == 0 else unit for i, unit in enumerate(units))
        lost = {name: (None, *values[1:]) for name, values in scores.items()}
        result = compare(with_entry(baseline, "ghiasi_2017", units=broken, scores=lost), baseline)
        assert row(result, "ghiasi_2017", "coverage").verdict == verdict
        assert row(result, "ghiasi_2017", "uef").verdict is Verdict.NOT_COMPARABLE
        assert result.exit_code == code


# --- speed -------------------------------------------------------------------------------


def scaled(values: tuple[float, ...], factor: float) -> tuple[float, ...]:
    return tuple(factor * value for value in values)


def test_a_slowdown_is_found_and_a_slower_machine_is_not_reported(baseline: Baseline) -> None:
    timing = entry_of(baseline, "gatys_2015").timing
    slower = with_timing(baseline, "gatys_2015", latency=scaled(timing.latency, 1.3))
    found = row(compare(slower, baseline), "gatys_2015", "latency")
    assert found.verdict == "regression"
    assert found.change == pytest.approx(0.3)
    assert found.p == pytest.approx(1 / 2704156, rel=1e-3), "one of all ways to choose 12 of 24"
    machine = with_timing(slower, "gatys_2015", calibration=scaled(timing.calibration, 1.3))
    assert row(compare(machine, baseline), "gatys_2015", "latency").verdict is Verdict.FINE
    little = with_timing(baseline, "gatys_2015", latency=scaled(timing.latency, 1.1))
    assert row(compare(little, baseline), "gatys_2015", "latency").verdict is Verdict.FINE


def test_time_of_other_programs_is_not_counted(baseline: Baseline) -> None:
    timing = entry_of(baseline, "gatys_2015").timing
    waits = tuple(0.5 * (i % 3) for i in range(12))
    latency = tuple(a + b for a, b in zip(timing.latency, waits, strict=True))
    busy = with_timing(baseline, "gatys_2015", latency=latency, latency_waits=waits)
    found = row(compare(busy, baseline), "gatys_2015", "latency")
    assert found.after == pytest.approx(found.before)


def test_samples_taken_in_turns_are_divided_by_their_neighbours(baseline: Baseline) -> None:
    timing = entry_of(baseline, "gatys_2015").timing
    turns = dataclasses.replace(timing, latency=(1.0, 4.0), calibration=(0.5, 1.5, 2.5))
    assert relative_latency(turns) == pytest.approx([1.0, 2.0])
    own = dataclasses.replace(turns, samples_from="generation")
    assert relative_latency(own) == pytest.approx([1 / 1.5, 4 / 1.5])
    waited = dataclasses.replace(turns, calibration_waits=(0.0, 1.0, 0.5))
    assert relative_latency(waited) == pytest.approx([1 / 0.5, 4 / 1.25])
    assert len(relative_latency(dataclasses.replace(timing, calibration=()))) == 0


def test_a_change_below_the_resolution_is_marked(baseline: Baseline) -> None:
    quick = with_timing(baseline, "content_copy", latency=(1e-5,) * 12, calibration=(0.1,) * 13)
    slower = with_timing(quick, "content_copy", latency=(2e-5,) * 12)
    found = row(compare(slower, quick), "content_copy", "latency")
    assert found.verdict is Verdict.FINE
    assert "too fast" in found.reason


def test_memory_is_a_single_number_and_the_tolerance_decides(baseline: Baseline) -> None:
    def run(factor: float) -> Finding:
        singles = dict(entry_of(baseline, "gatys_2015").singles)
        singles["peak_memory"] *= factor
        changed = with_entry(baseline, "gatys_2015", singles=singles)
        return row(compare(changed, baseline, "peak_memory:+10%"), "gatys_2015", "peak_memory")

    assert run(1.2).verdict == "regression"
    assert "without a test" in run(1.2).reason
    assert run(1.05).verdict is Verdict.FINE
    assert run(0.5).verdict is Verdict.BETTER


# --- not comparable ----------------------------------------------------------------------


def other_version(side: Baseline) -> Baseline:
    metrics = {**side.metrics, "uef": dataclasses.replace(side.metrics["uef"], version=9)}
    return dataclasses.replace(side, metrics=metrics)


def other_pixels(side: Baseline) -> Baseline:
    styles = {**side.pictures["style"], "style_1": "f" * 64}
    return dataclasses.replace(side, pictures={**side.pictures, "style": styles})


def without_method(side: Baseline) -> Baseline:
    return dataclasses.replace(side, entries=side.entries[1:])


def on_a_gpu(side: Baseline) -> Baseline:
    return dataclasses.replace(side, environment={**side.environment, "device": "cuda:0"})


def without_metric(side: Baseline) -> Baseline:
    metrics = {name: facts for name, facts in side.metrics.items() if name != "uef"}
    return dataclasses.replace(side, metrics=metrics)


def without_timing(side: Baseline) -> Baseline:
    return with_entry(side, "gatys_2015", timing=None)


def on_more_threads(side: Baseline) -> Baseline:
    return with_timing(side, "gatys_2015", environment={"threads": 8})


def without_a_score(side: Baseline) -> Baseline:
    return with_scores(side, "gatys_2015", "uef", lambda i, v: None if i == 3 else v)


def without_calibration_on_another_machine(side: Baseline) -> Baseline:
    facts = {"threads": 2, "device_name": "another"}
    return with_timing(side, "gatys_2015", calibration=(), environment=facts)


@pytest.mark.parametrize(
    ("change", "rows", "words"),
    [
        (other_version, 7, "other version of the metric: 1 / 9"),
        (other_pixels, 7, "'style_1' has other pixels"),
        (without_method, 1, "the run has no such row"),
        (on_a_gpu, 7, "other device class: cpu / cuda"),
        (without_metric, 7, "the run has no such metric"),
        (without_timing, 1, "the run has no timing"),
        (on_more_threads, 1, "other threads: 2 / 8"),
        (without_a_score, 1, "1 scores are missing"),
        (without_calibration_on_another_machine, 1, "no calibration, and not the same machine"),
    ],
)
def test_not_comparable_rows_do_not_pass(baseline: Baseline, change, rows: int, words: str) -> None:
    result = compare(change(baseline), baseline)
    found = result.of(Verdict.NOT_COMPARABLE)
    assert len(found) == rows
    assert all(words in finding.reason for finding in found)
    assert result.exit_code == 2


def test_a_method_that_the_baseline_lacks_fails_unless_left_out(baseline: Baseline) -> None:
    less = without_method(baseline)
    result = compare(baseline, less)
    assert [f.reason for f in result.of(Verdict.NOT_COMPARABLE)] == ["the baseline has no such row"]
    methods = [entry.method for entry in less.entries]
    assert compare(baseline, less, methods=methods).exit_code == 0
    assert compare(baseline, less, methods=[]).exit_code == 2


def test_a_method_that_neither_side_has_is_refused(baseline: Baseline, tmp_path: Path) -> None:
    names = ["gatys_2015", "ghiasi_2016"]
    with pytest.raises(UsageError, match=r"'ghiasi_2016'.* Did you mean 'ghiasi_2017'"):
        compare(baseline, baseline, methods=names)
    save_baseline(baseline, tmp_path / "b.json")
    done = CliRunner().invoke(
        app,
        ["check", f"{tmp_path}/b.json", "--baseline", f"{tmp_path}/b.json",
         "--methods", ",".join(names)],
    )  # fmt: skip
    assert isinstance(done.exception, UsageError)


def test_regressions_decide_the_exit_code_before_not_comparable_rows(baseline: Baseline) -> None:
    run = with_scores(baseline, "gatys_2015", "uef", lambda i, v: v * 1.5)
    assert compare(without_method(run), baseline).exit_code == 1


# --- options -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("uff:+2%", "Did you mean 'uef'"),
        ("uef", "write METRIC:+2%"),
        ("uef:+two%", "write METRIC:+2%"),
        ("uef:-2%", "lower uef is better, so only uef:+"),
        ("ssim:+2%", "higher ssim is better, so only ssim:-"),
        ("uef:+2%,uef:+3%", "named twice"),
    ],
)
def test_tolerances_are_refused_with_a_reason(baseline: Baseline, text: str, words: str) -> None:
    with pytest.raises(UsageError, match="--fail-on") as error:
        parse_tolerances([text], baseline.metrics)
    assert words in str(error.value)


def test_tolerances_are_shares_or_units(baseline: Baseline) -> None:
    one, other = parse_tolerances(["uef:+2%  ssim:-0.05"], baseline.metrics)
    assert (one.metric, one.allowed(0.5)) == ("uef", pytest.approx(0.01))
    assert (other.metric, other.allowed(0.5)) == ("ssim", pytest.approx(0.05))


# --- outputs -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(baseline: Baseline) -> CheckResult:
    """Return a result with every verdict, and a method whose name is an attack."""
    run = with_scores(baseline, "gatys_2015", "uef", lambda i, v: v * 1.5)
    run = with_scores(run, "ghiasi_2017", "uef", lambda i, v: v / 1.5)
    run = with_entry(run, "johnson_2016", method="<b>|x\x00,y::z%\n")
    return compare(run, baseline)


def test_junit_is_valid(baseline: Baseline, mixed: CheckResult) -> None:
    assert junit_schema.problems(junit(mixed)) == []
    assert junit_schema.problems(junit(compare(baseline, baseline))) == []
    assert 'failures="1"' in junit(mixed)
    assert 'errors="2"' in junit(mixed)
    assert junit_schema.problems(junit(mixed).replace('name="uef at', 'title="uef at'))
    assert junit_schema.problems(junit(mixed).replace('failures="1"', 'failures="2"'))


def test_json_has_every_number(mixed: CheckResult, tmp_path: Path) -> None:
    write_check(mixed, tmp_path / "check.json")
    data = json.loads((tmp_path / "check.json").read_text())
    assert data["exit_code"] == 1
    assert len(data["findings"]) == len(mixed.findings)
    found = next(f for f in data["findings"] if f["verdict"] == "regression")
    assert found["change"] == pytest.approx(0.5)
    assert (found["method"], found["metric"]) == ("gatys_2015", "uef")


def test_markdown_begins_with_regressions(mixed: CheckResult) -> None:
    text = markdown(mixed)
    assert text.startswith("## Regression: ")
    rows = [line for line in text.splitlines() if line.startswith("| gatys")]
    assert "regression" in rows[0]
    assert "<b>" not in text
    tables = [line.replace(r"\|", "") for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {10}


def test_annotations_are_one_line_each(mixed: CheckResult) -> None:
    lines = github_annotations(mixed, "base,line.json")
    assert lines[0].startswith("::error file=base%2Cline.json,title=gatys_2015 at 48 px%3A uef::")
    assert sum(line.startswith("::warning ") for line in lines) == 2
    assert all("\n" not in line and "\x00" not in line.partition("::")[0] for line in lines)


def test_other_suffixes_are_refused(mixed: CheckResult, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.xml \(JUnit\), \.json or \.md"):
        write_check(mixed, tmp_path / "check.txt")


def command(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nstbench", *map(str, arguments)],
        capture_output=True, text=True, env=os.environ | environment,
    )  # fmt: skip


def test_exit_codes_and_files_of_the_command(baseline: Baseline, tmp_path: Path) -> None:
    reference_file, same, worse, less = (tmp_path / f"{name}.json" for name in "rswl")
    save_baseline(baseline, reference_file)
    save_baseline(baseline, same)
    save_baseline(with_scores(baseline, "gatys_2015", "uef", lambda i, v: v * 1.5), worse)
    save_baseline(without_method(baseline), less)
    assert command("check", same, "--baseline", reference_file).returncode == 0
    xml, summary = tmp_path / "check.xml", tmp_path / "summary.md"
    summary.write_text("before\n")
    found = command(
        "check", worse, "--baseline", reference_file, "--out", xml, "--annotate",
        GITHUB_STEP_SUMMARY=str(summary),
    )  # fmt: skip
    assert found.returncode == 1, found.stderr
    assert "regression" in found.stdout
    assert "::error file=" in found.stdout
    assert junit_schema.problems(xml.read_text()) == []
    assert summary.read_text().startswith("before\n## Regression")
    assert command("check", less, "--baseline", reference_file).returncode == 2
    failed = command("check", tmp_path / "none", "--baseline", reference_file)
    assert failed.returncode == 2
    assert "nstbench baseline save" in failed.stderr.replace("\n", " ")
    assert "Traceback" not in failed.stderr


def test_options_of_the_command(baseline: Baseline, tmp_path: Path) -> None:
    base, worse = tmp_path / "base.json", tmp_path / "worse.json"
    save_baseline(baseline, base)
    save_baseline(with_scores(baseline, "gatys_2015", "uef", lambda i, v: v * 1.5), worse)

    def run(*options: str | Path):
        arguments = ["check", str(worse), "--baseline", str(base), *map(str, options)]
        return CliRunner().invoke(app, arguments)

    assert run().exit_code == 1
    assert run("--fail-on", "uef:+60%").exit_code == 0
    assert run("--methods", "ghiasi_2017,content_copy").exit_code == 0
    assert isinstance(run("--fail-on", "uff:+2%").exception, UsageError)
    assert run("--methods", " ghiasi_2017, content_copy ,").exit_code == 0
    for path in (tmp_path / "x.txt", tmp_path, base / "x.json"):
        early = run("--out", path)
        assert isinstance(early.exception, UsageError)
        assert early.stdout == "", "what cannot be written is refused before the comparison"


def test_a_summary_that_cannot_be_written_does_not_change_the_verdict(
    baseline: Baseline, tmp_path: Path
) -> None:
    base = tmp_path / "base.json"
    save_baseline(baseline, base)
    nowhere = {"GITHUB_STEP_SUMMARY": str(tmp_path / "no" / "summary.md")}
    found = command("check", base, "--baseline", base, "--annotate", **nowhere)
    assert found.returncode == 0
    assert "GITHUB_STEP_SUMMARY" in found.stderr
    assert "Traceback" not in found.stderr
