"""The tests that need a GPU: replays of graphs against eager steps, shapes of trainings, others."""

from __future__ import annotations

import re
from collections import Counter
from importlib.util import find_spec

from gpu_cases.programs import OutOfTime, python
from gpu_cases.rows import ROOT, Recorder

LINE = re.compile(r"^(\S+?)::(.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b", re.MULTILINE)
"""A line of ``pytest -v``: file, test and outcome."""
UNREADABLE = re.compile(r"^ERROR (\S+\.py)(?: - .*)?$", re.MULTILINE)
"""A line of its summary: a file that cannot be imported."""


def run(record: Recorder) -> None:
    """Run the tests and record one row per file and one for all."""
    if not record.full:
        return
    with record.attempt("gpu-tests"):
        if find_spec("pytest") is None:
            raise ValueError("pytest is not installed; constraints.txt has its version")
        cut = False
        try:
            # exit code 1: a test failed; 5: none was chosen
            text = python(
                record,
                ("-m", "pytest", "-v", "-m", "gpu", "--continue-on-collection-errors",
                 "-p", "no:cacheprovider", *with_gpu_tests()),
                accepted=(0, 1, 5),
                folder=ROOT,
            )  # fmt: skip
        except OutOfTime as error:
            text, cut = error.output, True
        summarise(record, text, cut)


def with_gpu_tests() -> list[str]:
    """Return the test files that mention the marker of tests that need a GPU.

    Those of networks come first, because they compare replays of graphs with eager steps.
    """
    marked = "mark." + "gpu"
    files = ROOT.joinpath("tests").rglob("test_*.py")
    names = [
        str(file.relative_to(ROOT)) for file in files if marked in file.read_text(encoding="utf-8")
    ]
    return sorted(names, key=lambda name: ("/nn/" not in name, "/training/" not in name, name))


def summarise(record: Recorder, text: str, cut: bool) -> None:
    """Record the outcomes in the output of pytest.

    Args:
        record: receives the rows.
        text: output of ``pytest -v``.
        cut: whether it was ended before the last test.
    """
    outcomes: dict[str, Counter[str]] = {}
    bad = []
    unreadable = [(file, "import of the file", "ERROR") for file in UNREADABLE.findall(text)]
    for file, test, outcome in [*LINE.findall(text), *unreadable]:
        outcomes.setdefault(file, Counter())[outcome] += 1
        if outcome in ("FAILED", "ERROR"):
            bad.append(f"{file}: {test}")
    total = sum(outcomes.values(), Counter())
    for file, counts in outcomes.items():
        failed = counts["FAILED"] + counts["ERROR"]
        record.value(f"gpu-tests-{file}", f"Failed tests of {file}", failed, "", told(counts))
    note = told(total) + ("; cut off" if cut else "")
    note += f"; first: {bad[0]}" if bad else ""
    if not bad and (cut or not total["PASSED"]):
        record.missing("gpu-tests", note or "pytest ran no test")
    else:
        record.value("gpu-tests", "Failed tests that need a GPU", len(bad), "", note)


def told(counts: Counter[str]) -> str:
    """Return counts as a text."""
    return ", ".join(f"{count} {outcome.lower()}" for outcome, count in sorted(counts.items()))
