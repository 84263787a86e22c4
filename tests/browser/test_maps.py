"""A map that holds, or none: what a reader sees of a map before, without and after its test."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from lungapp.methods import METHODS
from lungapp.registry import MODELS
from lungapp.results import Analysis
from lungapp.ui import EXAMPLES, words
from tests.browser.conftest import Visit
from tests.fakes import SERVER_WARNINGS, FakeEngine, serve

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

Open = Callable[..., Visit]

WAIT = 60_000
NO_SIDEWAYS_SCROLL = "document.documentElement.scrollWidth <= window.innerWidth"


class Waiting(FakeEngine):
    """Tests a map when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_test = threading.Event()

    def measure_faithfulness(self, analysis: Analysis) -> Analysis:
        self.may_test.wait(60)
        return super().measure_faithfulness(analysis)


@pytest.fixture(scope="module")
def waiting() -> Iterator[tuple[str, Waiting]]:
    engine = Waiting()
    with serve(engine) as url:
        yield url, engine
        engine.may_test.set()


def upload(seen: Visit) -> Page:
    seen.upload(EXAMPLES / "phantom-nodule.dcm")
    return seen.page


def explain_by(page: Page, title: str) -> None:
    page.get_by_role("combobox", name="Explanation").click(timeout=WAIT)
    page.get_by_role("option", name=title).click()


def test_the_answer_is_there_before_the_map_is_tested(visit: Open, waiting: tuple[str, Waiting]) -> None:
    url, engine = waiting
    page = upload(visit(url))
    expect(page.locator("#la-answer").get_by_role("heading", level=2)).to_be_visible(timeout=WAIT)
    expect(page.get_by_role("img", name="The uploaded CT slice")).to_be_visible()
    expect(page.get_by_text(words.TESTING)).to_be_visible()
    expect(page.locator("img.la-heat")).to_have_count(0)
    expect(page.get_by_role("button", name="PDF report")).to_be_hidden()
    page.get_by_role("button", name="Zoom in").click()
    engine.may_test.set()
    expect(page.locator("img.la-heat")).to_be_visible(timeout=WAIT)
    expect(page.get_by_text(words.TESTING)).to_have_count(0)
    expect(page.get_by_role("button", name="PDF report")).to_be_visible()
    expect(page.get_by_text("Zoom 125 %")).to_be_visible()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_map_that_failed_is_shown_on_demand_and_hidden_again(
    visit: Open, fake_address: str, width: int, scheme: str
) -> None:
    page = upload(visit(fake_address, width, scheme))
    expect(page.locator("img.la-heat")).to_be_visible(timeout=WAIT)
    explain_by(page, next(method.title for method in METHODS if method.name == "layercam"))
    expect(page.get_by_text(words.NO_MAP)).to_be_visible(timeout=WAIT)
    expect(page.locator("img.la-heat")).to_have_count(0)
    expect(page.get_by_role("img", name="The uploaded CT slice")).to_be_visible()
    expect(page.get_by_role("radio", name="Overlay alone")).to_have_count(0)
    assert page.evaluate(NO_SIDEWAYS_SCROLL)
    button = page.get_by_role("button", name=re.compile(words.SHOW_FAILED))
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("img.la-heat")).to_be_visible(timeout=WAIT)
    expect(page.get_by_text(words.INSISTED)).to_be_visible()
    expect(page.get_by_text(words.NO_MAP)).to_have_count(0)
    assert page.evaluate(NO_SIDEWAYS_SCROLL)
    back = page.get_by_role("button", name=re.compile(words.HIDE_FAILED))
    expect(back).to_be_focused()
    back.click()
    expect(page.locator("img.la-heat")).to_have_count(0, timeout=WAIT)
    expect(page.get_by_text(words.NO_MAP)).to_be_visible()


def test_the_slice_stays_where_a_layout_has_no_map_to_show(visit: Open, fake_address: str) -> None:
    page = upload(visit(fake_address))
    page.get_by_role("radio", name="Overlay alone").check(timeout=WAIT)
    expect(page.get_by_role("img", name="The uploaded CT slice")).to_be_hidden()
    explain_by(page, "Layer-CAM")
    expect(page.get_by_text(words.NO_MAP)).to_be_visible(timeout=WAIT)
    expect(page.get_by_role("img", name="The uploaded CT slice")).to_be_visible()


def test_of_all_models_each_map_is_offered_on_its_own(visit: Open, fake_address: str) -> None:
    seen = visit(fake_address)
    seen.page.get_by_role("radio", name=re.compile("^All models")).check()
    page = upload(seen)
    expect(page.locator("img.la-heat")).to_have_count(len(MODELS), timeout=WAIT)
    explain_by(page, "Layer-CAM")
    expect(page.get_by_text(words.NO_MAP)).to_have_count(len(MODELS), timeout=WAIT)
    page.get_by_role("button", name=f"{words.SHOW_FAILED}: {MODELS[1].title}").click()
    expect(page.get_by_role("img", name=re.compile(f"attention of {MODELS[1].title}"))).to_be_visible(timeout=WAIT)
    expect(page.locator("img.la-heat")).to_have_count(1)
    expect(page.get_by_text(words.NO_MAP)).to_have_count(len(MODELS) - 1)
