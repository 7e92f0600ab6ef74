"""``nstbench new`` and ``nstbench conformance``."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from nstbench.core.errors import UsageError
from nstbench.generate.conformance import method_checks
from nstbench.plugins import registry
from nstbench.plugins.skeleton.package import FILES, write_skeleton

BAD = """
from nstbench.contracts import Method, MethodInfo
from nstbench.core.records import Flexibility

class Bad(Method):
    "Prints, and fails on odd sizes."
    info = MethodInfo("Bad", "me", 2026, "paper", "test", Flexibility.ARBITRARY)

    def prepare(self, style):
        print("hello")

    def stylize(self, content, *, generator, on_step):
        if content.width % 2:
            raise ValueError("odd [size]")
        return content.pixels.clone()
"""


def nstbench(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "nstbench", *arguments], capture_output=True, text=True, cwd=cwd
    )


def test_the_skeleton_is_complete_and_its_method_conforms(tmp_path):
    folder = tmp_path / "my_method"
    written = write_skeleton("my_method", folder)
    assert len(written) == len(list(FILES.iterdir())), "every template has a place"
    assert all("{{" not in path.read_text() for path in written)
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    (entry,) = project["project"]["entry-points"]["nstbench.methods"].items()
    assert entry == ("my_method", "my_method.method:MyMethod")
    # registered as a file, because it is not installed here
    source = folder / "src" / "my_method" / "method.py"
    registry.add_file(source.rename(source.with_name("my_method.py")))
    assert registry.load("methods", "my_method").__name__ == "MyMethod"
    assert method_checks.failures("my_method") == {}


def test_the_skeleton_is_clean(tmp_path):
    write_skeleton("my_method", tmp_path)
    for arguments in (["check", "--select", "E,F,I,UP,B"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--isolated", "--line-length", "100", "."],
            capture_output=True, text=True, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My", "lower-case"),
        ("class", "cannot be the name"),
        ("../x", "cannot be the name"),
        ("content_copy", "already is a method"),
        ("json", "Python module called 'json'"),
    ],
)
def test_invalid_names_are_refused(name, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        write_skeleton(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_no_file_is_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"not empty.*--out"):
        write_skeleton("my_method", tmp_path)


@pytest.mark.slow
def test_conformance_prints_demand_and_result(tmp_path):
    plugin = tmp_path / "bad.py"
    plugin.write_text(BAD)
    done = nstbench("conformance", "bad", "--plugin", str(plugin))
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "hello" not in lines, "the prints of the method are not verdicts"
    assert any(line.startswith("fails  returns a picture") for line in lines)
    assert any(
        line.strip() == "result: ValueError: odd [size] (bad.py, line 14)" for line in lines
    ), done.stdout
    assert "result: the method prints" in done.stdout
    assert lines[-1] == "bad fails 2 of 10 checks of the contract."


@pytest.mark.slow
def test_conformance_of_a_program_from_a_file(tmp_path):
    (tmp_path / "copier.py").write_text("import shutil, sys; shutil.copy(*sys.argv[1:])")
    (tmp_path / "bench.yaml").write_text(
        "methods:\n"
        '  - {name: mine, command: "{python} copier.py {content} {output}", authors: me,\n'
        "     paper: 'https://example.org', licence: MIT}\n"
    )
    done = nstbench("conformance", "mine", "-c", "bench.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "mine passes all 10 checks of the contract."


def test_conformance_of_an_unknown_name(tmp_path):
    done = nstbench("conformance", "content_cpy")
    assert done.returncode == 2
    assert "Did you mean 'content_copy'" in " ".join(done.stderr.split())
