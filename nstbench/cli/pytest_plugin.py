"""A pytest plug-in that runs methods in a test and compares them with a baseline.

```python
def test_my_method(nstbench_run):
    board = nstbench_run("my_method", contents="photos", styles="paintings", size=96)
    assert board.leaderboard["uef"][0] < 1
```

``pytest --nstbench-baseline baseline.json`` fails the test if the methods are worse than in
that file, or cannot be compared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nstbench.core.board import Board


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--nstbench-baseline`` and ``--nstbench-fail-on``."""
    group = parser.getgroup("nstbench", "nstbench: quality and speed of style transfer")
    group.addoption(
        "--nstbench-baseline",
        metavar="FILE",
        help="baseline file or run folder that every nstbench_run is compared with",
    )
    group.addoption(
        "--nstbench-fail-on",
        metavar="METRIC:+N%",
        action="append",
        default=[],
        help="metric and its tolerance, as in `nstbench check`; repeatable",
    )
    group.addoption(
        "--nstbench-speed",
        metavar="WHEN",
        default="required",
        help="when speed is compared, as of `nstbench check`: required, if-known or off",
    )


@pytest.fixture
def nstbench_run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Board]:
    """Return a function like :func:`nstbench.run` that compares with ``--nstbench-baseline``.

    The function returns the board. It fails the test on a regression, or if the methods cannot
    be compared with the baseline.
    """
    path = request.config.getoption("--nstbench-baseline")
    fail_on = request.config.getoption("--nstbench-fail-on")
    speed = request.config.getoption("--nstbench-speed")

    def execute(methods: str | Sequence[Any] | None = None, **settings: Any) -> Board:
        import nstbench

        settings.setdefault("out", tmp_path / "run")
        board = nstbench.run(methods, **settings)
        if path:
            _compare(board, Path(path), fail_on, speed)
        return board

    return execute


def _compare(board: Board, path: Path, fail_on: Sequence[str], speed: str) -> None:
    from nstbench.analysis.regression.baseline import from_board, load_baseline
    from nstbench.analysis.regression.check import check
    from nstbench.analysis.regression.check_rows import Verdict
    from nstbench.analysis.regression.tolerances import parse_speed, parse_tolerances
    from nstbench.core.errors import NstbenchError
    from nstbench.report.parts.check_text import headline, sentence

    try:
        baseline = load_baseline(path)
        tolerances = parse_tolerances(fail_on, baseline.metrics)
        result = check(
            from_board(board),
            baseline,
            tolerances,
            methods=list(board.methods),
            speed=parse_speed(speed),
        )
    except NstbenchError as error:
        raise pytest.UsageError(str(error)) from None
    bad = result.of(Verdict.REGRESSION) + result.of(Verdict.NOT_COMPARABLE)
    if result.exit_code:
        pytest.fail("\n".join([headline(result), *map(sentence, bad)]), pytrace=False)
