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

from playwright.sync_api import Browser, sync_playwright

from lungapp.engine import Engine
from lungapp.settings import Settings
from lungapp.ui import EXAMPLES, build_demo, page_options

FOLDER = Path(__file__).parent / "images"
PHANTOM = EXAMPLES / "phantom-mass.png"
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
        _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, **page_options(settings))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            for width in SIZES:
                photograph(browser, address, scheme, width, folder / f"page-{scheme}-{width}.png")
        demo.close(verbose=False)


def photograph(browser: Browser, address: str, scheme: str, width: int, file: Path) -> None:
    """One picture of the whole page with the phantom analysed."""
    viewport = {"width": width, "height": SIZES[width]}
    page = browser.new_page(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(address)
    page.locator("#la-file input[type=file]").set_input_files(PHANTOM)
    page.locator(".la-supported, .la-unsupported").wait_for(timeout=WAIT)  # the map is drawn, and tested
    page.mouse.move(0, 0)
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(1000)
    page.screenshot(path=file, full_page=True)
    page.close()


if __name__ == "__main__":
    main()
