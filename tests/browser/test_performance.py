"""The Performance tab in a browser, on full made-up cards."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.fakes import SERVER_WARNINGS, serve
from tests.made_up import MeasuredEngine

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

Open = Callable[..., Visit]

WAIT = 120_000

SPILLS = """() => [...document.querySelectorAll('.la-models :is(table, svg, td, th)')].filter((element) => {
    const card = element.closest('.la-scroll, .la-card'), own = element.getBoundingClientRect();
    return own.width && !card.matches('.la-scroll') && own.right > card.getBoundingClientRect().right + 1;
}).map((element) => element.outerHTML.slice(0, 80))"""
"""What reaches over the right edge of its card and has no scroll bar of its own."""

SMALLEST_TEXT = """() => Math.min(...[...document.querySelectorAll('.la-chart text')].map((text) =>
    parseFloat(getComputedStyle(text).fontSize) * text.ownerSVGElement.getScreenCTM().a))"""
"""In pixels as seen, chart letters included."""

CONTRASTS = """() => {
    const light = (colour) => {
        const [red, green, blue] = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => {
            const share = part / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
    };
    const ground = light(getComputedStyle(document.querySelector('.la-card')).backgroundColor);
    const ratio = (colour) => Math.max(light(colour) / ground, ground / light(colour));
    const marks = [...document.querySelectorAll('.la-chart path')].map((path) => getComputedStyle(path))
        .filter((style) => style.stroke.startsWith('rgb') && parseFloat(style.strokeWidth) > 1.3);
    const texts = [...document.querySelectorAll('.la-chart text')].map((text) => getComputedStyle(text).fill);
    return {marks: Math.min(...marks.map((style) => ratio(style.stroke))), texts: Math.min(...texts.map(ratio))};
}"""
"""Lowest contrast with the card of what a chart draws, and of its letters."""


@pytest.fixture(scope="module")
def measured_address() -> Iterator[str]:
    with serve(MeasuredEngine()) as url:
        yield url


def open_tab(page: Page) -> None:
    page.get_by_role("tab", name="Performance").click()
    expect(page.get_by_role("heading", name="Advanced CNN", level=2)).to_be_visible(timeout=WAIT)
    expect(page.get_by_role("img", name=re.compile("^ROC curve of Advanced CNN .* area 0.943;"))).to_be_visible()


def test_the_tab_compares_and_explains(visit: Open, measured_address: str) -> None:
    page = visit(measured_address).page
    open_tab(page)
    table = page.get_by_role("table", name="Random split: figures of the models")
    expect(table.get_by_role("row", name=re.compile("^Nearest neighbour"))).to_contain_text("over 99 %")
    expect(page.get_by_text("is right on over 99 % of randomly split slices and on 59 %")).to_be_visible()
    page.get_by_text("All figures of the audit").click()
    figures = page.get_by_role("table", name="Figures of the audit by change of the picture")
    expect(figures.get_by_role("row", name=re.compile("^Blurred"))).to_contain_text("0.850")


def test_the_model_is_switched_by_keyboard(visit: Open, measured_address: str) -> None:
    page = visit(measured_address).page
    open_tab(page)
    page.get_by_role("radio", name="Advanced CNN", exact=True).focus()
    page.keyboard.press("Tab")  # Gradio gives every button of a radio group a place of its own
    page.keyboard.press("Space")
    expect(page.get_by_role("heading", name="Ensemble", level=2)).to_be_visible(timeout=WAIT)
    expect(page.get_by_role("img", name=re.compile("^ROC curve of Ensemble .* area 0.953;"))).to_be_visible()
    expect(page.get_by_text("not on this card: shortcut audit.")).to_be_visible()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    expect(page.get_by_role("img", name=re.compile("^ROC curve of ResNet-50 .* area 0.933;"))).to_be_visible(
        timeout=WAIT
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read(visit: Open, measured_address: str, scheme: str) -> None:
    page = visit(measured_address, 390, scheme).page
    for name in ("Analysis", "Performance", "Models", "About"):
        expect(page.get_by_role("tab", name=name)).to_be_visible()
    open_tab(page)
    page.get_by_text("All figures of the audit").click()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate(SPILLS) == []
    columns = page.locator(".la-scroll th[scope=col]").evaluate_all("all => all.map((head) => head.clientWidth)")
    assert min(columns) > 60, "the columns scroll, so that no word is broken in its middle"
    assert page.evaluate(SMALLEST_TEXT) >= 10
    contrast = page.evaluate(CONTRASTS)
    assert contrast["marks"] >= 3
    assert contrast["texts"] >= 4.5
