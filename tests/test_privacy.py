"""A DICOM file full of canaries, through reading, page, API, every report, logs and temporary folders."""

from __future__ import annotations

import io
import logging
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pypdf import PdfReader

from lungapp import report
from lungapp.errors import LungAppError
from lungapp.reading import Limits, read_slice, read_study
from lungapp.reading.privacy import identifying
from lungapp.report.dicom import to_secondary_capture, to_structured_report
from lungapp.series import summarise
from lungapp.ui import panels, series_panels, uploads, viewer
from lungapp.ui.opened import close, open_upload
from lungapp.ui.series_table import table
from tests.fakes import SERVER_WARNINGS, FakeEngine, serve
from tests.reading.files import chest, make_dataset, write

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

WORD, NUMBER, DATE, UID = "Kanarienvogel", "8675309", "19230417", "1.2.826.0.1.999.8675309"
CANARIES = (WORD, NUMBER, DATE, "867.5309")

BASIC_PROFILE = """
AccessionNumber AcquisitionDate AcquisitionDateTime AcquisitionTime AdmittingDiagnosesDescription
AdditionalPatientHistory AdmissionID ContentDate ContentTime DeviceSerialNumber EthnicGroup
FrameOfReferenceUID InstitutionAddress InstitutionName InstitutionalDepartmentName MedicalRecordLocator
Occupation OperatorsName OtherPatientIDs OtherPatientNames PatientAddress PatientAge PatientBirthDate
PatientBirthName PatientComments PatientID PatientName PatientSex PatientTelephoneNumbers
PerformedProcedureStepDescription PerformingPhysicianName ProtocolName ReferringPhysicianName
RequestedProcedureDescription RequestingPhysician SOPInstanceUID SeriesDate SeriesDescription
SeriesInstanceUID SeriesTime StationName StudyDate StudyDescription StudyID StudyInstanceUID StudyTime
""".split()  # noqa: SIM905
"""Of PS3.15 table E.1-1, what CT images commonly carry."""

VALUES = {"DA": DATE, "TM": "101112", "DT": f"{DATE}101112", "AS": "098Y", "UI": UID, "CS": "O"}


def canary_dataset() -> Dataset:
    dataset = make_dataset(chest("mass", 3, 256), RescaleIntercept=0)
    for keyword in BASIC_PROFILE:
        kind = dictionary_VR(keyword)
        setattr(dataset, keyword, VALUES.get(kind, WORD if kind == "SH" else f"{WORD} {NUMBER}"))
    nested = Dataset()
    nested.PatientName, nested.PatientID = WORD, NUMBER
    dataset.RequestAttributesSequence = Sequence([nested])
    block = dataset.private_block(0x0029, WORD, create=True)
    block.add_new(1, "LO", f"{WORD} {NUMBER}")
    return dataset


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    path = tmp_path / f"{WORD}_{NUMBER}.dcm"
    path.write_bytes(write(canary_dataset()))
    return path


def found_in(data: bytes | str) -> list[str]:
    data = data.encode() if isinstance(data, str) else data
    return [word for word in (*CANARIES, UID) if word.encode() in data or word.encode("utf-16-le") in data]


def test_the_canaries_are_in_the_file(canary: Path) -> None:
    assert set(found_in(canary.read_bytes())) == {WORD, NUMBER, DATE, UID}


def test_every_attribute_of_the_basic_profile_is_named_as_left_behind() -> None:
    dataset = canary_dataset()
    named = identifying(dataset)
    for keyword in BASIC_PROFILE:
        assert dataset[keyword].name in named, keyword
    assert "Request Attributes Sequence" in named
    assert "2 private attributes" in named
    assert not found_in(repr(named))


def test_nothing_gets_into_any_report(canary: Path) -> None:
    item = read_slice(canary)
    assert len(item.info.dropped) >= len(BASIC_PROFILE)
    analysis = FakeEngine().analyse(item, "all")
    pdf = report.to_pdf(analysis)
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)
    assert "Malignant" in text or "malignant" in text
    written = {
        "slice": repr(item.info),
        "json": repr(report.to_json(analysis)),
        "csv": report.to_csv([analysis]),
        "pdf": pdf,
        "pdf text": text,
        "png": report.to_overlay_png(analysis),
        "secondary capture": to_secondary_capture(analysis),
        "structured report": to_structured_report(analysis),
        "page": panels.answer(analysis, {}) + viewer.pictures(item) + panels.background(analysis),
    }
    assert {name: found for name, data in written.items() if (found := found_in(data))} == {}


def test_nothing_gets_into_anything_said_of_a_series(canary: Path) -> None:
    study = read_study([canary])
    engine = FakeEngine()
    rows = tuple(engine.analyse_series(study.series[0].entries, "all"))
    assert rows[0].prediction
    found = summarise(rows, 1, "all", time.perf_counter())
    overlays = {1: report.to_overlay_png(engine.analyse(read_slice(canary), "all"))}
    with zipfile.ZipFile(io.BytesIO(report.series_to_zip(found, overlays))) as archive:
        written = {name: archive.read(name) for name in archive.namelist()}
    assert len(written) == 3
    written |= {"study": repr(study), "rows": repr(rows), "page": series_panels.chart(found) + table(found)}
    assert {name: hits for name, data in written.items() if (hits := found_in(data))} == {}


def test_nothing_gets_into_messages_about_damaged_files(canary: Path) -> None:
    data = canary.read_bytes()
    other = canary_dataset()
    other.Modality = WORD.upper()
    for broken in (*(data[: len(data) // share] for share in (2, 3, 50)), write(other)):
        with pytest.raises(LungAppError) as caught:
            read_slice(broken)
        assert WORD.lower() not in str(caught.value).lower()
        assert not found_in(str(caught.value))


def test_nothing_stays_in_logs_and_temporary_folders(
    canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(scratch / "gradio"))
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(uploads, "GRACE_SECONDS", 0.5)
    with caplog.at_level(logging.DEBUG), serve(FakeEngine()) as url:
        result, overlay = Client(url, verbose=False).predict(
            file=handle_file(str(canary)), model="all", api_name="/analyse"
        )
        opened = open_upload([canary], Limits())
        close(opened)
        assert not found_in(repr(result))
        assert not found_in(Path(overlay).read_bytes())
        deadline = time.monotonic() + 60
        while (left := leftovers(scratch)) and time.monotonic() < deadline:
            time.sleep(0.1)
    assert left == []
    ours = [record for record in caplog.records if record.name.startswith(("lungapp", "pydicom", "root"))]
    assert not found_in("\n".join(record.getMessage() for record in ours))


def leftovers(folder: Path) -> list[str]:
    """Files under ``folder`` that have a canary in their name or their bytes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if found_in(str(path.relative_to(folder))) or found_in(path.read_bytes())]
