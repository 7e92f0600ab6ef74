"""How the source is laid out."""

from __future__ import annotations

from pathlib import Path

import pytest

from nstbench.plugins import registry

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
    """Its files hold no arithmetic, so a word in them must not make every result stale."""
    contract = set(ROOT.joinpath("nstbench", "contracts").glob("*.py"))
    assert len(contract) > 1
    for kind in ("methods", "metrics"):
        for name in registry.names(kind):
            path = registry.find(kind, name).path
            assert path is not None
            assert not contract & set(registry._source_closure(path)), name
