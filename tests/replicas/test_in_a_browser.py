"""The page through Ray Serve's proxy, in a real browser."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page, Request, expect

from lungapp.replicas.stay import GONE
from tests.browser.conftest import Visit, chromium, visit  # noqa: F401
from tests.fakes import SERVER_WARNINGS
from tests.replicas.test_replicas import process_of
from tests.test_isolation import PHANTOM

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

CALM, PAUSE_MS = 10, 200
"""A page is idle that has nothing under way so many times in a row, so far apart."""


class Idle:
    """Waits until ``page`` has nothing under way that began after this."""

    def __init__(self, page: Page) -> None:
        self._page, self._open = page, set[Request]()
        page.on("request", lambda request: self._open.add(request))
        page.on("requestfinished", lambda request: self._open.discard(request))
        page.on("requestfailed", lambda request: self._open.discard(request))

    def wait(self) -> None:
        calm = 0
        for _ in range(300):
            self._page.wait_for_timeout(PAUSE_MS)
            calm = 0 if self._open else calm + 1
            if calm == CALM:
                return
        raise AssertionError(f"still under way: {[request.url for request in self._open]}")


def test_an_analysis_and_then_the_end_of_the_replica(address: str, visit: Callable[..., Visit]) -> None:  # noqa: F811
    seen = visit(address)
    idle = Idle(seen.page)
    seen.upload(PHANTOM)
    expect(seen.page.get_by_text("Cannot be excluded at")).to_be_visible(timeout=120_000)
    idle.wait()
    assert seen.errors == []
    cookies = {cookie["name"]: cookie["value"] for cookie in seen.page.context.cookies()}
    with httpx.Client(base_url=address, cookies=cookies) as same:
        os.kill(process_of(same), signal.SIGKILL)
    seen.page.get_by_role("button", name="Analyse").click()
    expect(seen.page.get_by_text(GONE)).to_be_visible(timeout=120_000)
    seen.page.reload()
    seen.page.get_by_role("heading", name="No slice yet").wait_for(timeout=120_000)
    seen.upload(PHANTOM)
    expect(seen.page.get_by_text("Cannot be excluded at")).to_be_visible(timeout=120_000)
    seen.errors.clear()  # what the browser itself notes of a stream that broke off, and of the refusal
