"""A run of 40 methods on 400 pairs, for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fake_board import PROFILES, FakeRun, picture


def large_run(root: Path) -> FakeRun:
    """Return the run; all outputs are links to one picture of 512 x 512 pixels."""
    profiles = [
        replace(PROFILES[i % len(PROFILES)], name=f"{PROFILES[i % len(PROFILES)].name}:v={i}")
        for i in range(40)
    ]
    root.mkdir()
    large = root / "large.png"
    picture(1, 512).save(large)
    return FakeRun(root, profiles=profiles, contents=20, styles=20, size=8, linked=large)
