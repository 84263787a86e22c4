"""The slice viewer and the comparison of models, as a reader uses them: by mouse, by keys, and on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from lungapp.registry import MODELS
from lungapp.ui import EXAMPLES
from tests.browser.conftest import Visit
from tests.fakes import SERVER_WARNINGS

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

Open = Callable[..., Visit]

WAIT = 120_000
NO_SIDEWAYS_SCROLL = "document.documentElement.scrollWidth <= window.innerWidth"

GREY = """() => { const canvas = document.querySelector('la-viewer canvas');
    return [...canvas.getContext('2d').getImageData(256, 256, 1, 1).data]; }"""
"""Of the middle of the picture, which is soft tissue in the phantoms."""

PAINT = """(name) => new Promise((done) => {
    const viewer = document.querySelector('la-viewer'), start = performance.now();
    new MutationObserver(() => done(performance.now() - start)).observe(viewer, { attributeFilter: ['data-painted'] });
    const select = viewer.querySelector('select');
    select.value = name;
    select.dispatchEvent(new Event('input', { bubbles: true }));
})"""
"""Milliseconds from the choice of a window to its picture."""


def opened(seen: Visit, name: str = "phantom-nodule.dcm") -> Page:
    seen.upload(EXAMPLES / name)
    expect(seen.page.locator(".la-supported, .la-unsupported").first).to_be_visible(timeout=WAIT)
    return seen.page


def stack(page: Page, name: str = "Slice") -> Locator:
    return page.get_by_role("group", name=name, exact=True)


def zoomed(page: Page, share: int) -> None:
    expect(page.get_by_text(f"Zoom {share} %")).to_be_visible()


def test_zoom_and_pan_by_buttons_keys_wheel_and_drag(visit: Open, fake_address: str) -> None:
    page = opened(visit(fake_address))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Zoom in").click()
    zoomed(page, 125)
    picture = stack(page)
    picture.focus()
    page.keyboard.press("+")
    zoomed(page, 156)
    layers = picture.locator(".la-layers").first
    before = layers.bounding_box()
    page.keyboard.press("ArrowRight")
    moved = layers.bounding_box()
    assert before and moved and moved["x"] < before["x"]
    box = picture.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 30, box["y"] + box["height"] / 2, steps=3)
    page.mouse.up()
    dragged = layers.bounding_box()
    assert dragged and dragged["x"] == pytest.approx(moved["x"] + 30, abs=2)
    page.mouse.wheel(0, -100)
    zoomed(page, 195)
    page.keyboard.press("-")
    page.keyboard.press("0")
    zoomed(page, 100)
    page.get_by_role("button", name="Zoom out").click()
    zoomed(page, 100)
    assert asked == [], "nobody is asked"


def test_the_wheel_scrolls_the_page_until_a_picture_is_clicked(visit: Open, fake_address: str) -> None:
    page = opened(visit(fake_address))
    stack(page).scroll_into_view_if_needed()
    start = page.evaluate("scrollY")
    stack(page).hover()
    page.mouse.wheel(0, -200)
    page.wait_for_function(f"scrollY < {start}")
    zoomed(page, 100)


def test_windows_are_drawn_in_the_browser_at_once(visit: Open, fake_address: str) -> None:
    page = opened(visit(fake_address))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    window = page.get_by_label("Window", exact=True)
    window.select_option("Bone")
    expect(page.get_by_label("Centre")).to_have_value("480")
    bone = page.evaluate(GREY)[0]
    assert page.evaluate(PAINT, "mediastinum") < 100
    expect(page.get_by_label("Width")).to_have_value("400")
    assert page.evaluate(GREY)[0] > bone + 30, "soft tissue is brighter in the narrower window"
    page.get_by_label("Centre").fill("3000")
    expect(window).to_have_value("free")
    expect(page.locator("la-viewer")).to_have_attribute("data-painted", "3000 400")
    assert page.evaluate(GREY) == [0, 0, 0, 255]
    page.get_by_role("radio", name="Basic CNN").check()
    expect(page.get_by_role("img", name=re.compile("attention of Basic CNN"))).to_be_visible(timeout=WAIT)
    expect(page.get_by_label("Window", exact=True)).to_have_value("free")
    expect(page.locator("la-viewer")).to_have_attribute("data-painted", "3000 400")
    assert page.evaluate(GREY) == [0, 0, 0, 255]
    page.get_by_label("Window", exact=True).select_option("As the model saw it")
    expect(page.locator("la-viewer canvas").first).to_be_hidden()
    assert not [url for url in asked if "/analyse" in url]


def test_another_model_keeps_the_zoom_and_another_slice_does_not(visit: Open, fake_address: str) -> None:
    seen = visit(fake_address)
    page = opened(seen)
    page.get_by_label("Window", exact=True).select_option("Mediastinum")
    page.get_by_role("radio", name="Overlay alone").check()
    page.get_by_role("button", name="Zoom in").click()
    zoomed(page, 125)
    page.get_by_role("radio", name="Basic CNN").check()
    expect(page.get_by_role("img", name=re.compile("attention of Basic CNN"))).to_be_visible(timeout=WAIT)
    zoomed(page, 125)
    expect(page.locator("la-viewer")).to_have_attribute("data-layout", "overlay")
    expect(page.locator("la-viewer")).to_have_css("--la-zoom", "1.25")
    page.get_by_role("button", name="Mass (synthetic)").click()
    expect(page.get_by_text("512 rows, 512 columns, PNG")).to_be_attached(timeout=WAIT)
    zoomed(page, 100)
    expect(page.locator("la-viewer canvas").first).to_be_hidden()
    page.get_by_role("button", name="Nodule (synthetic, DICOM)").click()
    expect(page.locator("la-viewer")).to_have_attribute("data-painted", "40 400", timeout=WAIT)
    expect(page.get_by_role("combobox", name="Window")).to_have_value("mediastinum")


def test_grey_pictures_have_no_windows(visit: Open, fake_address: str) -> None:
    page = opened(visit(fake_address), "phantom-mass.png")
    expect(page.get_by_label("Window", exact=True)).to_have_count(0)
    expect(page.get_by_role("button", name="Zoom in")).to_be_visible()


def test_layouts_overlay_and_contour(visit: Open, fake_address: str) -> None:
    page = opened(visit(fake_address))
    layer, contour = page.locator("img.la-heat"), page.locator("la-viewer svg")
    expect(contour).to_be_hidden()
    page.get_by_label("Contour of the hottest region").check()
    expect(contour).to_be_visible()
    page.get_by_role("checkbox", name="Overlay").uncheck()
    expect(layer).to_be_hidden()
    page.get_by_role("checkbox", name="Overlay").check()
    divider = page.get_by_role("slider", name=re.compile("Divider"))
    expect(divider).to_be_hidden()
    page.get_by_role("radio", name="Slider").check()
    expect(page.get_by_role("img", name="The uploaded CT slice")).to_be_hidden()
    divider.focus()
    page.keyboard.press("Home")
    expect(page.locator(".la-veil")).to_have_css("clip-path", "inset(0px 0px 0px 0%)")
    page.get_by_role("radio", name="Overlay alone").check()
    expect(divider).to_be_hidden()
    page.get_by_role("radio", name="Side by side", exact=True).check()
    expect(page.get_by_role("img", name="The uploaded CT slice")).to_be_visible()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_all_models_side_by_side(visit: Open, fake_address: str, width: int, scheme: str) -> None:
    seen = visit(fake_address, width, scheme)
    page = seen.page
    page.get_by_role("radio", name=re.compile("^All models")).check()
    opened(seen)
    flag = page.get_by_role("note").filter(has_text="The models disagree")
    expect(flag).to_contain_text("Basic CNN: Not malignant; ResNet-50: Undecided; Advanced CNN: Malignant.")
    expect(page.get_by_text("What the mean of all models says")).to_be_visible()
    for spec in MODELS:
        listed = page.get_by_role("list", name=f"{spec.title}: probability of each class")
        expect(listed.get_by_role("listitem")).to_have_count(3)
        expect(page.get_by_role("img", name=re.compile(f"attention of {spec.title}"))).to_be_visible()
    expect(page.locator(".la-supported, .la-unsupported")).to_have_count(len(MODELS), timeout=WAIT)
    assert page.evaluate(NO_SIDEWAYS_SCROLL)
    page.get_by_role("radio", name="Basic CNN").check()
    expect(flag).to_have_count(0, timeout=WAIT)


def test_a_whole_visit_by_keyboard_alone(visit: Open, fake_address: str) -> None:
    page = visit(fake_address).page
    said: list[str] = []

    def tab_to(name: str, most: int = 60) -> None:
        for _ in range(most):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "(({ ariaLabel, innerText, value }) => ariaLabel || innerText || value || '')(document.activeElement)"
            )
            said.append(str(focused).strip())
            if said[-1] == name:
                return
        raise AssertionError(f"{name!r} was not reached: {said}")

    tab_to("Mass (synthetic)")
    page.keyboard.press("Enter")
    expect(page.locator(".la-supported, .la-unsupported").first).to_be_visible(timeout=WAIT)
    tab_to("Zoom in")
    page.keyboard.press("Enter")
    zoomed(page, 125)
    tab_to("Slice")
    page.keyboard.press("+")
    zoomed(page, 156)
    tab_to("PDF report")
    with page.expect_download(timeout=WAIT) as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename.endswith(".pdf")
