"""What stands around the page, in a browser: a reason to wait, a login, words where there is no room."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from lungapp.results import Analysis
from lungapp.settings import Settings
from lungapp.ui import EXAMPLES
from lungapp.users import hash_password
from tests.browser.conftest import CUT_OFF, Visit
from tests.fakes import SERVER_WARNINGS, FakeEngine, serve

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

PHANTOM = EXAMPLES / "phantom-mass.png"
PASSWORD = "a long enough pass phrase"


class LoadingEngine(FakeEngine):
    """Its models are being loaded until ``loaded`` is set; an analysis waits for that."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded = threading.Event()

    def states(self) -> dict[str, tuple[str, str]]:
        return {name: ("ready" if self.loaded.is_set() else "loading", "") for name in super().states()}

    def analyse(self, *arguments: Any, **options: Any) -> Analysis:
        self.loaded.wait(60)
        return super().analyse(*arguments, **options)


def test_a_first_analysis_says_why_it_waits_and_then_answers(visit: Callable[..., Visit]) -> None:
    engine = LoadingEngine()
    with serve(engine) as url:
        seen = visit(url)
        seen.upload(PHANTOM)
        expect(seen.page.get_by_text("The models are being loaded")).to_be_visible(timeout=120_000)
        engine.loaded.set()
        expect(seen.page.get_by_text("Cannot be excluded at")).to_be_visible(timeout=120_000)
        expect(seen.page.get_by_text("The models are being loaded")).to_have_count(0)
        seen.page.context.close()


def test_a_full_disk_is_said_on_the_page(chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> list[str]:
        raise OSError(errno.ENOSPC, "No space left on device")

    with serve(FakeEngine()) as url:
        page = chromium.new_context().new_page()
        page.goto(url)
        page.get_by_role("heading", name="No slice yet").wait_for(timeout=120_000)
        with monkeypatch.context() as patch:
            patch.setattr("lungapp.ui.upload_route._receive", full)
            page.locator("#la-file input[type=file]").set_input_files(PHANTOM)
            expect(page.get_by_text("Expected room for the upload")).to_be_visible(timeout=120_000)
        page.reload()
        page.get_by_role("heading", name="No slice yet").wait_for(timeout=120_000)
        page.locator("#la-file input[type=file]").set_input_files(PHANTOM)
        expect(page.get_by_text("Cannot be excluded at")).to_be_visible(timeout=120_000)
        page.context.close()


def test_a_login_and_then_an_analysis(chromium: Browser) -> None:
    with serve(FakeEngine(), Settings(users={"ada": hash_password(PASSWORD)})) as url:
        context = chromium.new_context()
        page, errors = context.new_page(), []
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto(url)
        name = page.get_by_label("Name")
        name.wait_for(timeout=120_000)
        assert page.get_by_text("No slice yet").count() == 0
        name.fill("ada")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="No slice yet").wait_for(timeout=120_000)
        page.locator("#la-file input[type=file]").set_input_files(PHANTOM)
        expect(page.get_by_text("Cannot be excluded at")).to_be_visible(timeout=120_000)
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("Password").wait_for(timeout=120_000)
        context.close()
    assert [error for error in errors if not CUT_OFF.search(error)] == []


def test_an_ended_login_is_said_on_the_page(chromium: Browser) -> None:
    with serve(FakeEngine(), Settings(users={"ada": hash_password(PASSWORD)})) as url:
        context = chromium.new_context()
        page = context.new_page()
        page.goto(url)
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="No slice yet").wait_for(timeout=120_000)
        page.locator("#la-file input[type=file]").set_input_files(PHANTOM)
        expect(page.get_by_text("Cannot be excluded at")).to_be_visible(timeout=120_000)
        context.clear_cookies()
        page.get_by_role("button", name="Analyse").click()
        expect(page.get_by_text("Load the page anew to log in")).to_be_visible(timeout=120_000)
        page.reload()
        page.get_by_label("Password").wait_for(timeout=120_000)
        context.close()
