"""The page in a browser: sorting, filters, charts, gallery, links and accessibility."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fake_board import HOSTILE

Open = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Return a function that opens an address.

    At the end, no page may have logged a message, opened a dialog or sent a request.
    """
    events: list[str] = []
    contexts = []

    def open_(address: str, **settings: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1300, "height": 900}, **settings})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: events.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda e: events.append(f"error: {e}"))
        page.on("dialog", lambda d: events.append(f"dialog: {d.message}"))
        page.on(
            "request",
            lambda r: None if r.url.startswith(("file:", "data:")) else events.append(r.url),
        )
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert events == []


@contextmanager
def same_page(page: Any) -> Iterator[None]:
    """Check that an action does not load another document."""
    page.evaluate("window.sameDocument = true")
    yield
    assert page.evaluate("window.sameDocument") is True


def column(page: Any, key: str) -> list[float]:
    """Return the values of a column from top to bottom, without baselines."""
    return page.evaluate(
        """key => {
          const heads = [...document.querySelectorAll('#board thead > tr:first-child > th')];
          const index = heads.findIndex(h => h.dataset.key === key);
          return [...document.querySelectorAll('#board .entry[data-group=methods]')]
            .filter(e => !e.hidden).map(e => Number(e.rows[0].cells[index].dataset.value));
        }""",
        key,
    )


def test_no_other_file_is_loaded(open_page: Open, url: str) -> None:
    page = open_page(url)
    loaded = page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []


def test_sorting_by_mouse_and_keyboard(open_page: Open, url: str) -> None:
    page = open_page(url)
    head = page.locator('#board th[data-key="latency"]')
    head.locator("button").click()
    values = column(page, "latency")
    assert len(values) > 2
    assert values == sorted(values)
    assert head.get_attribute("aria-sort") == "ascending"
    assert page.locator("#board th[aria-sort]").count() == 1
    head.locator("button").press("Enter")
    assert column(page, "latency") == sorted(values, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    last = page.locator("#board tbody.entry").last
    assert last.get_attribute("data-group") == "baselines"


def test_columns_with_higher_is_better_sort_best_first(open_page: Open, url: str) -> None:
    page = open_page(url + "#/cols=ssim")
    page.locator('#board th[data-key="ssim"] button').click()
    values = column(page, "ssim")
    assert values == sorted(values, reverse=True)


def test_filter_and_baselines(open_page: Open, url: str) -> None:
    page = open_page(url)
    rows = page.locator("#board .entry:visible")
    everything = rows.count()
    page.fill("#board-filter", "gatys")
    assert rows.count() == 1
    assert page.locator("#board-count").inner_text() == f"1 of {everything} rows"
    page.fill("#board-filter", "")
    page.locator("#board-baselines").uncheck()
    assert rows.count() == everything - 3
    assert not page.locator("#board .group").is_visible()


def test_column_chooser(open_page: Open, url: str) -> None:
    page = open_page(url)
    head = page.locator('#board th[data-key="ssim"]')
    assert not head.is_visible()
    page.locator("#board-columns summary").click()
    page.locator('#board-columns input[data-key="ssim"]').check()
    assert head.is_visible()


def test_rows_expand_to_values_per_style(open_page: Open, url: str) -> None:
    page = open_page(url)
    entry = page.locator("#board .entry").first
    button = entry.locator(".expand")
    assert button.get_attribute("aria-expanded") == "false"
    button.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    assert entry.locator(".mini tbody tr:visible").count() == 3
    button.click()
    assert not entry.locator(".mini").is_visible()


@pytest.mark.parametrize("way", ["hover", "focus"])
def test_marks_of_charts_have_tooltips(open_page: Open, url: str, way: str) -> None:
    page = open_page(url)
    mark = page.locator('#tradeoff .wide .mark[aria-label*="gatys_2015"]')
    mark.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    getattr(mark, way)()
    tip = page.locator("#tip")
    tip.wait_for(state="visible")
    assert re.search(
        r"gatys_2015\nUEF 0\.\d+ \[0\.\d+, 0\.\d+\]\nLatency 48\.0 s", tip.inner_text()
    )
    page.keyboard.press("Escape")
    assert tip.is_hidden()


def test_a_click_on_a_mark_selects_a_method(open_page: Open, url: str) -> None:
    page = open_page(url)
    mark = page.locator('#tradeoff .wide .mark[aria-label*="johnson_2016"]')
    mark.focus()
    page.keyboard.press("Enter")
    assert mark.get_attribute("aria-pressed") == "true"
    assert page.locator("#board .entry:visible").count() == 1
    assert page.locator("#gallery-grid figure").count() == 3
    page.locator("#selection button").click()
    assert page.locator("#board .entry:visible").count() == 7
    assert page.locator("#selection").is_hidden()


def test_linked_pictures_are_loaded_when_visible(open_page: Open, folder_url: str) -> None:
    # a low viewport, because a browser loads lazy pictures some screens ahead
    page = open_page(folder_url, viewport={"width": 1300, "height": 200})
    pictures = "[...document.querySelectorAll('#gallery-grid img')]"
    assert set(page.evaluate(f"{pictures}.map(i => i.loading)")) == {"lazy"}
    page.locator("#gallery-grid").scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    assert page.evaluate(f"{pictures}[0].naturalWidth") == 64
    page.locator("#compare").scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    assert page.evaluate("document.querySelector('#compare-b').naturalWidth") == 64


def test_comparison_slider_by_keyboard(open_page: Open, url: str) -> None:
    page = open_page(url)
    slider = page.locator("#compare-position")
    slider.focus()
    before = page.evaluate("document.querySelector('#compare-b').style.clipPath")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    after = page.evaluate("document.querySelector('#compare-b').style.clipPath")
    assert "50%" in before
    assert "60%" in after
    assert page.evaluate("document.querySelector('#compare-b').naturalWidth") > 0


def test_difference_overlay(open_page: Open, url: str) -> None:
    page = open_page(url)
    page.locator("#compare-difference").check()
    mode = "getComputedStyle(document.querySelector('#compare-b')).mixBlendMode"
    assert page.evaluate(mode) == "difference"


def test_gallery_shows_the_selected_pair(open_page: Open, url: str) -> None:
    page = open_page(url)
    page.select_option("#gallery-content", "content_2")
    page.select_option("#gallery-style", "style_1")
    alts = page.locator("#gallery-grid img").evaluate_all("i => i.map(x => x.alt)")
    assert alts[:2] == ["Content: content_2", "Style: style_1"]
    widths = page.locator("#gallery-grid img").evaluate_all("i => i.map(x => x.naturalWidth)")
    assert set(widths) == {64}
    page.locator(".pair-link").nth(3).click()
    wanted = page.locator(".pair-link").nth(3).get_attribute("data-content")
    assert page.locator("#gallery-content").input_value() == wanted


def test_gallery_shows_error_maps_on_request(open_page: Open, maps_url: str, url: str) -> None:
    page = open_page(maps_url)
    images = page.locator("#gallery-grid figure:not(.input) img")
    before = images.evaluate_all("i => i.map(x => x.src)")
    page.select_option("#gallery-view", "style")
    after = images.evaluate_all("i => i.map(x => x.src)")
    assert len(before) == len(after) > 1
    assert all(picture != drawn for picture, drawn in zip(before, after, strict=True))
    assert "Map of the style error of" in (images.first.get_attribute("alt") or "")
    reopened = open_page(page.url)
    assert reopened.locator("#gallery-view").input_value() == "style"
    assert open_page(url).locator("#gallery-view").count() == 0


def test_blind_mode_hides_names_until_clicked(open_page: Open, url: str) -> None:
    page = open_page(url)
    grid = page.locator("#gallery-grid")
    assert "gatys_2015" in grid.inner_text()
    page.locator("#gallery-blind").check()
    alts = page.locator("#gallery-grid img, .compare img").evaluate_all("i => i.map(x => x.alt)")
    blind = f"{grid.inner_text()} {alts} {page.locator('.compare-tools').inner_html()}"
    assert not re.search("gatys|johnson|ghiasi|dumoulin|UEF", blind)
    count = page.locator("#gallery-grid .reveal").count()
    page.locator("#gallery-grid .reveal").first.click()
    assert page.locator("#gallery-grid .reveal").count() == count - 1
    assert "UEF" in grid.inner_text()


def test_pictures_open_at_full_size_and_step_by_keyboard(open_page: Open, url: str) -> None:
    page = open_page(url)
    pictures = page.locator("#gallery-grid .enlarge")
    pictures.nth(1).press("Enter")
    zoom = page.locator("#zoom")
    assert zoom.is_visible()
    assert "Style: style" in zoom.locator("#zoom-text").inner_text()
    assert "64 × 64 px" in zoom.locator("#zoom-text").inner_text()
    page.keyboard.press("ArrowRight")
    assert zoom.locator("img").get_attribute("alt").startswith("Output of")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert zoom.locator("img").get_attribute("alt").startswith("Content: ")
    page.keyboard.press("Escape")
    assert zoom.is_hidden()
    assert page.evaluate("document.activeElement.className") == "enlarge"
    page.locator("#gallery-blind").check()
    pictures.nth(2).click()
    assert zoom.locator("#zoom-text").inner_text().startswith("Output ")
    assert not re.search("gatys|johnson|ghiasi|dumoulin", zoom.inner_html())


def test_a_link_reopens_the_same_view(open_page: Open, url: str) -> None:
    page = open_page(url)
    with same_page(page):
        page.locator('#board th[data-key="style_error"] button').click()
        page.locator('#board th[data-key="style_error"] button').click()
        page.fill("#board-filter", "20")
        page.locator("#board .entry:visible .expand").first.click()
        page.select_option("#gallery-content", "content_1")
        page.locator("#gallery-blind").check()
        page.locator("#theme").click()
    again = open_page(page.url)
    for look in (
        "[...document.querySelectorAll('#board .entry')].map(e => [e.dataset.method, e.hidden])",
        "[...document.querySelectorAll('[aria-expanded=true]')].map(e => e.textContent)",
        "document.querySelector('#gallery-grid').innerHTML",
        "document.documentElement.dataset.theme",
        "document.querySelector('#board-filter').value",
    ):
        assert again.evaluate(look) == page.evaluate(look)
    head = again.locator('#board th[data-key="style_error"]')
    assert head.get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_runs_side_by_side(open_page: Open, axe: Any, comparison_url: str, scheme: str) -> None:
    page = open_page(comparison_url, color_scheme=scheme, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("window.pwned") is None
    rows = page.locator('[aria-label="Differences in UEF, B minus A"] tbody tr')
    assert rows.count() == 7
    assert rows.first.is_visible()
    closed = page.locator('[aria-label="Differences in SSIM, C minus A"]')
    assert not closed.is_visible()
    for details in page.locator("main details").all():
        details.evaluate("node => { node.open = true; }")
    assert closed.is_visible()
    assert axe.run(page).response["violations"] == []


def test_a_link_opens_at_its_section(open_page: Open, url: str) -> None:
    page = open_page(url + "#/at=provenance")
    assert (
        abs(page.evaluate("document.querySelector('#provenance').getBoundingClientRect().top"))
        < 100
    )


def test_another_view_opens_without_a_reload(open_page: Open, url: str) -> None:
    page = open_page(url)
    page.evaluate("location.hash = '#/q=johnson&theme=dark'")
    page.wait_for_function("document.querySelectorAll('#board .entry:not([hidden])').length === 1")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def background(page: Any) -> int:
    """Return the red channel of the background colour, 0 to 255."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return int(re.findall(r"\d+", colour)[0])


def test_dark_mode_follows_the_system_and_the_button(open_page: Open, url: str) -> None:
    assert background(open_page(url)) > 200
    page = open_page(url, color_scheme="dark")
    assert background(page) < 60
    page.locator("#theme").click()
    assert background(page) > 200


def test_tables_charts_and_pictures_work_without_a_script(open_page: Open, url: str) -> None:
    page = open_page(url, java_script_enabled=False)
    assert page.locator("#board .entry").count() == 7
    assert page.locator("#board .entry").first.is_visible()
    assert page.locator('#board th[data-key="ssim"]').is_visible()
    assert page.locator("#tradeoff .wide svg").is_visible()
    picture = page.locator(".static-gallery img").first
    assert picture.is_visible()
    assert picture.bounding_box()["width"] > 50
    for selector in (".needs-script", "#selection", "#tip"):
        for i in range(page.locator(selector).count()):
            assert page.locator(selector).nth(i).is_hidden()
    page.locator("#board .detail summary").first.click()
    assert page.locator("#board .mini").first.is_visible()


@pytest.mark.parametrize("kind", ["url", "hostile_url"])
def test_page_fits_a_phone(open_page: Open, kind: str, request: pytest.FixtureRequest) -> None:
    page = open_page(request.getfixturevalue(kind), viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#tradeoff .narrow svg").is_visible()
    assert page.locator("#tradeoff .wide svg").is_hidden()


def test_phone_shows_name_and_quality(open_page: Open, url: str) -> None:
    page = open_page(url, viewport={"width": 390, "height": 844})
    box = page.locator('#board .entry td[data-column="0"] .value').first.bounding_box()
    assert box["x"] + box["width"] < 390
    assert page.locator("#board .entry .tight .partial").first.is_visible()


def test_hostile_names_run_no_script(open_page: Open, hostile_url: str) -> None:
    page = open_page(hostile_url)
    page.locator('#board th[data-key="method"] button').click()
    page.locator("#gallery-blind").check()
    page.locator("#gallery-blind").uncheck()
    for mark in page.locator("#tradeoff .wide .mark").all():
        mark.focus()
    page.locator("#board .expand").first.click()
    page.select_option("#gallery-content", HOSTILE[0])
    page.select_option("#gallery-style", HOSTILE[1])
    assert page.evaluate("window.pwned") is None
    assert page.locator("script").count() == 2
    alts = page.locator("#gallery-grid img").evaluate_all("i => i.map(x => x.alt)")
    assert alts[:2] == [f"Content: {HOSTILE[0]}", f"Style: {HOSTILE[1]}"]


@pytest.mark.parametrize("kind", ["url", "hostile_url"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violations(
    open_page: Open, axe: Any, kind: str, scheme: str, request: pytest.FixtureRequest
) -> None:
    page = open_page(request.getfixturevalue(kind), color_scheme=scheme)
    page.locator("#board .expand").first.click()
    for details in page.locator("main details").all():
        details.evaluate("node => { node.open = true; }")
    violations = axe.run(page).response["violations"]
    bad = [
        (v["id"], n["html"][:200], n.get("failureSummary", "")[:300])
        for v in violations
        for n in v["nodes"]
    ]
    assert bad == []


def test_downloads_have_data(open_page: Open, url: str) -> None:
    page = open_page(url)
    for name in ("leaderboard.csv", "board.json", "scores.csv.gz"):
        with page.expect_download() as download:
            page.locator(f'a[download="{name}"]').click()
        assert download.value.suggested_filename == name
        assert download.value.path().stat().st_size > 100


def test_print_shows_the_static_gallery(open_page: Open, url: str) -> None:
    page = open_page(url)
    page.emulate_media(media="print")
    assert page.locator(".static-gallery").is_visible()
    assert page.locator("#gallery-picker").is_hidden()
    assert page.locator(".bar-top").is_hidden()


def test_print_is_light_and_fits_the_leaderboard(open_page: Open, url: str) -> None:
    page = open_page(url + "#/theme=dark", viewport={"width": 720, "height": 1000})
    assert background(page) < 60
    page.emulate_media(media="print")
    assert background(page) == 255
    ink = page.evaluate("getComputedStyle(document.body).color")
    assert int(re.findall(r"\d+", ink)[0]) < 60
    assert page.evaluate("document.querySelector('#board').getBoundingClientRect().right") <= 720
