"""The page in the words of the real catalogs: what a reader of each language sees, hears and is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from lungapp.ui import EXAMPLES
from tests.browser.axe import check
from tests.fakes import SERVER_WARNINGS, serve
from tests.made_up import MeasuredEngine

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

Speaker = Callable[..., Page]

WAIT = 120_000

WORDS = {
    "fr": ("Pas encore de coupe", "Malin", "un document PDF", "Tableau de toutes les coupes", "Retirer ce fichier"),
    "es": (
        "Aún no hay ningún corte",
        "Maligno",
        "un documento PDF",
        "Tabla de todos los cortes",
        "Quitar este archivo",
    ),
    "ar": ("لا مقطع بعد", "خبيث", "مستند PDF", "جدول جميع المقاطع", "إزالة هذا الملف"),
}
"""Nothing open, the class, a stranger's kind, the series' table, Gradio's button beside a file."""

BROKEN_WORDS = """(all) => all.filter((element) => element.checkVisibility()).flatMap((element) => {
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT), range = document.createRange();
    const broken = [];
    while (walker.nextNode()) {
        for (const word of walker.currentNode.textContent.matchAll(/\\S+/g)) {
            range.setStart(walker.currentNode, word.index);
            range.setEnd(walker.currentNode, word.index + word[0].length);
            if (range.getClientRects().length > 1) broken.push(word[0]);
        }
    }
    return broken;
})"""
"""Words that go on in another line."""

LINES = """(all) => all.filter((element) => element.checkVisibility()).map((element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return [element.textContent, new Set([...range.getClientRects()].map((box) => box.top)).size];
})"""
"""Texts, and how many lines each takes."""


@pytest.fixture(scope="module")
def measured_address() -> Iterator[str]:
    with serve(MeasuredEngine()) as url:
        yield url


@pytest.mark.parametrize("language", ["fr", "es"])
def test_longer_words_fit_into_tables_and_lists_of_a_phone(
    speaker: Speaker, measured_address: str, language: str
) -> None:
    page = speaker(f"{measured_address}/?lang={language}", "en", width=390)
    page.get_by_role("tab").nth(2).click()
    page.locator(".la-models details summary").wait_for(timeout=WAIT)
    page.locator(".la-models details summary").click()
    expect(page.locator(".la-models details table")).to_be_visible()
    broken = page.locator(".la-models :is(th, dd)").evaluate_all(BROKEN_WORDS)
    assert not broken, broken
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("language", ["fr", "es"])
@pytest.mark.parametrize("width", [1440, 390])
def test_longer_words_fit_beside_bars_and_on_buttons(
    speaker: Speaker, fake_address: str, language: str, width: int
) -> None:
    page = speaker(f"{fake_address}/?lang={language}", "en", width=width)
    page.locator("#la-model input[value=all]").check()
    page.locator("#la-file input[type=file]").set_input_files(EXAMPLES / "phantom-nodule.dcm")
    page.locator(".la-each").wait_for(timeout=WAIT)
    page.locator("details.la-background summary").first.click()
    page.locator(".la-typical").wait_for(timeout=WAIT)
    lines = page.locator(".la-bars li > span, #la-take button").evaluate_all(LINES)
    assert any("1\N{NO-BREAK SPACE}%" in text for text, _ in lines), "the longest that stands beside a bar"
    assert {text: count for text, count in lines if count > 1} == {}
    assert page.locator(".la-typical").evaluate("element => element.scrollWidth <= element.clientWidth")


@pytest.mark.parametrize("language", WORDS)
def test_a_result_and_an_error(speaker: Speaker, fake_address: str, language: str) -> None:
    empty, malignant, stranger, *_ = WORDS[language]
    page = speaker(f"{fake_address}/?lang={language}", "en")
    expect(page.locator("#la-answer h2")).to_have_text(empty)
    page.locator("#la-file input[type=file]").set_input_files(EXAMPLES / "phantom-mass.png")
    page.locator(".la-supported").wait_for(timeout=WAIT)
    expect(page.locator("#la-answer h2")).to_contain_text(malignant)
    page.goto(f"{fake_address}/?lang={language}")
    page.locator(".la-empty").first.wait_for(timeout=WAIT)
    pdf = {"name": "x.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4 nothing"}
    page.locator("#la-file input[type=file]").set_input_files(pdf)  # type: ignore[arg-type]
    expect(page.locator(".la-failure")).to_contain_text(stranger, timeout=WAIT)


@pytest.mark.parametrize("language", WORDS)
def test_a_series(speaker: Speaker, fake_address: str, language: str) -> None:
    page = speaker(f"{fake_address}/?lang={language}", "en")
    page.get_by_role("tab").nth(1).click()
    names = ("clear", "mass", "nodule")
    page.locator("#la-series-file input[type=file]").set_input_files(
        [EXAMPLES / f"phantom-{name}.png" for name in names]
    )
    page.locator(".la-waiting").wait_for(timeout=WAIT)
    expect(page.locator("#la-series-file").get_by_role("button", name=WORDS[language][4]).first).to_be_visible()
    page.locator("#la-series-button").click()
    page.locator("#la-series-table table").wait_for(timeout=WAIT)
    expect(page.get_by_role("region", name=WORDS[language][3])).to_be_visible()


def test_arabic_is_accessible(speaker: Speaker, fake_address: str, axe: str) -> None:
    page = speaker(f"{fake_address}/?lang=ar", "en")
    page.locator("#la-file input[type=file]").set_input_files(EXAMPLES / "phantom-mass.png")
    page.locator(".la-supported").wait_for(timeout=WAIT)
    page.wait_for_timeout(500)  # what fades in is not of its colour yet
    check(page, axe)
    for place in range(1, page.get_by_role("tab").count()):
        page.get_by_role("tab").nth(place).click()
        page.wait_for_timeout(600)
        check(page, axe)


def test_arabic_runs_from_the_right_and_what_is_latin_from_the_left(speaker: Speaker, fake_address: str) -> None:
    page = speaker(f"{fake_address}/?lang=ar", "en")
    page.locator("#la-file input[type=file]").set_input_files(EXAMPLES / "phantom-nodule.dcm")
    page.locator(".la-supported").wait_for(timeout=WAIT)
    side, main = (page.locator(f"#la-desk > {name}").bounding_box() for name in (".la-side", ".la-main"))
    assert side
    assert main
    assert side["x"] > main["x"]
    name, clear = (
        page.locator(f"#la-file {part}").bounding_box() for part in ("[data-testid=block-label]", ".top-panel")
    )
    assert name
    assert clear
    assert name["x"] > clear["x"] + clear["width"], "a field is named where its lines begin, cleared where they end"
    page.locator("#la-map input[role=combobox]").click()
    ways = {"#la-file label": "rtl", "la-viewer input[type=number]": "ltr", "#la-map input[role=combobox]": "ltr"}
    ways["#la-map [role=option]"] = "ltr"
    for place, way in ways.items():
        assert page.locator(place).first.evaluate("element => getComputedStyle(element).direction") == way, place
