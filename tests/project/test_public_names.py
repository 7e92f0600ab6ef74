"""The public names: ``__all__`` agrees with the documentation and with the plug-ins."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import nstbench
from nstbench import contracts
from nstbench.plugins import registry

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLUGINS = [path for kind in registry.KINDS for path in registry.folder(kind).glob("*.py")]


def documented_code() -> Iterator[ast.Module]:
    """Yield the Python examples of the documentation."""
    for page in PAGES:
        for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            yield ast.parse(block)


def imported(tree: ast.AST, module: str) -> set[str]:
    """Return the names that code imports from a module."""
    return {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == module
        for alias in node.names
    }


def attributes_of_nstbench(tree: ast.AST) -> set[str]:
    """Return the names that code reads from the package: ``nstbench.run``."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "nstbench"
    }


@pytest.mark.parametrize("module", [nstbench, contracts], ids=lambda module: module.__name__)
def test_every_public_name_exists_and_is_listed_once(module):
    assert sorted(set(module.__all__)) == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_documentation_uses_public_names_of_the_package():
    used = set()
    for tree in documented_code():
        used |= imported(tree, "nstbench") | attributes_of_nstbench(tree)
    assert used <= set(nstbench.__all__)
    assert {"run", "load_run", "Results"} <= set(nstbench.__all__)


def test_documentation_and_plugins_import_public_names_of_the_contract():
    used = set()
    trees = [*documented_code(), *(ast.parse(path.read_text("utf-8")) for path in PLUGINS)]
    for tree in trees:
        used |= imported(tree, "nstbench.contracts")
    assert used <= set(contracts.__all__)


def test_plugins_import_names_of_the_contract_from_the_contract():
    for path in PLUGINS:
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nstbench."):
                names = {alias.name for alias in node.names} & set(contracts.__all__)
                # names of other modules may be equal: only the same object counts
                same = {
                    name
                    for name in names
                    if node.module != "nstbench.contracts"
                    and getattr(importlib.import_module(str(node.module)), name)
                    is getattr(contracts, name)
                }
                assert not same, f"{path.name}: import {same} from nstbench.contracts"


def test_package_is_marked_as_typed():
    assert (Path(nstbench.__file__).parent / "py.typed").is_file()
