"""Imports between the packages of nstbench: one order, no circles."""

from __future__ import annotations

import graphlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Run lint-imports on the tree in ``root`` by its pyproject.toml."""
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return the root of a copy of the package and its configuration."""
    shutil.copytree(
        ROOT / "nstbench", tmp_path / "nstbench", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_package_keeps_its_order_and_an_upward_import_breaks_it(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout
    module = copy / "nstbench" / "core" / "text.py"
    planted = "\n\ndef planted() -> None:\n    import nstbench.report.page\n"
    module.write_text(module.read_text() + planted)
    done = lint(copy)
    assert done.returncode == 1
    assert "nstbench.core.text -> nstbench.report.page" in done.stdout


def test_a_new_package_without_a_layer_is_refused(copy: Path) -> None:
    (copy / "nstbench" / "new").mkdir()
    (copy / "nstbench" / "new" / "__init__.py").write_text('"""A package without a layer."""\n')
    done = lint(copy)
    assert done.returncode == 1
    assert "nstbench.new" in done.stdout + done.stderr


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Return the modules of one import circle, or an empty list."""
    try:
        list(graphlib.TopologicalSorter(imports).static_order())
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_file_imports_itself_through_others() -> None:
    """Count imports inside functions, but not those for type checkers only."""
    graph = grimp.build_graph("nstbench", exclude_type_checking_imports=True, cache_dir=None)
    # `nstbench` is left out: its two names are imported on first use, and only its version is read
    imports = {
        module: graph.find_modules_directly_imported_by(module)
        for module in graph.modules - {"nstbench"}
    }
    assert len(imports) > 100
    assert circle(imports) == []


def test_the_search_finds_a_circle() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})[1:] != []
    assert circle({"a": {"b", "c"}, "b": {"c"}}) == []
