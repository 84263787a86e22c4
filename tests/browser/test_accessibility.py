"""axe-core on every state of the page, in both schemes and at both widths: nothing serious may be found."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from lungapp.ui import EXAMPLES
from tests.browser.axe import check
from tests.browser.conftest import Visit
from tests.fakes import SERVER_WARNINGS

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

Open = Callable[..., Visit]

WAIT = 120_000


def wait_for_the_test(page: Page) -> None:
    expect(page.locator(".la-supported, .la-unsupported").first).to_be_visible(timeout=WAIT)
    page.wait_for_timeout(500)  # what fades in is not of its colour yet


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_an_answer(visit: Open, fake_address: str, axe: str, width: int, scheme: str) -> None:
    seen = visit(fake_address, width, scheme)
    page = seen.page
    check(page, axe)
    page.get_by_role("radio", name=re.compile("^All models")).check()
    seen.upload(EXAMPLES / "phantom-nodule.dcm")
    wait_for_the_test(page)
    page.get_by_role("radio", name="Slider").check()
    page.get_by_label("Contour of the hottest region").check()
    page.get_by_text("About this file").click()
    check(page, axe)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_map_that_failed_its_test_and_an_example(visit: Open, fake_address: str, axe: str, scheme: str) -> None:
    page = visit(fake_address, 1280, scheme).page
    page.get_by_role("button", name="Mass (synthetic)").click()
    wait_for_the_test(page)
    page.get_by_role("combobox", name="Explanation").click()
    page.get_by_role("option", name="Layer-CAM").click()
    offer = page.get_by_role("button", name=re.compile("Show it all the same"))
    expect(offer).to_be_visible(timeout=WAIT)
    page.wait_for_timeout(500)
    check(page, axe)
    offer.click()
    expect(page.get_by_role("button", name=re.compile("Hide it again"))).to_be_visible(timeout=WAIT)
    check(page, axe)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_rejected_slice_and_an_error(visit: Open, fake_address: str, axe: str, tmp_path: Path, scheme: str) -> None:
    seen = visit(fake_address, 1280, scheme)
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    seen.upload(tmp_path / "photo.png")
    expect(seen.page.get_by_role("heading", name="Not scored")).to_be_visible(timeout=WAIT)
    seen.page.wait_for_timeout(500)
    check(seen.page, axe)
    seen.page.get_by_role("button", name="Clear", exact=True).first.click()
    seen.upload({"name": "x.png", "mimeType": "image/png", "buffer": b"not a picture"})
    expect(seen.page.get_by_role("alert").filter(has_text="Expected")).to_be_visible(timeout=WAIT)
    seen.page.wait_for_timeout(500)
    check(seen.page, axe)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_other_tabs(visit: Open, fake_address: str, axe: str, width: int, scheme: str) -> None:
    page = visit(fake_address, width, scheme).page
    for tab in ("Series", "Performance", "Models", "About"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
        page.wait_for_timeout(600)
        check(page, axe)
