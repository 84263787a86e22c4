"""A series in a browser: uploaded, scored, cancelled, sorted, taken away, and a slice of it opened."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.fakes import SERVER_WARNINGS, FakeEngine, serve
from tests.series_files import phantom_series

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

Open = Callable[..., Visit]

WAIT = 120_000

CUT_OFF = """() => [...document.querySelectorAll('[role=tabpanel] *')].filter((part) => {
    const box = part.getBoundingClientRect();
    const scrolls = part.closest('.la-strip, .la-rows, .la-unseen, svg');
    return box.width && part.checkVisibility() && !scrolls && box.right > innerWidth + 1;
}).map((part) => part.className)"""
"""What reaches beyond the window without a scroll bar of its own: the page clips it, so its width does not tell."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("series") / "series.zip"
    path.write_bytes(phantom_series(30, 160))
    return path


@pytest.fixture(scope="module")
def slow_address() -> Iterator[str]:
    with serve(FakeEngine(pace=0.15)) as url:
        yield url


def start(page: Page, archive: Path) -> None:
    page.get_by_role("tab", name="Series").click()
    expect(page.get_by_role("button", name="Analyse series")).to_be_disabled()
    page.locator("#la-series-file input[type=file]").set_input_files(archive)
    expect(page.get_by_text("30 slices are ready")).to_be_visible(timeout=WAIT)
    page.get_by_role("button", name="Analyse series").click()


def finish(page: Page) -> None:
    expect(page.get_by_role("heading", name="Most suspicious slices")).to_be_visible(timeout=WAIT)


@pytest.mark.parametrize(("width", "scheme"), [(1600, "light"), (390, "dark")])
def test_a_series_is_scored_and_a_suspicious_slice_opened(
    visit: Open, fake_address: str, archive: Path, width: int, scheme: str
) -> None:
    page = visit(fake_address, width, scheme).page
    start(page, archive)
    finish(page)
    status = page.locator("#la-series-status")
    expect(status.get_by_role("heading", name=re.compile(r"^Malignant on \d+ of \d+ counted slices"))).to_be_visible()
    expect(status).to_contain_text("not validated on patients")
    expect(page.get_by_role("img", name=re.compile("probability of malignant is lowest"))).to_be_visible()
    expect(page.locator("#la-strip").get_by_role("button")).to_have_count(29)
    expect(page.get_by_role("row", name=re.compile("Not scored"))).to_be_visible()
    known = page.get_by_role("row", name=re.compile("Not scored")).locator(".la-known div")
    assert known.evaluate("element => element.scrollHeight > element.clientHeight"), "a long reason is cut off"
    aside = page.locator("#la-series-table .la-rows").evaluate("rows => rows.scrollWidth - rows.clientWidth")
    assert (aside == 0) == (width > 1000), "the last column is in sight where there is room"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate(CUT_OFF) == []
    first = page.locator("#la-suspicious").get_by_role("button").first
    number = re.findall(r"\d+", first.inner_text())[0]
    first.click()
    expect(page.get_by_role("tab", name="Analysis")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#la-answer").get_by_text("Cannot be excluded at")).to_be_visible(timeout=WAIT)
    expect(page.get_by_role("slider", name=re.compile("Slice"))).to_have_value(number)
    page.get_by_text("About this file").click()
    expect(page.get_by_text("Opened from the tab Series.")).to_be_visible()


def test_a_thumbnail_and_a_row_open_their_slice_by_keyboard_and_mouse(
    visit: Open, fake_address: str, archive: Path
) -> None:
    page = visit(fake_address).page
    start(page, archive)
    finish(page)
    page.locator("#la-strip").get_by_role("button", name="Slice 7").focus()
    page.keyboard.press("Enter")
    slider = page.get_by_role("slider", name=re.compile("Slice"))
    expect(slider).to_have_value("7", timeout=WAIT)
    page.get_by_role("tab", name="Series").click()
    table = page.locator("#la-series-table")
    table.get_by_role("button", name="Malignant (%)").click()
    expect(table.get_by_role("columnheader", name="Malignant (%)")).to_have_attribute("aria-sort", "descending")
    highest = table.locator("tbody tr").first
    assert int(highest.get_by_role("rowheader").inner_text()) in range(16, 22)
    expect(table.locator("tbody tr").last).to_contain_text(re.compile("Failed|Not scored"))
    highest.get_by_role("cell").first.click()
    expect(page.get_by_role("tab", name="Analysis")).to_have_attribute("aria-selected", "true", timeout=WAIT)
    expect(slider).not_to_have_value("7", timeout=WAIT)
    expect(slider).to_have_value(re.compile("^(1[6-9]|2[01])$"), timeout=WAIT)


def test_a_run_is_cancelled_and_keeps_what_it_has(visit: Open, slow_address: str, archive: Path) -> None:
    page = visit(slow_address).page
    start(page, archive)
    expect(page.get_by_role("progressbar")).to_be_visible(timeout=WAIT)
    expect(page.get_by_role("heading", name=re.compile(r"Slice \d+ of 30"))).to_be_visible(timeout=WAIT)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("alert")).to_contain_text(
        re.compile(r"Cancelled: \d+ of 30 slices were done"), timeout=WAIT
    )
    finish(page)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(page.get_by_role("button", name="Analyse series")).to_be_enabled()


def test_table_and_archive_are_taken_away(visit: Open, fake_address: str, archive: Path, tmp_path: Path) -> None:
    page = visit(fake_address).page
    start(page, archive)
    finish(page)
    saved = {}
    for title in ("CSV", "ZIP: CSV, JSON, overlays"):
        with page.expect_download(timeout=WAIT) as found:
            page.get_by_role("button", name=title, exact=True).last.click()
        name = found.value.suggested_filename
        found.value.save_as(tmp_path / name)
        saved[name] = (tmp_path / name).read_bytes()
    assert saved["lungapp-series.csv"].startswith(b"slice,position_mm,")
    with zipfile.ZipFile(io.BytesIO(saved["lungapp-series.zip"])) as files:
        assert sum(name.endswith(".png") for name in files.namelist()) == 5
    assert b"Mustermann" not in saved["lungapp-series.csv"]


def test_another_series_is_chosen_and_a_bad_file_gets_words(visit: Open, fake_address: str, archive: Path) -> None:
    page = visit(fake_address).page
    start(page, archive)
    finish(page)
    page.get_by_role("combobox", name="Which series").or_(page.get_by_label("Which series")).first.click()
    page.get_by_role("option", name=re.compile("1 slice$")).click()
    page.get_by_role("button", name="Analyse series").click()
    expect(page.locator("#la-series-status .la-counts")).to_contain_text(re.compile("Slices *1"), timeout=WAIT)
    page.locator("#la-series-file").get_by_label(re.compile("Clear|Remove")).first.click()
    expect(page.get_by_role("heading", name="No series yet")).to_be_visible(timeout=WAIT)
    bad = {"name": "<b>x</b>.png", "mimeType": "image/png", "buffer": b"not a picture"}
    page.locator("#la-series-file input[type=file]").set_input_files(bad)  # type: ignore[arg-type]
    expect(page.get_by_role("alert").filter(has_text="Expected")).to_contain_text("Received", timeout=WAIT)
    expect(page.get_by_role("button", name="Analyse series")).to_be_disabled()
