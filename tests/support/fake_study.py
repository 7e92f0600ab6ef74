"""A study of three curves with known heights, for tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from fake_board import FakeRun, Profile

from nstbench.analysis.ranking import build_leaderboard
from nstbench.core.board import Board
from nstbench.plan.study import Study

WEIGHTS = (1, 2, 3)
HOSTILE = '<img src=x onerror="pwned()">|'
STUDY: dict[str, Any] = {
    "method": "gatys_2015",
    "question": "Is b <better> than a?",
    "grid": {"w": WEIGHTS},
    "series": {"a": {"k": 1}, "b": {"k": 2}, HOSTILE: {"k": 3}},
    "baseline": "a",
}


def fake_study(root: Path, **settings: Any) -> Board:
    """A study whose curves lie on content = 0.2 w, style = height - content."""
    heights = {"a": 1.0, "b": 0.8, HOSTILE: 1.1}
    profiles = [
        Profile(v.label, "arbitrary", 0.2 * v.value, heights[v.series] - 0.2 * v.value, 1.0, 1e6,
                iterative=True)
        for v in Study.model_validate(STUDY).variants()
    ]  # fmt: skip
    run = FakeRun(root, profiles=profiles, styles=5, fail=0, **settings)
    board = run.board()
    # the intervals of the fake board are approximate, so compute the real ones
    leaderboard = build_leaderboard(board.scores, board.units, board.metrics, board.methods)
    config = {**board.info["config"], "study": STUDY}
    return dataclasses.replace(
        board, leaderboard=leaderboard, info={**board.info, "config": config}
    )
