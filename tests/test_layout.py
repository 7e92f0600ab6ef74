"""How the source is laid out."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("nstbench", "methods", "metrics", "datasets", "reports")
MOST_LINES = 400


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_module_is_too_long_to_read_at_once(folder: str) -> None:
    files = list(ROOT.joinpath(folder).rglob("*.py"))
    assert files
    lengths = {str(file.relative_to(ROOT)): len(file.read_bytes().splitlines()) for file in files}
    assert {name: n for name, n in lengths.items() if n > MOST_LINES} == {}
