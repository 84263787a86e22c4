"""What a reader does on the page, from upload to answer."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from lungapp.cards import shipped
from lungapp.methods import get_method
from lungapp.registry import LABELS, MODELS, ModelSpec
from lungapp.settings import WEIGHTS
from lungapp.ui import EXAMPLES, words
from tests.browser.conftest import Visit
from tests.fakes import SERVER_WARNINGS

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

Open = Callable[..., Visit]

WAIT = 120_000
"""Milliseconds; the real engine loads its models before its first answer."""

NO_SIDEWAYS_SCROLL = "document.documentElement.scrollWidth <= window.innerWidth"


def bars(page: Page) -> dict[str, str]:
    """What the probability bars say, by class."""
    rows = page.get_by_role("list", name="Probability of each class").get_by_role("listitem")
    expect(rows).to_have_count(len(LABELS), timeout=WAIT)
    words = (row.split() for row in rows.all_inner_texts())
    return {label: " ".join(rest) for label, *rest in words}


def switch_models(seen: Visit, slice_file: Path, specs: tuple[ModelSpec, ...] = MODELS) -> list[dict[str, str]]:
    """Upload, ask each of the models, and return what their bars said."""
    page, said = seen.page, []
    seen.upload(slice_file)
    expect(page.get_by_text("Cannot be excluded at 90 %")).to_be_visible(timeout=WAIT)
    for spec in specs:
        page.get_by_role("radio", name=spec.title).check()
        expect(page.get_by_text(f"What {spec.title} says")).to_be_visible(timeout=WAIT)
        heading = page.locator("#la-answer").get_by_role("heading", level=2)
        expect(heading).to_have_text(re.compile(r"^(Malignant|Not malignant \(normal or benign\)|Undecided)$"))
        expect(page.locator(".la-supported, .la-unsupported, .la-slot")).not_to_have_count(0, timeout=WAIT)
        expect(page.get_by_role("img", name="The uploaded CT slice")).to_be_visible()
        said.append(bars(page))
    return said


def test_the_three_models_answer_on_one_slice(visit: Open, fake_address: str, chest_slice: Path) -> None:
    said = switch_models(visit(fake_address), chest_slice)
    assert said[0] == {"Normal": "62 %", "Benign": "26 %", "Malignant": "12 %"}
    assert said[1]["Benign"] == "50 %"
    assert said[2] == {"Normal": "under 1 %", "Benign": "3 %", "Malignant": "97 %"}


def test_the_real_models_answer_on_one_slice(visit: Open, real_address: str, chest_slice: Path) -> None:
    said = switch_models(visit(real_address), chest_slice, shipped(WEIGHTS))
    assert len({tuple(row.values()) for row in said}) > 1, "the models do not agree to the per cent"


def test_the_class_to_explain_changes_the_overlay(visit: Open, fake_address: str) -> None:
    seen = visit(fake_address)
    seen.upload(EXAMPLES / "phantom-mass.png")
    seen.page.get_by_role("radio", name="Normal", exact=True).check(timeout=WAIT)
    expect(seen.page.get_by_text("Attention for normal")).to_be_visible()
    expect(seen.page.locator("#la-answer").get_by_role("heading", level=2)).to_contain_text("Malignant")


def test_another_method_explains_and_says_whether_to_rely_on_it(visit: Open, fake_address: str) -> None:
    seen = visit(fake_address)
    page = seen.page
    seen.upload(EXAMPLES / "phantom-mass.png")
    expect(page.get_by_text("The map marks what this model relied on.")).to_be_visible(timeout=WAIT)
    method = page.get_by_role("combobox", name="Explanation")
    method.click()
    page.get_by_role("option", name="Score-CAM (slow)").click()
    expect(page.get_by_text("Attention for malignant, Score-CAM")).to_be_visible(timeout=WAIT)
    expect(page.get_by_text("do not rely on this map")).to_be_visible(timeout=WAIT)
    expect(page.get_by_text(words.NO_MAP)).to_be_visible()
    expect(page.get_by_text(get_method("scorecam").sentence)).to_be_visible()
    page.get_by_role("radio", name="Basic CNN").check()
    page.get_by_role("radio", name="Benign", exact=True).check()
    expect(page.get_by_text("nothing is coloured")).to_be_visible(timeout=WAIT)
    expect(page.get_by_text("on this map")).to_have_count(0)


def test_the_real_engine_explains_by_a_slow_method(visit: Open, real_address: str) -> None:
    seen = visit(real_address, 390)
    page = seen.page
    seen.upload(EXAMPLES / "phantom-mass.png")
    expect(page.locator(".la-supported, .la-unsupported")).to_be_visible(timeout=WAIT)
    page.get_by_role("combobox", name="Explanation").click()
    page.get_by_role("option", name="SmoothGrad (slow)").click()
    expect(page.get_by_text(", SmoothGrad")).to_be_visible(timeout=WAIT)
    expect(page.locator(".la-supported, .la-unsupported")).to_contain_text("Blurring the hottest tenth", timeout=WAIT)
    assert page.evaluate(NO_SIDEWAYS_SCROLL)


def test_the_opacity_slider_blends_in_the_browser(visit: Open, fake_address: str) -> None:
    seen = visit(fake_address)
    page = seen.page
    seen.upload(EXAMPLES / "phantom-mass.png")
    layer = page.locator("img.la-heat")
    expect(layer).to_have_css("opacity", "0.6", timeout=WAIT)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    slider = page.get_by_role("slider", name=re.compile("opacity", re.IGNORECASE))
    slider.focus()
    page.keyboard.press("Home")
    expect(layer).to_have_css("opacity", "0")
    page.keyboard.press("ArrowRight")
    expect(layer).to_have_css("opacity", "0.05")
    assert asked == [], "no model and no server is asked"


def test_examples_answer_on_a_click_and_by_keyboard(visit: Open, fake_address: str) -> None:
    page = visit(fake_address).page
    page.get_by_role("button", name="Nodule (synthetic, DICOM)").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("512 rows, 512 columns, DICOM")).to_be_visible(timeout=WAIT)
    page.get_by_role("button", name="Clear (synthetic)").click()
    expect(page.get_by_text("512 rows, 512 columns, PNG")).to_be_visible(timeout=WAIT)


def test_an_example_has_its_truth_beside_the_answer_and_one_is_refused(visit: Open, fake_address: str) -> None:
    seen = visit(fake_address)
    page = seen.page
    truth = page.locator("#la-answer .la-truth")
    page.get_by_role("button", name="Mass (synthetic)").click()
    millimetres = json.loads((EXAMPLES / "truth.json").read_text())["phantom-mass.png"]["millimetres"]
    expect(truth).to_contain_text(f"Synthetic phantom with a mass of {millimetres} mm.", timeout=WAIT)
    expect(page.locator("#la-answer").get_by_role("heading", level=2)).to_be_visible()
    page.get_by_role("button", name="Head (synthetic)").click()
    expect(page.get_by_role("heading", name="Not scored")).to_be_visible(timeout=WAIT)
    expect(truth).to_contain_text("no chest at all")
    expect(page.get_by_role("list", name="Probability of each class")).to_have_count(0)
    expect(page.get_by_role("img", name=re.compile("attention of"))).to_have_count(0)
    page.get_by_role("button", name="Clear", exact=True).first.click()
    expect(truth).to_have_count(0, timeout=WAIT)
    seen.upload(EXAMPLES / "phantom-clear.png")
    expect(truth).to_contain_text("without a lesion", timeout=WAIT)


def test_a_link_opens_an_example(visit: Open, fake_address: str) -> None:
    seen = visit(fake_address)
    page = seen.page
    seen.go_on(f"{fake_address}/?example=phantom-mass")
    expect(page.get_by_text("512 rows, 512 columns, PNG")).to_be_visible(timeout=WAIT)
    seen.go_on(f"{fake_address}/?example=%3Cb%3Enothing")
    expect(page.get_by_role("alert").filter(has_text="not here")).to_contain_text("phantom-clear.png", timeout=WAIT)


def test_bad_input_gets_a_message_and_the_page_works_on(visit: Open, fake_address: str) -> None:
    seen = visit(fake_address)
    page = seen.page
    seen.upload({"name": "<b>x</b>.png", "mimeType": "image/png", "buffer": b"not a picture"})
    expect(page.get_by_role("alert").filter(has_text="Expected")).to_contain_text("Received", timeout=WAIT)
    page.get_by_role("button", name="Analyse").click()
    expect(page.get_by_role("alert").filter(has_text="Expected")).to_be_visible()
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.get_by_role("heading", name="No slice yet")).to_be_visible()
    seen.upload(EXAMPLES / "phantom-mass.png")
    assert bars(page)["Malignant"] == "97 %"


def test_a_rejected_picture_is_shown_and_not_scored(visit: Open, fake_address: str, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)).save(photo)
    seen = visit(fake_address)
    seen.upload(photo)
    expect(seen.page.get_by_role("heading", name="Not scored")).to_be_visible(timeout=WAIT)
    expect(seen.page.get_by_role("img", name="The uploaded CT slice")).to_be_visible()
    expect(seen.page.get_by_role("list", name="Probability of each class")).to_have_count(0)
    expect(seen.page.get_by_role("slider")).to_have_count(0)


def test_a_rejected_picture_is_scored_on_demand_and_says_so(visit: Open, fake_address: str, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)).save(photo)
    seen = visit(fake_address)
    seen.upload(photo)
    seen.page.get_by_role("button", name="Score it all the same").click(timeout=WAIT)
    expect(seen.page.get_by_role("alert").filter(has_text="because you asked for it")).to_be_visible(timeout=WAIT)
    expect(seen.page.locator("#la-answer").get_by_role("heading", level=2)).to_have_text("Undecided")
    seen.page.get_by_role("button", name="Clear", exact=True).first.click()
    seen.upload(EXAMPLES / "phantom-mass.png")
    expect(seen.page.get_by_text("because you asked for it")).to_have_count(0, timeout=WAIT)


def test_a_zipped_series_is_leafed_through(visit: Open, fake_address: str, tmp_path: Path) -> None:
    archive = tmp_path / "series.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(EXAMPLES / "phantom-clear.png", "1")
        file.writestr("2", (EXAMPLES / "phantom-mass.png").read_bytes())
        file.writestr("readme.txt", "no slice")
    seen = visit(fake_address)
    seen.upload(archive)
    slider = seen.page.get_by_role("slider", name=re.compile("Slice"))
    expect(slider).to_have_attribute("max", "2", timeout=WAIT)
    picture = seen.page.get_by_role("img", name="The uploaded CT slice")
    first = picture.get_attribute("src")
    slider.focus()
    seen.page.keyboard.press("ArrowRight")
    expect(picture).not_to_have_attribute("src", first or "", timeout=WAIT)
    seen.page.get_by_text("About this file").click()
    expect(seen.page.get_by_text("File 1, item 3 was set aside.")).to_be_visible()


def test_a_report_of_a_nameless_dicom_file_is_taken_away(visit: Open, fake_address: str, tmp_path: Path) -> None:
    from pypdf import PdfReader

    nameless = tmp_path / "IM000001"
    nameless.write_bytes((EXAMPLES / "phantom-nodule.dcm").read_bytes())
    seen = visit(fake_address)
    seen.upload(nameless)
    button = seen.page.get_by_role("button", name="PDF report")
    button.wait_for(timeout=WAIT)
    with seen.page.expect_download(timeout=WAIT) as download:
        button.click()
    text = PdfReader(download.value.path()).pages[0].extract_text()
    assert "Research use only" in text
    assert "97" in text
    expect(seen.page.get_by_role("button", name="DICOM report")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_sideways_on_a_phone(visit: Open, fake_address: str, scheme: str) -> None:
    seen = visit(fake_address, 390, scheme)
    page = seen.page
    assert page.evaluate(NO_SIDEWAYS_SCROLL)
    seen.upload(EXAMPLES / "phantom-mass.png")
    bars(page)
    assert page.evaluate(NO_SIDEWAYS_SCROLL)
    for tab in ("Performance", "Models", "About"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
        page.wait_for_timeout(300)
        assert page.evaluate(NO_SIDEWAYS_SCROLL), tab


def test_the_notice_stays_in_sight(visit: Open, fake_address: str) -> None:
    seen = visit(fake_address, 390)
    seen.upload(EXAMPLES / "phantom-mass.png")
    bars(seen.page)
    seen.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    expect(seen.page.get_by_role("note")).to_be_in_viewport()
    expect(seen.page.get_by_role("note")).to_contain_text("Research use only")


def test_dark_mode_is_dark(visit: Open, fake_address: str) -> None:
    brightness = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    assert max(visit(fake_address, scheme="dark").page.evaluate(brightness)) < 60
    assert min(visit(fake_address, scheme="light").page.evaluate(brightness)) > 200


def test_the_tabs_tell_the_figures_and_the_limits(visit: Open, fake_address: str) -> None:
    page = visit(fake_address).page
    page.get_by_role("tab", name="Performance").click()
    table = page.get_by_role("table", name=re.compile("Similar slices kept apart: figures"))
    expect(table.get_by_role("row", name=re.compile("^ResNet-50"))).to_contain_text("71 %")
    page.get_by_role("tab", name="Models").click()
    expect(page.get_by_text("1,234,567").first).to_be_visible()
    page.get_by_role("tab", name="About").click()
    expect(page.get_by_role("link", name=re.compile("bhmdr45bh2"))).to_be_visible()
    expect(page.get_by_text(f'Client("{page.url.rstrip("/")}")')).to_be_visible()


def test_a_phone_has_no_gaps_where_nothing_stands_and_sees_what_can_be_picked(visit: Open, fake_address: str) -> None:
    page = visit(fake_address, 390, "dark").page
    answer, examples = (page.locator(place).bounding_box() for place in ("#la-answer", "#la-examples"))
    assert answer
    assert examples
    assert examples["y"] - answer["y"] - answer["height"] < 30
    assert page.locator("#la-model label").first.evaluate("label => getComputedStyle(label).borderTopWidth") == "1px"
