"""The row of downloads without a browser: what is offered, and what the files are."""

from __future__ import annotations

import base64
import gc
import io
import json
import re
import warnings
import zipfile

import gradio as gr
import pydicom
import pytest
from PIL import Image
from pypdf import PdfReader

from lungapp.cards import ModelCard
from lungapp.reading import read_slice
from lungapp.results import Analysis, Finding, QualityReport
from lungapp.ui import downloads
from lungapp.ui.downloads import ALL, FORMS, Ready, build_downloads, link_to, offer
from tests.conftest import EXAMPLES
from tests.fakes import FakeEngine
from tests.made_up import full_records

RECORDS = full_records()
CARDS = [ModelCard(data) for data in RECORDS.values()]
REJECTED = QualityReport((Finding("colour", "reject", "Expected grey. Received: colour."),))


@pytest.fixture(scope="module")
def dicom() -> Analysis:
    return FakeEngine().analyse(read_slice(EXAMPLES / "phantom-nodule.dcm"), "all")


@pytest.fixture(scope="module")
def png() -> Analysis:
    return FakeEngine().analyse(read_slice(EXAMPLES / "phantom-mass.png"))


def content(html: str) -> tuple[str, str, bytes]:
    """Name, media type and bytes of the file in a link."""
    found = re.search(r'<a download="([^"]+)" href="data:([^;]+);base64,([^"]+)">', html)
    assert found, html[:200]
    return found[1], found[2], base64.b64decode(found[3])


def test_dicom_is_offered_only_for_a_scored_slice_from_dicom(dicom: Analysis, png: Analysis) -> None:
    def shown(analysis: Analysis | None) -> list[bool]:
        return [value["visible"] for value in offer(analysis)[1:-1]]

    assert shown(None) == [False, False, False]
    assert shown(png) == [True, False, False]
    assert shown(dicom) == [True, True, True]
    assert shown(Analysis(dicom.slice, REJECTED, "resnet50")) == [True, False, False]
    assert offer(None)[0] is None
    assert offer(png)[-1] == "", "what was saved of another slice is forgotten"


def test_what_is_offered_fits_the_components(png: Analysis) -> None:
    with warnings.catch_warnings():  # Blocks leave an event loop to the collector
        warnings.simplefilter("ignore")
        with gr.Blocks(analytics_enabled=False) as demo:
            row = build_downloads(RECORDS)
        offered, visible = len(row.outputs), row.row.visible
        public = [function for function in demo.fns.values() if function.api_visibility != "private"]
        del demo, row
        gc.collect()
    assert offered == len(offer(png))
    assert visible is False
    assert public == [], "no endpoint for programs"


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_file_opens(dicom: Analysis, form: downloads.Form) -> None:
    name, media, data = content(link_to(form, Ready(dicom), CARDS))
    assert (name, media) == (form.name, form.media)
    assert re.fullmatch(r"lungapp-[a-z-]+\.(pdf|json|csv|png|dcm)", name)
    match name.rsplit(".")[-1]:
        case "pdf":
            assert len(PdfReader(io.BytesIO(data)).pages) == 1
        case "json":
            assert json.loads(data)["models"][-1]["model"] == "ensemble"
        case "csv":
            assert data.count(b"\r\n") == 5
        case "png":
            assert Image.open(io.BytesIO(data)).format == "PNG"
        case "dcm":
            assert pydicom.dcmread(io.BytesIO(data)).PatientIdentityRemoved == "YES"


def test_the_zip_holds_what_is_offered(dicom: Analysis, png: Analysis) -> None:
    for analysis, count in ((dicom, 6), (png, 4)):
        name, _, data = content(link_to(ALL, Ready(analysis), CARDS))
        assert name == "lungapp-report.zip"
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.namelist() == [form.name for form in FORMS][:count]
            assert archive.testzip() is None


def test_files_of_one_analysis_agree(dicom: Analysis) -> None:
    ready = Ready(dicom)
    made = {form.name: content(link_to(form, ready, CARDS))[2] for form in FORMS}
    overlay, report = (pydicom.dcmread(io.BytesIO(data)) for name, data in made.items() if name.endswith(".dcm"))
    referred = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert referred.ReferencedSOPInstanceUID == overlay.SOPInstanceUID
    time = ready.created.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert json.loads(made["lungapp-analysis.json"])["created"] == time
    assert time.encode() in made["lungapp-analysis.csv"]


def test_nothing_is_left_on_the_disk(dicom: Analysis, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    content(link_to(ALL, Ready(dicom), CARDS))
    assert list(tmp_path.iterdir()) == []


def test_what_fails_or_is_gone_becomes_words(png: Analysis, caplog: pytest.LogCaptureFixture) -> None:
    assert "no longer in memory" in link_to(ALL, None, CARDS)
    assert "Received: one from PNG" in link_to(FORMS[-1], Ready(png), CARDS)

    def fail(ready: Ready, cards: object) -> bytes:
        raise RuntimeError("<b>secret</b>")

    html = link_to(downloads.Form("X", "x", "text/plain", fail), Ready(png), CARDS)
    assert "secret" not in html + caplog.text
    assert "<a " not in html
