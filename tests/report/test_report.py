"""The report on realistic, hostile and nearly empty boards."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_board import HOSTILE, PROFILES, FakeRun
from fake_study import fake_study
from html_page import Page

from nstbench.core.board import Board
from nstbench.core.errors import UsageError
from nstbench.plugins import registry
from nstbench.report.files import formats, write_comparison, write_report
from nstbench.report.page import render_page, sections
from nstbench.report.parts import pictures, templates
from nstbench.report.parts.rows import (
    contenders,
    leaderboard_rows,
    measured_metrics,
)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return FakeRun(tmp_path_factory.mktemp("run")).board()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return FakeRun(tmp_path_factory.mktemp("hostile"), hostile=True).board()


@pytest.fixture(scope="module")
def page(board: Board) -> str:
    return render_page(board)


FILES_ONLY = {"comparisons", "scores"}
"""Sections that are not on the page."""


def section_names() -> list[str]:
    loaded, broken = sections()
    assert broken == []
    return list(loaded)


def test_page_loads_nothing_from_outside(page: str) -> None:
    parsed = Page(page)
    for tag, attrs in parsed.elements:
        for name in ("src", "srcset", "poster", "data", "xlink:href", "action"):
            value = attrs.get(name)
            assert value is None or value.startswith("data:"), (tag, name, value)
        if tag == "link" or (tag == "use"):
            assert (attrs.get("href") or "").startswith("data:")
    assert not re.search(r"@import|url\(\s*['\"]?(?!data:)", templates.static("report.css"))
    policy = next(a for a in parsed.all("meta") if a.get("http-equiv"))["content"] or ""
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_page_has_no_inline_handlers_or_styles(hostile: Board) -> None:
    for tag, attrs in Page(render_page(hostile)).elements:
        assert not [name for name in attrs if name.startswith("on")], tag
        assert "style" not in attrs, tag


def test_links_are_web_addresses_fragments_or_downloads(page: str) -> None:
    parsed = Page(page)
    ids = {attrs["id"] for _, attrs in parsed.elements if "id" in attrs}
    for attrs in parsed.all("a"):
        href = attrs["href"] or ""
        if href.startswith("#"):
            assert href[1:] in ids
        elif href.startswith("data:"):
            assert attrs["download"]
        else:
            assert href.startswith("https://")
            assert attrs["rel"] == "noopener noreferrer"


def test_ids_are_unique(hostile: Board) -> None:
    ids = [attrs["id"] for _, attrs in Page(render_page(hostile)).elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_hostile_names_are_inert_and_readable(hostile: Board) -> None:
    parsed = Page(render_page(hostile))
    scripts = [a for a in parsed.all("script") if a.get("type") != "application/json"]
    assert len(scripts) == 1
    assert templates.static("report.js") in parsed.texts["script"]
    titles = {a["title"] for a in parsed.all("th") if a.get("title")}
    assert set(HOSTILE) <= titles
    alts = {a["alt"] for a in parsed.all("img")}
    assert any(alt and HOSTILE[0] in alt for alt in alts)


def test_script_urls_of_cards_are_not_links(tmp_path: Path) -> None:
    board = FakeRun(tmp_path).board()
    cards = {
        name: dataclasses.replace(card, paper="javascript:alert(1)", code="JavaScript:x")
        for name, card in board.methods.items()
    }
    parsed = Page(render_page(dataclasses.replace(board, methods=cards)))
    assert not [a for a in parsed.all("a") if "javascript" in (a["href"] or "").lower()]


@pytest.mark.parametrize("name", section_names())
def test_every_section_renders_alone(name: str, board: Board, hostile: Board) -> None:
    section = registry.load("reports", name)
    for each in (board, hostile):
        fragment = section().html(each)
        # test_fronts.py tests the curves of a study
        assert bool(fragment.strip()) == (name not in {*FILES_ONLY, "fronts"})
        Page(fragment)


def test_every_picture_is_embedded_once(page: str) -> None:
    parsed = Page(page)
    shown = {a["data-picture"]: a["src"] for a in parsed.all("img") if "data-picture" in a}
    start = page.index('id="picture-store">') + len('id="picture-store">')
    store = json.loads(page[start : page.index("</script>", start)])
    assert shown
    assert store
    assert not set(shown) & set(store)
    wanted = {a["data-picture"] for _, a in parsed.elements if "data-picture" in a}
    assert wanted == set(shown) | set(store)


def test_pictures_are_links_when_not_embedded(board: Board, tmp_path: Path) -> None:
    path = write_report(board, tmp_path / "deep" / "er", ["html"], embed=False)[0]
    text = path.read_text(encoding="utf-8")
    assert "data:image" not in text
    sources = [a["src"] or "" for a in Page(text).all("img") if "data-picture" in a]
    assert sources
    for source in sources:
        assert source.startswith("pictures/")
        assert (path.parent / source).is_file()
    lazy = [a.get("loading") for a in Page(text).all("img") if "data-picture" in a]
    assert set(lazy) == {"lazy"}


def test_a_page_in_the_run_folder_links_to_its_files(board: Board) -> None:
    path = write_report(board, board.root / "report", ["html"], embed=False)[0]
    sources = [a["src"] or "" for a in Page(path.read_text()).all("img") if "data-picture" in a]
    assert all((path.parent / source).is_file() for source in sources)
    assert all(source.startswith("../") for source in sources)
    assert sorted(p.name for p in path.parent.iterdir()) == ["index.html"]


def test_pictures_outside_the_run_are_never_read(board: Board, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes((board.root / board.pictures[0].file).read_bytes())
    units = board.units.assign(output=str(secret))
    text = render_page(dataclasses.replace(board, units=units))
    assert "Missing from the run folder: 1 file." in text


def test_script_and_page_sizes(page: str) -> None:
    assert len(templates.static("report.js").encode()) < 40_000
    assert len(page.encode()) < 20_000_000


def test_pictures_are_omitted_if_the_page_is_too_large(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "LIMIT", len(render_page(board).encode()) - 10_000)
    page = render_page(board)
    assert len(page.encode()) < pictures.LIMIT
    assert re.search(r"Omitted to keep the page below 20 MB: \d+ picture", page)


def test_table_of_the_page_has_the_numbers_of_the_board(page: str, board: Board) -> None:
    rows = re.findall(r'<tbody class="entry".*?</tbody>', page, flags=re.S)
    assert len(rows) == len(board.leaderboard)
    by_method = board.leaderboard.set_index("method")
    heads = re.findall(r'<th scope="col" data-key="([^"]+)"', page)
    for row in rows:
        method = re.search(r'class="sticky name" title="([^"]+)"', row)
        assert method
        cells = re.findall(r'<td [^>]*data-value="([^"]*)" data-column="(\d+)"', row)
        assert len(cells) == len(heads) - 4
        for value, column in cells:
            expected = by_method.loc[method[1], heads[int(column) + 4]]
            assert (value == "" and math.isnan(expected)) or float(value) == expected


def test_rows_sorted_by_rank_are_in_the_order_of_the_board(page: str, board: Board) -> None:
    rows = re.findall(r'<tbody class="entry".*?</tbody>', page, flags=re.S)
    places = {}
    for row in rows:
        method = re.search(r'class="sticky name" title="([^"]+)"', row)
        place = re.search(r'<td class="num rank" data-value="([^"]+)"', row)
        assert method
        assert place
        places[method[1]] = float(place[1])
    assert sorted(places, key=places.__getitem__) == board.leaderboard["method"].to_list()


def test_csv_round_trips_with_the_same_numbers(board: Board, tmp_path: Path) -> None:
    path = write_report(board, tmp_path, ["csv"])[0]
    assert path.name == "leaderboard.csv"
    table = pd.read_csv(path)
    assert table.columns[0] == "method"
    pd.testing.assert_frame_equal(
        table[board.leaderboard.columns], board.leaderboard, check_exact=True
    )


def test_markdown_table_is_well_formed(hostile: Board, tmp_path: Path) -> None:
    path = write_report(hostile, tmp_path, ["md"])[0]
    lines = path.read_text(encoding="utf-8").split("\n")
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == len(hostile.leaderboard) + 2
    widths = {len(re.split(r"(?<!\\)\|", line)) for line in table}
    assert len(widths) == 1
    assert "<script" not in "\n".join(table)


def test_parquet_holds_every_score(board: Board, tmp_path: Path) -> None:
    path = write_report(board, tmp_path, ["parquet"])[0]
    scores = pd.read_parquet(path)
    assert list(scores.columns) == list(board.scores.columns)
    np.testing.assert_array_equal(scores["value"], board.scores["value"])


def test_latex_table_compiles(hostile: Board, tmp_path: Path) -> None:
    table = write_report(hostile, tmp_path, ["tex"])[0].read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.endswith(r"\\")]
    assert len(rows) == len(hostile.leaderboard) + 1
    assert len({len(re.split(r"(?<!\\)&", row)) for row in rows}) == 1
    measured = sorted(measured_metrics(hostile), key=lambda c: (not c.role, c.order))
    marked = {r"\textbf": 0, r"\underline": 0}
    for card in measured[:6]:
        losses = sorted(row.loss(card) for row in contenders(leaderboard_rows(hostile), card))
        for mark, loss in zip(marked, sorted(set(losses)), strict=False):
            marked[mark] += losses.count(loss)
    assert {mark: table.count(mark) for mark in marked} == marked
    engine = next(filter(None, map(shutil.which, ("pdflatex", "lualatex", "xelatex"))), None)
    if engine is None:
        pytest.skip("no TeX engine: apt-get install texlive-latex-recommended")
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\n"
        "\\begin{document}\\input{leaderboard.tex}\\end{document}\n"
    )
    options = ["-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run([engine, *options], cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


@pytest.mark.parametrize(
    ("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_figures_are_made_and_repeat(
    kind: str, start: bytes, board: Board, hostile: Board, tmp_path: Path
) -> None:
    first = write_report(board, tmp_path / "a", [kind])[0].read_bytes()
    again = write_report(board, tmp_path / "b", [kind])[0].read_bytes()
    other = write_report(hostile, tmp_path / "c", [kind])[0].read_bytes()
    assert first.startswith(start)
    assert first == again
    assert first != other


def test_template_section_is_complete(board: Board) -> None:
    path = registry.folder("reports") / "_template.py"
    registry.add(registry.Plugin("reports", "my_section", path, "test"))
    text = render_page(board)
    assert 'data-section="my_section"' in text
    assert 'class="broken"' not in text


def test_write_report_leaves_no_other_files(board: Board, tmp_path: Path) -> None:
    written = write_report(board, tmp_path / "report", formats())
    assert sorted(written) == sorted((tmp_path / "report").iterdir())


def test_unknown_format_is_refused_with_a_suggestion(board: Board, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'parquet'"):
        write_report(board, tmp_path, ["parket"])


BOARDS: dict[str, dict[str, Any]] = {
    "no timings": {"timings": False},
    "all failed": {"fail": 1.1, "profiles": PROFILES[3:]},
    "one method": {"profiles": PROFILES[4:5]},
    "one baseline": {"profiles": PROFILES[:1]},
    "one pair": {"contents": 1, "styles": 1},
    "two sizes": {"sizes": (32, 48)},
}


@pytest.mark.parametrize("settings", BOARDS.values(), ids=BOARDS.keys())
def test_partial_boards_render(settings: dict[str, Any], tmp_path: Path) -> None:
    board = FakeRun(tmp_path / "run", **settings).board()
    text = render_page(board)
    Page(text)
    assert 'class="broken"' not in text
    # one of the three figure formats is enough: the drawing is the same
    chosen = [f for f in formats() if f not in {"png", "pdf"}]
    assert write_report(board, tmp_path / "out", chosen)


def test_board_without_any_scores_renders(tmp_path: Path) -> None:
    full = FakeRun(tmp_path, fail=1.1, profiles=PROFILES[3:4]).board()
    columns = [c for c in full.leaderboard.columns if not c.startswith(tuple(full.metrics))]
    bare = dataclasses.replace(
        full, scores=full.scores.iloc[:0], leaderboard=full.leaderboard[columns], metrics={},
        timings=(), pictures=(),
    )  # fmt: skip
    text = render_page(bare)
    Page(text)
    assert 'class="broken"' not in text


def test_metric_names_are_not_hard_coded(tmp_path: Path) -> None:
    board = FakeRun(tmp_path).board()
    new = {name: f"my_{name}" for name in board.metrics}
    columns = {f"{k}{end}": f"{v}{end}" for k, v in new.items() for end in ("", "_low", "_high")}
    renamed = dataclasses.replace(
        board,
        metrics={new[n]: dataclasses.replace(c, name=new[n]) for n, c in board.metrics.items()},
        leaderboard=board.leaderboard.rename(columns=columns),
        scores=board.scores.assign(metric=board.scores["metric"].map(new)),
    )
    text = render_page(renamed)
    for part in render_page(board).split("<section")[1:]:
        name = re.search(r'data-section="([^"]+)"', part)
        assert name
        assert f'data-section="{name[1]}"' in text


def test_broken_section_is_a_visible_note(board: Board, tmp_path: Path) -> None:
    head = "from nstbench.contracts import Section, SectionInfo\n"
    body = 'class S(Section):\n    info = SectionInfo("S")\n'
    (tmp_path / "cannot_import.py").write_text("import no_such_module_of_ours\n")
    (tmp_path / "cannot_draw.py").write_text(
        head + body + "    def html(self, board):\n        raise ValueError('<b>boom</b>')\n"
    )
    for path in tmp_path.glob("*.py"):
        registry.add(registry.Plugin("reports", path.stem, path, "test"))
    text = render_page(board)
    assert text.count('class="broken"') == 2
    assert "no_such_module_of_ours" in text
    assert "ValueError: &lt;b&gt;boom&lt;/b&gt;" in text
    assert 'data-section="leaderboard"' in text


def test_every_template_is_rendered(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = set()
    load = templates.environment().get_template
    monkeypatch.setattr(
        templates.environment(),
        "get_template",
        lambda name, *more: rendered.add(name) or load(name, *more),
    )
    study = fake_study(tmp_path / "study")
    for page in (render_page(board), render_page(study)):
        Page(page)
    write_comparison([board, study], tmp_path / "comparison", ["html"])
    folders = [templates.SHELL / "templates", registry.folder("reports") / "templates"]
    names = {path.name for folder in folders for path in folder.iterdir()}
    # the other two pages have their own tests
    assert rendered == names - {"history.html", "validation.html"}
