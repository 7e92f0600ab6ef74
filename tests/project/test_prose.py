"""Phrases that the prose rule of CONTRIBUTING.md forbids, searched in every text of the project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("nstbench", "methods", "metrics", "datasets", "reports", "scripts", "tests", "docs")
SUFFIXES = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".html", ".js", ".css"}
FORBIDDEN = re.compile(
    r"(?<![a-z])(whoever|nobody|somebody|mishaps?|bury|buried|mend(?:s|ed)?|luckier|came to|be had"
    r"|(?<!there )is no(?! longer| more than)|ways? out|affairs?)(?![a-z])"
)


def texts() -> list[Path]:
    """Return the files to read: sources, tests and pages, without this one."""
    files = [p for folder in FOLDERS for p in ROOT.joinpath(folder).rglob("*")]
    files += [*ROOT.glob("*"), *ROOT.joinpath(".github").rglob("*"), ROOT / ".ci" / "run"]
    names = {"Makefile", "run"}
    return sorted(
        p for p in files if p.is_file() and (p.suffix in SUFFIXES or p.name in names)
        and p != Path(__file__)
    )  # fmt: skip


def findings(text: str, *, markdown: bool = False) -> list[str]:
    """Return the forbidden phrases; quoted code and released notes of a page do not count."""
    if markdown:
        text = re.sub(r"`[^`]*`", "", text.partition("\n## [0.")[0])
    words = re.sub(r"[\s_#*]+", " ", text.lower())
    return [words[max(m.start() - 30, 0) : m.end() + 20] for m in FORBIDDEN.finditer(words)]


@pytest.mark.parametrize("path", texts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_has_a_forbidden_phrase(path: Path) -> None:
    assert findings(path.read_text(encoding="utf-8"), markdown=path.suffix == ".md") == []


@pytest.mark.parametrize(
    "text", ["Whoever asks", "it is\n    # no result", "def test_nobody_waits():", "the ways out"]
)
def test_the_search_finds(text: str) -> None:
    assert findings(text)


@pytest.mark.parametrize(
    "text", ["It is no longer there.", "There is no file.", "recommend", "is not a result"]
)
def test_the_search_leaves_alone(text: str) -> None:
    assert findings(text) == []


def test_the_rule_may_quote_the_words() -> None:
    assert findings("Do not write `nobody`.", markdown=True) == []
    assert findings("Do not write `nobody`.") != []
