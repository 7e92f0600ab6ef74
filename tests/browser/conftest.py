"""Headless Chromium and report pages for the browser tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_board import FakeRun

from nstbench.pictures.decode import read_image
from nstbench.pictures.picture import write_png
from nstbench.report.files import write_comparison, write_report
from nstbench.store.store import MAP_KINDS, map_path

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update")  # fmt: skip
PATHS = ("chromium", "chromium-browser", "google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def unavailable(reason: str) -> None:
    """Skip the test, or fail if NSTBENCH_REQUIRE_BROWSER is set."""
    if os.environ.get("NSTBENCH_REQUIRE_BROWSER"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("browser tests need Playwright: pip install playwright axe-playwright-python")
    chromium_path = os.environ.get("NSTBENCH_CHROMIUM") or next(
        filter(None, map(shutil.which, PATHS)), ""
    )
    if not chromium_path:
        unavailable("browser tests need Chromium: apt-get install chromium, or NSTBENCH_CHROMIUM")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def axe() -> object:
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        unavailable("the accessibility test needs axe-core: pip install axe-playwright-python")
    return Axe()


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a report."""
    return _write(FakeRun(tmp_path_factory.mktemp("run"), size=64, fail=0.12))


@pytest.fixture(scope="session")
def folder_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a report with linked pictures."""
    board = FakeRun(tmp_path_factory.mktemp("linked"), size=64).board()
    out = tmp_path_factory.mktemp("folder")
    return write_report(board, out, ["html"], embed=False)[0].as_uri()


@pytest.fixture(scope="session")
def hostile_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a report with hostile names."""
    return _write(FakeRun(tmp_path_factory.mktemp("hostile"), size=64, hostile=True))


@pytest.fixture(scope="session")
def maps_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a report with error maps, which are inverted outputs."""
    board = FakeRun(tmp_path_factory.mktemp("maps"), size=64).board()
    for output in board.units["output"]:
        if output:
            for kind in MAP_KINDS:
                write_png(
                    board.root / map_path(output, kind), 255 - read_image(board.root / output)
                )
    return write_report(board, board.root / "report", ["html"])[0].as_uri()


@pytest.fixture(scope="session")
def comparison_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a comparison of three runs, one of them with hostile names."""
    runs = [FakeRun(tmp_path_factory.mktemp(f"side{i}"), seed=i, hostile=i == 2) for i in range(3)]
    boards = [run.board() for run in runs]
    out = tmp_path_factory.mktemp("comparison")
    return write_comparison(boards, out, ["html"])[0].as_uri()


def _write(run: FakeRun) -> str:
    board = run.board()
    return write_report(board, board.root / "report", ["html"])[0].as_uri()
