"""How the source is laid out."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from nstbench.plugins import registry, source_hash

ROOT = Path(__file__).parents[2]
FOLDERS = ("nstbench", "methods", "metrics", "datasets", "reports")
MOST_LINES = 400


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_module_is_too_long_to_read_at_once(folder: str) -> None:
    files = list(ROOT.joinpath(folder).rglob("*.py"))
    assert files
    lengths = {str(file.relative_to(ROOT)): len(file.read_bytes().splitlines()) for file in files}
    assert {name: n for name, n in lengths.items() if n > MOST_LINES} == {}


def test_the_contract_is_in_no_key() -> None:
    """Its files contain no arithmetic, so an edit there must not change every key."""
    contract = set(ROOT.joinpath("nstbench", "contracts").glob("*.py"))
    assert len(contract) > 1
    for kind in ("methods", "metrics"):
        for name in registry.names(kind):
            path = registry.find(kind, name).path
            assert path is not None
            assert not contract & set(source_hash.source_files(registry.find(kind, name))), name


MOST_PACKAGES, MOST_TOP_FILES, MOST_FILES = 14, 4, 12
MANY_FILES = {"nstbench/pictures/painter/paintings", "nstbench/pictures/painter/tools"}
"""A painting is a file, so these folders may have more."""


def packages() -> list[Path]:
    return [p.parent for p in sorted(ROOT.joinpath("nstbench").rglob("__init__.py"))]


def test_the_top_of_the_package_can_be_read_at_once() -> None:
    top = ROOT / "nstbench"
    assert len(list(top.glob("*/__init__.py"))) <= MOST_PACKAGES
    assert len(list(top.glob("*.py"))) <= MOST_TOP_FILES


@pytest.mark.parametrize("folder", packages(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_folder_has_too_many_files(folder: Path) -> None:
    files = [p.name for p in folder.glob("*.py")]
    if folder.relative_to(ROOT).as_posix() not in MANY_FILES:
        assert len(files) <= MOST_FILES, files


@pytest.mark.parametrize("folder", packages(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_package_file_is_a_docstring(folder: Path) -> None:
    """An import there would load its package, and add it to every key that depends on one file."""
    if folder.name in ("nstbench", "contracts"):
        pytest.skip("has the public names")
    (statement,) = ast.parse((folder / "__init__.py").read_bytes()).body
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Constant)
    assert isinstance(statement.value.value, str)
