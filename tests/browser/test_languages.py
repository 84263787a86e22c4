"""The page in other languages: by the browser's wish and by the switch, with no word of it left behind in English."""

from __future__ import annotations

import gettext
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from lungapp import locale
from lungapp.registry import MODELS
from lungapp.ui import EXAMPLES, labels
from tests.fakes import SERVER_WARNINGS, FakeEngine, serve

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

OPEN, SHUT = "\N{MATHEMATICAL LEFT WHITE SQUARE BRACKET}", "\N{MATHEMATICAL RIGHT WHITE SQUARE BRACKET}"

NAMES = {
    *(name for name in locale.LANGUAGES.values()),
    *(spec.title for spec in MODELS),
    "Chargement", "Cargando",  # Gradio, waiting
    "LungApp", "Grad-CAM", "PNG", "DICOM", "HU", "KB", "IQ-OTH/NCCD", "CNN", "CSV", "JSON",
}  # fmt: skip
"""What is called the same in every language."""

NOT_OURS = '#la-file, #la-series-file, footer, .cm-editor, [data-testid="status-tracker"]'
"""Files' own names, code, and what Gradio itself says, which its own translators see to."""

VISIBLE_TEXT = """(skipped) => {
    const said = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const holder = walker.currentNode.parentElement;
        if (holder.closest(`script, style, ${skipped}`) || !holder.checkVisibility()) continue;
        const paragraph = holder.closest(".prose :is(p, li)"); // a sentence there may hold links and code
        said.add((paragraph || walker.currentNode).textContent);
    }
    for (const name of ["aria-label", "alt", "title", "placeholder"]) {
        for (const element of document.querySelectorAll(`.html-container [${name}]`)) {
            if (element.checkVisibility()) said.add(element.getAttribute(name));
        }
    }
    return [...said];
}"""


class Bracketed(gettext.NullTranslations):
    """Every text in brackets: what stands outside of them did not come through a catalog."""

    def gettext(self, message: str) -> str:
        return f"{OPEN}{message}{SHUT}"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locale, "_read", lambda language: Bracketed())
        with serve(FakeEngine()) as url:  # type: ignore[arg-type]
            yield url


def left_in_english(page: Page) -> set[str]:
    """Words that are shown without having come through a catalog."""
    left = set()
    for text in page.evaluate(VISIBLE_TEXT, NOT_OURS):
        while OPEN in text:  # from the inside out: values of a text are texts
            shorter = re.sub(f"{OPEN}[^{OPEN}{SHUT}]*{SHUT}", " ", text)
            if shorter == text:
                break
            text = shorter
        for name in sorted(NAMES, key=len, reverse=True):
            text = text.replace(name, " ")
        left |= set(re.findall(r"[A-Za-z]{3,}[^\n]*", text))
    names = page.locator("[aria-label], [title], [alt]").evaluate_all(
        "all => all.flatMap((one) => ['aria-label', 'title', 'alt'].map((name) => one.getAttribute(name) ?? ''))"
    )
    gradios = re.compile("|".join(re.escape(name).replace(r"\{label\}", ".+") for name in labels.NAMES))
    return left | set(filter(gradios.fullmatch, names))


def analyse(page: Page) -> None:
    page.locator("#la-examples button").first.click()
    page.locator(".la-supported").wait_for(timeout=120_000)


def in_language(page: Page) -> list[str]:
    return page.evaluate("[document.documentElement.lang, document.documentElement.dir]")


def test_the_browsers_language_is_spoken_everywhere(speaker: Callable[..., Page], address: str) -> None:
    page = speaker(address, "fr-CA")
    assert in_language(page) == ["fr", "ltr"]
    expect(page.get_by_text("Déposez le fichier ici").first).to_be_visible()  # Gradio's own words
    assert left_in_english(page) == set()
    analyse(page)
    for summary in page.locator("details.la-background summary").all():
        summary.click()
    assert left_in_english(page) == set()
    page.locator("#la-model input[value=all]").check()
    page.locator(".la-each").wait_for(timeout=120_000)
    page.locator("#la-take button").first.click()
    page.locator("#la-saved a").wait_for(timeout=120_000)
    assert left_in_english(page) == set()


def test_a_series_is_told_in_the_language(speaker: Callable[..., Page], address: str) -> None:
    page = speaker(address, "es")
    page.get_by_role("tab").nth(1).click()
    names = ("clear", "mass", "nodule")
    page.locator("#la-series-file input[type=file]").set_input_files(
        [EXAMPLES / f"phantom-{name}.png" for name in names]
    )
    page.locator(".la-waiting").wait_for(timeout=120_000)
    assert left_in_english(page) == set()
    page.locator("#la-series-button").click()
    page.locator("#la-series-table table").wait_for(timeout=120_000)
    assert left_in_english(page) == set()


@pytest.mark.parametrize("place", [2, 3, 4])
def test_the_other_tabs_are_in_the_language(speaker: Callable[..., Page], address: str, place: int) -> None:
    page = speaker(address, "es")
    page.get_by_role("tab").nth(place).click()
    if place == 2:
        page.locator("#la-evidence h2").wait_for(timeout=120_000)
    assert [text for text in left_in_english(page) if not text.startswith("Alyasriy and")] == []


def test_the_switch_turns_the_page_round_and_is_kept(speaker: Callable[..., Page], address: str) -> None:
    page = speaker(address, "fr")
    page.get_by_role("link", name=locale.LANGUAGES["ar"]).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/?lang=ar")
    page.locator(".la-empty").first.wait_for(timeout=120_000)
    assert in_language(page) == ["ar", "rtl"]
    assert page.locator("#la-answer").evaluate("element => getComputedStyle(element).direction") == "rtl"
    analyse(page)
    assert left_in_english(page) == set()
    assert page.locator(".la-stack").first.evaluate("element => getComputedStyle(element).direction") == "ltr"
    page.goto(address)
    page.locator(".la-empty").first.wait_for(timeout=120_000)
    assert in_language(page) == ["ar", "rtl"], "the choice outlives the address"
    expect(page.locator(".la-languages [aria-current]")).to_have_text(locale.LANGUAGES["ar"])


def test_an_error_is_told_in_the_language(speaker: Callable[..., Page], address: str) -> None:
    page = speaker(f"{address}/?lang=ar", "en")
    stranger = {"name": "x.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4 nothing"}
    page.locator("#la-file input[type=file]").set_input_files(stranger)  # type: ignore[arg-type]
    expect(page.locator(".la-failure")).to_contain_text("a PDF document", timeout=120_000)
    assert left_in_english(page) == set()


@pytest.mark.parametrize("language", ["en", "ar", "fr"])
def test_a_phone_shows_it_without_sideways_scrolling(speaker: Callable[..., Page], address: str, language: str) -> None:
    page = speaker(f"{address}/?lang={language}", "en", 390)
    expect(page.get_by_role("link", name="Español")).to_be_visible()
    analyse(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_english_stays_english(speaker: Callable[..., Page], address: str) -> None:
    page = speaker(address, "en-GB")
    assert in_language(page) == ["en", "ltr"]
    expect(page.get_by_role("heading", name="No slice yet")).to_be_visible()
