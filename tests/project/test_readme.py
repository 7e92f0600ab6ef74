"""The pages: examples run; links, commands, modules and public names exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from nstbench.generate.conformance import method_checks
from nstbench.plugins import registry

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.joinpath("docs").rglob("*.md")])


@pytest.fixture
def example(tmp_path):
    (code,) = re.findall(r"```python\n(\"\"\"Blur.*?)```", README.read_text(), re.DOTALL)
    path = tmp_path / "my_method.py"
    path.write_text(code)
    registry.add_file(path)
    return code


def test_the_example_method_conforms(example):
    assert method_checks.failures("my_method") == {}


def test_the_example_is_short(example):
    lines = [line for line in example.splitlines() if line.strip()]
    assert len(lines) <= 25


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!http)([^)#\s]*)#?([^)]*)\)", page.read_text()):
        file = (page.parent / target) if target else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), f"{target}#{anchor}"


def console(page: Path, program: str) -> list[str]:
    """Return the first word after ``program`` of every command line on a page."""
    blocks = "".join(re.findall(r"```(?:console|sh|bash)\n(.*?)```", page.read_text(), re.DOTALL))
    return re.findall(rf"^(?:\$ )?{program} ([a-z]+)", blocks, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_command_and_make_target_exists(page: Path) -> None:
    import typer.main

    from nstbench.cli.app import app

    assert set(console(page, "nstbench")) <= set(typer.main.get_command(app).commands)
    makefile = (ROOT / "Makefile").read_text()
    for target in console(page, "make"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_module_on_a_page_exists(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(r"\b(?:nstbench|tests|scripts|methods|docs)/[\w/.]+\.\w+", text):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`nstbench((?:\.\w+)+)", text):
        *module, last = name.strip(".").split(".")
        file = ROOT.joinpath("nstbench", *module, f"{last}.py")
        owner = ROOT.joinpath("nstbench", *module).with_suffix(".py")
        assert file.exists() or file.with_suffix("").is_dir() or owner.exists() or not module, name


def test_the_documented_public_names_are_those_of_the_code() -> None:
    """CONTRIBUTING.md promises these names; a removal must change the page, too."""
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Public names\n")[2]
    rows = re.findall(r"^\| `([\w.]+)` \| (.*) \|$", section.partition("\n## ")[0], re.MULTILINE)
    assert {module for module, _ in rows} == {"nstbench", "nstbench.contracts"}
    for module, names in rows:
        assert sorted(re.findall(r"`(\w+)`", names)) == sorted(
            importlib.import_module(module).__all__
        )
