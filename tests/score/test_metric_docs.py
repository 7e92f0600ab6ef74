"""The documentation of metrics: every metric is described, with the facts of the code."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from nstbench.plugins import registry

FOLDER = Path(__file__).parents[2] / "docs" / "metrics"
PAGES = sorted(FOLDER.glob("*.md"))
SECTION = re.compile(r"^## `(\w+)`\n\n(.+)$", re.MULTILINE)


def number(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:g}".replace("-", "−")


def fact(name: str) -> str:
    """Return the line under the heading of a metric's page."""
    info = registry.load("metrics", name).info
    parts = [
        info.title,
        f"{info.scope} metric",
        f"{'higher' if info.higher_is_better else 'lower'} is better",
        f"{number(info.range[0])} to {number(info.range[1])}{f' {info.unit}' if info.unit else ''}",
        f"version {info.version}",
        f"home for {', '.join(info.home_for)}" if info.home_for else "no home",
    ]
    return f"*{' · '.join(parts)}*. Source: {info.citation}."


@pytest.fixture(scope="module")
def described() -> dict[str, str]:
    found = [hit for page in PAGES for hit in SECTION.findall(page.read_text(encoding="utf-8"))]
    names = [name for name, _ in found]
    assert len(names) == len(set(names))
    return dict(found)


def test_every_metric_is_described_once(described) -> None:
    assert set(described) == set(registry.names("metrics"))
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in described:
        assert f"`{name}`" in table, name


@pytest.mark.parametrize("name", registry.names("metrics"))
def test_facts_equal_those_of_the_code(name, described) -> None:
    assert described[name] == fact(name)


def test_link_targets_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)


def untrusted(table: str) -> dict[str, set[str]]:
    """Return metric -> its |tau| below 0.8 in a validation table, with two digits."""
    found: dict[str, set[str]] = {}
    for line in re.findall(r"^\| `\w+` \|.+\|$", table, re.MULTILINE):
        name, _, tau, _, worst, *_ = (cell.strip(" `") for cell in line.strip("|").split("|"))
        lowest = worst.partition(", ")[2] or tau
        low = {f"{float(text):.2f}" for text in (tau, lowest) if abs(float(text)) < 0.8}
        if low:
            found.setdefault(name, set()).update(low)
    return found


def test_metrics_below_the_limit_are_called_untrustworthy_with_their_number() -> None:
    table = (FOLDER.parent / "validation.md").read_text(encoding="utf-8")
    assert untrusted(table), "the table has another format"
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name, taus in untrusted(table).items():
        section = text.partition(f"## `{name}`")[2].partition("\n## ")[0]
        assert "untrustworthy" in section.lower(), name
        for tau in taus:
            assert tau in section, (name, tau)


def test_a_metric_that_fails_on_one_kind_of_sweep_is_found() -> None:
    row = "| `ssim` | content | 0.95 | 0.9 to 1 | jpeg of the content, -0.123 | 4.1 | 0.2 % |"
    assert untrusted(row) == {"ssim": {"-0.12"}}
    assert untrusted(row.replace("jpeg of the content, -0.123", "none")) == {}
    assert untrusted(row.replace("0.95", "0.4")) == {"ssim": {"0.40", "-0.12"}}
