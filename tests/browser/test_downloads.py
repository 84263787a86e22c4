"""The row of downloads in a browser: every file arrives, by mouse, by keyboard, and on a phone."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pydicom
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from pypdf import PdfReader

from benchmarks.cold_start import free_port
from lungapp.reading import read_slice
from lungapp.ui.downloads import ALL, FORMS, Form, build_downloads, offer
from tests.conftest import EXAMPLES
from tests.fakes import SERVER_WARNINGS, FakeEngine
from tests.made_up import full_records

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

WAIT = 120_000


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A page with nothing on it but two buttons that analyse an example, and the row."""
    engine = FakeEngine()
    with gr.Blocks(analytics_enabled=False) as demo:
        first, second = gr.Button("Analyse DICOM"), gr.Button("Analyse PNG")
        row = build_downloads(full_records())
        for button, name in ((first, "phantom-nodule.dcm"), (second, "phantom-mass.png")):
            button.click(lambda name=name: offer(engine.analyse(read_slice(EXAMPLES / name), "all")), None, row.outputs)
    _, url, _ = demo.launch(
        server_name="127.0.0.1", server_port=free_port(), prevent_thread_lock=True, quiet=True, share=False
    )
    yield url
    demo.close(verbose=False)


@pytest.fixture(params=[1280, 390])
def page(chromium: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": request.param, "height": 844}, has_touch=request.param < 700)
    errors: list[str] = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(address)
    yield opened
    context.close()
    assert errors == []


def save(page: Page, form: Form, folder: Path, keyboard: bool = False) -> bytes:
    button = page.get_by_role("button", name=form.title, exact=True)
    expect(button).to_be_visible(timeout=WAIT)
    with page.expect_download(timeout=WAIT) as found:
        if keyboard:
            button.focus()
            page.keyboard.press("Enter")
        else:
            button.click()
    assert found.value.suggested_filename == form.name
    found.value.save_as(folder / form.name)
    return (folder / form.name).read_bytes()


def test_every_file_arrives_and_opens(page: Page, tmp_path: Path) -> None:
    page.get_by_role("button", name="Analyse DICOM").click()
    files = {form.name: save(page, form, tmp_path) for form in (*FORMS, ALL)}
    [sheet] = PdfReader(io.BytesIO(files["lungapp-report.pdf"])).pages
    assert "Research use only" in sheet.extract_text()
    assert json.loads(files["lungapp-analysis.json"])["label"] == "malignant"
    assert files["lungapp-analysis.csv"].startswith(b"source,created,")
    assert Image.open(io.BytesIO(files["lungapp-overlay.png"])).width == 512
    assert pydicom.dcmread(io.BytesIO(files["lungapp-secondary-capture.dcm"])).Modality == "OT"
    assert pydicom.dcmread(io.BytesIO(files["lungapp-structured-report.dcm"])).Modality == "SR"
    with zipfile.ZipFile(io.BytesIO(files["lungapp-report.zip"])) as archive:
        assert archive.read("lungapp-analysis.json") == files["lungapp-analysis.json"]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_by_keyboard_and_again_by_the_link(page: Page, tmp_path: Path) -> None:
    page.get_by_role("button", name="Analyse DICOM").click()
    data = save(page, FORMS[1], tmp_path, keyboard=True)
    link = page.get_by_role("link", name="Save it again")
    link.focus()
    with page.expect_download(timeout=WAIT) as found:
        page.keyboard.press("Enter")
    found.value.save_as(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == data
    assert found.value.suggested_filename == FORMS[1].name


def test_a_png_has_no_dicom_and_an_old_link_goes(page: Page, tmp_path: Path) -> None:
    expect(page.get_by_role("button", name="PDF report")).to_have_count(0)
    page.get_by_role("button", name="Analyse DICOM").click()
    save(page, FORMS[1], tmp_path)
    page.get_by_role("button", name="Analyse PNG").click()
    expect(page.get_by_role("link", name="Save it again")).to_have_count(0, timeout=WAIT)
    expect(page.get_by_role("button", name="DICOM overlay")).to_have_count(0)
    assert json.loads(save(page, FORMS[1], tmp_path))["slice"]["format"] == "PNG"
