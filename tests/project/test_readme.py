"""What the README shows is run here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nstbench.generate import conformance
from nstbench.plugins import registry

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def example(tmp_path):
    (code,) = re.findall(r"```python\n(\"\"\"Blur.*?)```", README.read_text(), re.DOTALL)
    path = tmp_path / "my_method.py"
    path.write_text(code)
    registry.add_file(path)
    return code


def test_the_example_method_conforms(example):
    assert conformance.failures("my_method") == {}


def test_the_example_is_as_short_as_promised(example):
    lines = [line for line in example.splitlines() if line.strip()]
    assert len(lines) <= 25


def test_every_linked_file_exists():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target


def test_every_command_exists():
    import typer.main

    from nstbench.cli.app import app

    commands = set(typer.main.get_command(app).commands)
    for command in re.findall(r"^nstbench (\w+)", README.read_text(), re.MULTILINE):
        assert command in commands


def test_make_targets_exist():
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"^make ([a-z]+)", README.read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
