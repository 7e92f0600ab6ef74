"""Take the pictures of a report for the documentation: light, dark, phone, gallery.

Usage: ``python docs/screenshots.py runs/NAME/report/index.html docs/images``. Needs
Playwright and Chromium (``NSTBENCH_CHROMIUM`` is its path if it is not on ``PATH``).
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

VIEWS = {
    "report_light": ("light", 1280, 1700, ""),
    "report_dark": ("dark", 1280, 1700, ""),
    "report_gallery": ("light", 1280, 1000, "gallery"),
    "report_phone": ("light", 390, 844, ""),
}
"""File name -> colour scheme, width and height in pixels, section to scroll to."""

PATHS = ("chromium", "chromium-browser", "google-chrome")


def photograph(browser: Browser, page: Path, out: Path) -> None:
    """Write one WebP picture per view of ``page`` into ``out``."""
    for name, (scheme, width, height, section) in VIEWS.items():
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        tab = context.new_page()
        tab.goto(page.resolve().as_uri() + (f"#/at={section}" if section else ""))
        tab.wait_for_timeout(500)
        # a PNG file of a page with many photographs is five times as large
        Image.open(io.BytesIO(tab.screenshot())).convert("RGB").save(
            out / f"{name}.webp", quality=88, method=6
        )
        context.close()


def main() -> None:
    """Take the page and the folder from the command line, and write the pictures."""
    page, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("NSTBENCH_CHROMIUM") or next(
        filter(None, map(shutil.which, PATHS)), ""
    )
    if not chromium:
        sys.exit("screenshots need Chromium: apt-get install chromium, or set NSTBENCH_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        photograph(browser, page, out)
        browser.close()


if __name__ == "__main__":
    main()
