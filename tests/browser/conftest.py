"""A real browser on a real server: Chromium, steered by Playwright's own calls."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest
from matplotlib import get_data_path
from playwright.sync_api import Browser, Page, expect, sync_playwright

from lungapp.engine import Engine
from lungapp.ui import EXAMPLES
from tests.fakes import FakeEngine, serve

QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
FLAGS = ("--no-sandbox", "--disable-gpu", *QUIET)


expect.set_options(timeout=120_000)
"""For a slow machine; Playwright's own is five seconds."""

FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><dir>{folder}</dir><cachedir>{cache}</cachedir></fontconfig>"""
"""Of the browser: those that come with matplotlib, whatever else is installed, so that words are as wide everywhere."""

CUT_OFF = re.compile("BodyStreamBuffer was aborted|Connection errored out")
"""What a page says of its open streams when it is left."""


@dataclass
class Visit:
    """One open page, and what it did that a page should not do."""

    page: Page
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def go_on(self, address: str) -> None:
        """Leave for ``address``. What a page says when its open streams are cut off by that is nobody's concern."""
        assert self.errors == []
        self.page.goto("about:blank")
        self.errors.clear()
        self.page.goto(address)

    def forget_what_was_cut_off(self) -> None:
        self.errors = [error for error in self.errors if not CUT_OFF.search(error)]

    def upload(self, file: Path | dict[str, object]) -> None:
        self.page.locator("#la-file input[type=file]").set_input_files(file)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = os.environ.get("LUNGAPP_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        reason = "No browser: set LUNGAPP_CHROMIUM to Chromium's path, or install it."
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    own = tmp_path_factory.mktemp("fonts")
    (own / "fonts.conf").write_text(FONTS.format(folder=Path(get_data_path()) / "fonts" / "ttf", cache=own / "cache"))
    fonts = {**os.environ, "FONTCONFIG_FILE": str(own / "fonts.conf")}
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=list(FLAGS), env=fonts)  # type: ignore[arg-type]
        yield running
        running.close()


@pytest.fixture(scope="module")
def fake_address() -> Iterator[str]:
    with serve(FakeEngine()) as url:
        yield url


@pytest.fixture(scope="module")
def real_address() -> Iterator[str]:
    with serve(Engine()) as url:
        yield url


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Visit]]:
    """Open an address at a width, in a colour scheme; errors in the console fail the test at its end."""
    visits: list[Visit] = []

    def open_page(address: str, width: int = 1280, scheme: str = "light") -> Visit:
        context = chromium.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
        seen = Visit(context.new_page())
        seen.page.on("console", lambda said: seen.errors.append(said.text) if said.type == "error" else None)
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
        own = (address, "data:", "blob:")
        seen.page.on("request", lambda asked: None if asked.url.startswith(own) else seen.foreign.append(asked.url))
        seen.page.goto(address)
        seen.page.get_by_role("heading", name="No slice yet").wait_for(timeout=120_000)
        visits.append(seen)
        return seen

    yield open_page
    for seen in visits:
        seen.page.context.close()
        assert seen.errors == []
        assert seen.foreign == [], "the page must not fetch anything from elsewhere"


@pytest.fixture
def speaker(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Open an address in a browser that asks for a language."""
    visits: list[Visit] = []

    def open_page(address: str, language: str, width: int = 1280) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": 844}, locale=language)
        seen = Visit(context.new_page())
        seen.page.on("console", lambda said: seen.errors.append(said.text) if said.type == "error" else None)
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
        # A link may leave the page, as the languages' do; what it says of that is nobody's concern.
        seen.page.on("framenavigated", lambda _: seen.forget_what_was_cut_off())
        seen.page.goto(address)
        seen.page.locator(".la-empty").first.wait_for(timeout=120_000)
        visits.append(seen)
        return seen.page

    yield open_page
    for seen in visits:
        seen.page.context.close()
        assert seen.errors == []


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe-core, as the package axe-playwright-python brings it."""
    if not find_spec("axe_playwright_python"):
        reason = "No axe-core: pip install -r requirements-dev.txt"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    from axe_playwright_python.base import AXE_FILE_PATH

    return AXE_FILE_PATH.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def chest_slice() -> Path:
    """A slice of the dataset where there is one, or else a phantom."""
    data = os.environ.get("LUNGAPP_DATA")
    real = sorted(Path(data).glob("Malignant cases/*.jpg")) if data else []
    return real[0] if real else EXAMPLES / "phantom-mass.png"
