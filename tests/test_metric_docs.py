"""The pages about metrics: every metric has its place, and its facts are those of the code."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from nstbench import registry

FOLDER = Path(__file__).parent.parent / "docs" / "metrics"
PAGES = sorted(FOLDER.glob("*.md"))
SECTION = re.compile(r"^## `(\w+)`\n\n(.+)$", re.MULTILINE)


def number(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:g}".replace("-", "−")


def fact(name: str) -> str:
    """Return the line that the page of a metric has under its heading."""
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
def test_facts_are_those_of_the_code(name, described) -> None:
    assert described[name] == fact(name)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)


def test_untrusted_metrics_are_named_so() -> None:
    """Every metric rated below 0.8 in the validation is called out on its page."""
    table = (FOLDER.parent / "validation.md").read_text(encoding="utf-8")
    rated = re.findall(r"^\| `(\w+)` \| \w+ \| ([\d.-]+) \|", table, re.MULTILINE)
    assert rated
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name, tau in rated:
        if float(tau) < 0.8:
            section = text.partition(f"## `{name}`")[2].partition("\n## ")[0]
            assert "tau" in section, name
