"""Speed of the page of a large run: 40 methods on 400 pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from large_run import large_run

from nstbench.report.files import write_report

CLICK = """() => new Promise(done => requestIdleCallback(() => {
  const button = document.querySelector('#board th[data-key="style_error"] button');
  const start = performance.now();
  button.click();
  document.body.offsetHeight;  // forces the new layout
  done(performance.now() - start);
}))"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.alone
def test_first_sort_takes_less_than_200_ms(browser: Any, tmp_path: Path) -> None:
    board = large_run(tmp_path / "run").board()
    path = write_report(board, tmp_path / "report", ["html"])[0]
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    # the fastest of three first sorts, because other programs may delay one
    milliseconds = []
    for _ in range(3):
        page = context.new_page()
        page.goto(path.as_uri(), timeout=120_000)
        milliseconds.append(page.evaluate(CLICK))
        assert page.locator('#board th[data-key="style_error"][aria-sort]').count() == 1
        page.close()
    context.close()
    assert min(milliseconds) < 200
