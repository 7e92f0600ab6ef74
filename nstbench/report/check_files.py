"""The files of a check: JUnit XML, JSON, a Markdown summary and GitHub annotations."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from nstbench.analysis.regression.check import CheckResult
from nstbench.analysis.regression.check_rows import Finding, Verdict
from nstbench.core.errors import UsageError
from nstbench.core.text import counted
from nstbench.report.markdown import escape, table
from nstbench.report.parts import check_text
from nstbench.store.atomic_files import write_bytes, write_json

# characters that XML 1.0 forbids, even escaped
_NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def check_suffix(path: Path) -> None:
    """Raise a UsageError if the suffix of a path is not that of a check file."""
    if path.suffix not in (".json", *_TEXTS):
        raise UsageError(f"--out {path}: the suffix must be .xml (JUnit), .json or .md.")


def write_check(result: CheckResult, path: Path) -> None:
    """Write the check in the format of the file's suffix: ``.xml``, ``.json`` or ``.md``.

    Raises:
        UsageError: if the suffix is another one.
        StoreError: if the file cannot be written.
    """
    check_suffix(path)
    if path.suffix == ".json":
        write_json(path, as_json(result))
    else:
        write_bytes(path, _TEXTS[path.suffix](result).encode())


def as_json(result: CheckResult) -> dict[str, Any]:
    """Return the check as plain data for JSON; missing numbers are NaN."""
    rows = [
        {field.name: getattr(finding, field.name) for field in fields(Finding)}
        for finding in result.findings
    ]
    return {
        "baseline": result.baseline,
        "run": result.run,
        "exit_code": result.exit_code,
        "summary": check_text.headline(result),
        "findings": rows,
        "notes": list(result.notes),
    }


def junit(result: CheckResult) -> str:
    """Return JUnit XML: a suite per method, a case per size and metric.

    A regression is a failure, a row that cannot be compared is an error, and an excused row is
    skipped. The format is
    that of Jenkins' ``junit-10.xsd``, which GitLab and pytest also use. It is written here
    because junitparser adds an attribute that the schema does not allow and keeps characters
    that XML forbids.
    """
    methods = dict.fromkeys(finding.method for finding in result.findings)
    suites = ElementTree.Element(
        "testsuites", _counts(result.findings) | {"name": "nstbench check"}
    )
    for method in methods:
        findings = [finding for finding in result.findings if finding.method == method]
        counts = {**_counts(findings), "skipped": str(sum(row.excused for row in findings))}
        suite = ElementTree.SubElement(suites, "testsuite", {"name": _xml(method), **counts})
        for finding in findings:
            _case(suite, finding)
    ElementTree.indent(suites)
    text: str = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _counts(findings: tuple[Finding, ...] | list[Finding]) -> dict[str, str]:
    verdicts = [finding.verdict for finding in findings if not finding.excused]
    return {
        "tests": str(len(findings)),
        "failures": str(verdicts.count(Verdict.REGRESSION)),
        "errors": str(verdicts.count(Verdict.NOT_COMPARABLE)),
        "time": "0",
    }


def _case(suite: ElementTree.Element, finding: Finding) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        {
            "classname": _xml(f"nstbench.{finding.method}"),
            "name": _xml(f"{finding.metric} at {finding.size} px"),
            "time": "0",
        },
    )
    text = _xml(check_text.sentence(finding))
    kind = {Verdict.REGRESSION: "failure", Verdict.NOT_COMPARABLE: "error"}.get(finding.verdict)
    if kind:
        kind = "skipped" if finding.excused else kind
        attributes = {"message": text, "type": finding.verdict.value}
        ElementTree.SubElement(case, kind, attributes).text = text
    else:
        ElementTree.SubElement(case, "system-out").text = text


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def markdown(result: CheckResult) -> str:
    """Return the check as Markdown for a job summary; rows without a change are collapsed."""
    lines = [f"## {check_text.headline(result)}", "", f"Run `{result.run}` against baseline "
             f"`{result.baseline}`."]  # fmt: skip
    shown = [f for f in check_text.by_weight(result) if f.verdict is not Verdict.FINE]
    if shown:
        lines += ["", _table(shown)]
    lines += ["", *(f"* {escape(check_text.sentence(f))}" for f in shown if f.reason)]
    fine = result.of(Verdict.FINE)
    if fine:
        summary = f"<details><summary>{counted(len(fine), 'row')} within tolerance</summary>"
        lines += ["", summary, "", _table(fine), "", "</details>"]
    if result.notes:
        lines += ["", "Other differences that may explain a change: "
                  + escape("; ".join(result.notes)) + "."]  # fmt: skip
    return "\n".join(lines) + "\n"


def _table(findings: Sequence[Finding]) -> str:
    return table(check_text.COLUMNS, [check_text.cells(f) for f in findings], "lrlrrrrrl")


def github_annotations(result: CheckResult, file: str = "") -> list[str]:
    """Return GitHub workflow commands, one per regression or row that is not comparable.

    Args:
        result: the check.
        file: path of the baseline in the repository; GitHub shows the annotation there.
    """
    lines = []
    for finding in check_text.by_weight(result):
        kind = {Verdict.REGRESSION: "error", Verdict.NOT_COMPARABLE: "warning"}.get(finding.verdict)
        if kind:
            kind = "notice" if finding.excused else kind
            properties = [f"file={_property(file)}"] if file else []
            properties.append(f"title={_property(finding.label)}")
            lines.append(f"::{kind} {','.join(properties)}::{_data(check_text.sentence(finding))}")
    return lines


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


_TEXTS: Mapping[str, Callable[[CheckResult], str]] = {".xml": junit, ".md": markdown}
