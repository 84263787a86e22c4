"""Takes the pictures of the page that the README shows: ``python -m docs.screenshots [--to FOLDER]``.

Needs Chromium and trained weights. It only ever shows a phantom, never a slice of the dataset.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from lungapp.engine import Engine
from lungapp.settings import Settings
from lungapp.startup import place
from lungapp.ui import EXAMPLES, Server, build_application, build_demo
from tests.series_files import phantom_series

FOLDER = Path(__file__).parent / "images"
PHANTOM = EXAMPLES / "phantom-mass.png"
SLICES = 24
"""Of the series: clear lungs in which a mass comes and goes along the patient."""

SIZES = {1440: 900, 390: 844}
WAIT = 120_000


def main() -> None:
    """Serve the page, photograph it in both schemes and widths, and stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder the pictures are written to")
    folder = parser.parse_args().to
    engine, settings = Engine(), Settings()
    if not engine.cards():
        sys.exit("Expected the weights of at least one model. Received: none.")
    chromium = os.environ.get("LUNGAPP_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as phantoms, sync_playwright() as playwright:
        # Examples that were added locally are real slices: the page is built without them.
        for file in EXAMPLES.glob("phantom-*"):
            shutil.copy(file, phantoms)
        demo = build_demo(engine, settings, Path(phantoms))
        host, port = place()
        server = Server(demo, build_application(demo, engine, settings), host, port)
        server.start()
        address = f"http://{host}:{port}"
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            for width in SIZES:
                photograph(browser, address, scheme, width, folder / f"page-{scheme}-{width}.png")
        photograph(browser, address, "light", 1440, folder / "compare-light-1440.png", compare=True)
        photograph_series(browser, address, folder / "series-light-1440.png")
        server.close()


def photograph(browser: Browser, address: str, scheme: str, width: int, file: Path, compare: bool = False) -> None:
    """One picture of the whole page with the phantom analysed, by the model picked at first or by all of them."""
    viewport = {"width": width, "height": SIZES[width]}
    page = browser.new_page(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(address)
    if compare:
        page.get_by_role("radio", name="All models").check()
    page.locator("#la-file input[type=file]").set_input_files(PHANTOM)
    page.locator(".la-supported, .la-unsupported").first.wait_for(timeout=WAIT)  # the map is drawn, and tested
    take(page, file)


def photograph_series(browser: Browser, address: str, file: Path) -> None:
    """One picture of the tab for series, with phantoms scored."""
    page = browser.new_page(viewport={"width": 1440, "height": SIZES[1440]}, color_scheme="light")
    page.goto(address)
    page.get_by_role("tab", name="Series").click()
    archive = {"name": "series.zip", "mimeType": "application/zip", "buffer": phantom_series(SLICES, 512)}
    page.locator("#la-series-file input[type=file]").set_input_files(archive)  # type: ignore[arg-type]
    page.locator(".la-waiting").wait_for(timeout=WAIT)
    page.locator("#la-series-button").click()
    page.locator("#la-series-table table").wait_for(timeout=WAIT)
    take(page, file, last="#la-suspicious")


def take(page: Page, file: Path, last: str = "") -> None:
    """The page as a picture, once it is at rest: the whole of it, or down to the element ``last``."""
    page.mouse.move(0, 0)
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(1000)
    if last:
        bottom = page.locator(last).evaluate("element => element.getBoundingClientRect().bottom")
        page.set_viewport_size({"width": 1440, "height": round(bottom) + 32})
    page.screenshot(path=file, full_page=not last)
    page.close()


if __name__ == "__main__":
    main()
