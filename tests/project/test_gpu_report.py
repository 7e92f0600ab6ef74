"""The report of a GPU: its limits, its table, and that a part which fails costs its rows only."""

from __future__ import annotations

import json
import math
import subprocess
from collections import Counter
from pathlib import Path

import gpu_report
import pytest
import torch
from gpu_cases import gpu_tests
from gpu_cases.promises import PARTS, PROMISES, Promise
from gpu_cases.rows import Recorder, Row, as_json, complete, read_rows, table

SCRIPT = Path(__file__).parents[2] / "scripts" / "gpu_report.sh"


@pytest.fixture
def recorder(tmp_path):
    """Return a function that makes a recorder; the rows are in ``rows.jsonl``."""

    def make(device: str = "cuda", part: str = "optimisation") -> Recorder:
        return Recorder(part, torch.device(device), tmp_path / "rows.jsonl", tmp_path, 60.0, 7)

    return make


def test_every_part_and_every_key_of_a_promise_is_known() -> None:
    assert {promise.part for promise in PROMISES} == set(PARTS)
    keys = [promise.key for promise in PROMISES]
    assert len(set(keys)) == len(keys)
    assert all(promise.limit() for promise in PROMISES)
    for part in PARTS:
        assert (SCRIPT.parent / "gpu_cases" / f"{part}.py").is_file()


@pytest.mark.parametrize(
    ("limits", "numbers", "expected"),
    [
        ({"most_ratio": 0.25}, (1.0, 0.25, None), True),
        ({"most_ratio": 0.25}, (1.0, 0.26, None), False),
        ({"most_ratio": 0.25, "least_share": 0.35}, (1.0, 0.2, 0.34), False),
        ({"most_ratio": 0.25, "least_share": 0.35}, (1.0, 0.2, 0.35), True),
        ({"most_ratio": 0.25, "least_share": 0.35}, (1.0, 0.2, None), None),
        ({"most_ratio": 0.25, "least_share": 0.35}, (1.0, 0.3, None), False),
        ({"most_ratio": 1.02, "least_ratio": 0.98}, (1.0, 0.97, None), False),
        ({"most_ratio": 0.25}, (1.0, math.nan, None), False),
        ({"least": 100}, (99.0, None, None), False),
        ({"least": 100}, (100.0, None, None), True),
        ({"most": 0}, (1.0, None, None), False),
        ({}, (1.0, 1.0, 1.0), None),
    ],
)
def test_limits_are_kept(limits, numbers, expected) -> None:
    assert Promise("k", "suite", "case", **limits).kept(*numbers) is expected


def test_a_ratio_is_the_median_of_rounds_and_the_share_is_that_of_the_median(recorder, tmp_path):
    pairs = [(1.0, 10.0), (2.0, 10.0), (3.0, 5.0)]
    recorder().pairs("gatys-adam-512", "case", pairs, compared_with="x", flops=8.0, ceiling=10.0)
    (row,) = read_rows(tmp_path / "rows.jsonl")
    assert (row.ours, row.reference, row.ratio, row.share) == (2.0, 10.0, 0.2, 0.4)
    assert row.result == "met"
    assert row.limit == "≤ 0.25, share ≥ 35%"
    assert [tuple(pair) for pair in row.rounds] == pairs


def test_limits_hold_on_gpus_only(recorder, tmp_path):
    recorder("cpu").pairs("gatys-adam-512", "small case", [(9.0, 1.0)], compared_with="x")
    rows = read_rows(tmp_path / "rows.jsonl")
    assert [(row.key, row.limit, row.result) for row in rows] == [
        ("gatys-adam-512-small", "", "no limit")
    ]
    promised = [promise for promise in PROMISES if promise.part == "optimisation"]
    both = complete(rows, promised, "needs a GPU")
    assert len(both) == 1 + len(promised)
    assert {row.result for row in both[1:]} == {"not measured: needs a GPU"}


def test_an_error_in_a_case_is_the_reason_why_it_has_no_number(recorder, tmp_path):
    record = recorder()
    with record.attempt("gatys-loss"):
        raise ValueError("no weights\nsecond line")
    record.pairs("gatys-lbfgs", "case", [(1.0, 1.0)], compared_with="Adam")
    with pytest.raises(RuntimeError, match="illegal"), record.attempt("gatys-adam-1024"):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('{"key": "cut o')
    rows = {row.key: row for row in read_rows(tmp_path / "rows.jsonl")}
    assert rows["gatys-loss"].result == "not measured: ValueError: no weights"
    assert rows["gatys-lbfgs"].result == "met"
    assert "illegal memory access" in rows["gatys-adam-1024"].result
    assert len(rows) == 3


def test_numbers_that_are_not_finite_make_valid_json() -> None:
    row = Row("k", "suite", "case", ours=math.nan, ratio=math.inf, rounds=[(math.nan, 1.0)])
    (found,) = json.loads(as_json([row], {}), parse_constant=pytest.fail)["rows"]
    assert found["ours"] is None
    assert found["ratio"] is None
    assert found["rounds"] == [[None, 1.0]]


def test_the_table_has_one_line_per_row_and_seven_cells() -> None:
    rows = [
        Row("a", "suite", "a|b", 0.0123, reference=1.5, compared_with="x", ratio=0.0082, share=0.5),
        Row("b", "suite", "rate", 123.4, "/s", limit="≥ 100/s", result="met", note="14 styles"),
    ]
    lines = table(rows).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [len(row) for row in cells] == [7] * 4
    assert cells[2] == ["a/b", "12.3 ms", "x: 1.5 s", "0.0082", "", "50%", "no limit"]
    assert cells[3] == ["rate", "123.4/s", "", "", "≥ 100/s", "", "met (14 styles)"]


def test_outcomes_of_tests_are_counted_by_file(recorder, tmp_path):
    text = (
        "tests/nn/test_a.py::test_x[1 a] PASSED [ 20%]\n"
        "tests/nn/test_a.py::test_x[2] FAILED [ 40%]\n"
        "tests/b/test_b.py::test_y SKIPPED (no) [ 60%]\n"
        "FAILED tests/nn/test_a.py::test_x[2] - AssertionError\n"
        "ERROR tests/nn/test_c.py\n"
    )
    gpu_tests.summarise(recorder(part="gpu_tests"), text, cut=False)
    rows = {row.key: row for row in read_rows(tmp_path / "rows.jsonl")}
    assert rows["gpu-tests"].ours == 2
    assert rows["gpu-tests"].result == "missed"
    assert rows["gpu-tests-tests/nn/test_a.py"].ours == 1
    assert "1 failed, 1 passed" in rows["gpu-tests-tests/nn/test_a.py"].note
    assert rows["gpu-tests-tests/nn/test_c.py"].ours == 1


@pytest.mark.parametrize(("cut", "result"), [(False, "met"), (True, "not measured: 1 passed; cut")])
def test_tests_that_were_cut_off_are_not_a_success(recorder, tmp_path, cut, result):
    text = "tests/nn/test_a.py::test_x PASSED [ 20%]\n"
    gpu_tests.summarise(recorder(part="gpu_tests"), text, cut=cut)
    row = read_rows(tmp_path / "rows.jsonl")[-1]
    assert row.key == "gpu-tests"
    assert row.result.startswith(result)


def test_the_files_with_tests_for_gpus_are_found() -> None:
    files = gpu_tests.with_gpu_tests()
    assert files[0].startswith("tests/nn/")
    assert "tests/generate/test_lost_device.py" in files


def test_a_part_that_takes_too_long_is_ended(tmp_path) -> None:
    options = gpu_report._parse(["--device", "cpu", "--out", str(tmp_path)])
    assert gpu_report.measured("optimisation", options, 0.3) == (
        [], "the part took more than 0 s",
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ["--only", "x"],
        ["--budget", "0"],
        ["--rounds", "0"],
        ["--device", "tpu"],
        ["--device", "cuda"],
    ],
)
def test_a_wrong_option_is_refused(arguments, capsys) -> None:
    if arguments[-1] == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit) as stopped:
        gpu_report.main(arguments)
    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.slow
def test_the_script_measures_small_cases_on_a_cpu(tmp_path, network_weights) -> None:
    found = subprocess.run(
        [SCRIPT, "--device", "cpu", "--budget", "200", "--out", tmp_path,
         "--only", "feed_forward,gpu_tests"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    report = json.loads((tmp_path / "gpu_report.json").read_text(encoding="utf-8"))
    rows = {row["key"]: row for row in report["rows"]}
    for name in ("johnson_2016", "ulyanov_2016", "dumoulin_2017", "adain_2017"):
        for batch in (1, 8):
            row = rows[f"{name}-{batch}-small"]
            assert 0 < row["share"] < 1.5
            ratios = sorted(own / other for own, other in row["rounds"])
            assert ratios[0] <= row["ratio"] <= ratios[-1]
            assert rows[f"{name}-{batch}"]["result"] == "not measured: needs a GPU"
    results = Counter(row["result"] for row in report["rows"] if row["limit"])
    assert set(results) == {"not measured: needs a GPU", "not measured: not selected"}
    assert sum(results.values()) == len(PROMISES)
    assert found.stdout.count("\n| ") >= len(rows)
    assert (tmp_path / "gpu_report.md").read_text(encoding="utf-8") == found.stdout


@pytest.mark.slow
def test_a_part_that_crashes_has_its_last_line_as_the_reason(tmp_path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    options = gpu_report._parse(["--device", "cpu", "--out", str(tmp_path)])
    options.device = "cuda"
    rows, why = gpu_report.measured("optimisation", options, 60.0)
    assert rows == []
    assert why.startswith("the process ended with code 1: ")
