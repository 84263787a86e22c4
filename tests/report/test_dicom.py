"""The DICOM objects: valid for Debian's validators, readable back, unverified, and of nobody."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from highdicom.sr import ComprehensiveSR, srread
from pydicom.uid import ComprehensiveSRStorage, SecondaryCaptureImageStorage

from lungapp import __version__, report
from lungapp.errors import UnsupportedInput
from lungapp.reading import read_slice
from lungapp.report import facts
from lungapp.report.answers import NORMAL_OR_BENIGN
from lungapp.report.dicom import to_secondary_capture, to_structured_report
from lungapp.report.picture import labelled_overlay
from lungapp.report.sr_content import SCHEME, class_concept, decision_concept, probability_concept
from lungapp.results import Analysis, Faithfulness, QualityReport
from lungapp.slices import Slice, SliceInfo
from tests.conftest import EXAMPLES
from tests.fakes import FakeEngine, make_card
from tests.report.samples import CARDS, CREATED

SCORED = ["one", "all", "blank", "overridden", "all overridden"]


def pair(analysis: Analysis) -> tuple[bytes, bytes]:
    ids = report.Ids()
    return to_secondary_capture(analysis, ids, CREATED), to_structured_report(analysis, CARDS, ids, CREATED)


def numbers(root: ComprehensiveSR) -> list[dict[str, float]]:
    """The probabilities of each measurement group, by class."""
    groups = root.content.get_image_measurement_groups()
    return [
        {
            label: float(group.get_measurements(name=probability_concept(label))[0].value)
            for label in ("normal", "benign", "malignant")
        }
        for group in groups
    ]


def texts(dataset: pydicom.Dataset) -> list[str]:
    return [item.TextValue for item in dataset.ContentSequence if item.ValueType == "TEXT"]


@pytest.mark.parametrize("kind", SCORED)
def test_the_secondary_capture_is_read_back(analyses: dict[str, Analysis], kind: str) -> None:
    image = pydicom.dcmread(io.BytesIO(pair(analyses[kind])[0]))
    assert image.SOPClassUID == SecondaryCaptureImageStorage
    assert (image.PhotometricInterpretation, image.PlanarConfiguration) == ("RGB", 0)
    assert np.array_equal(image.pixel_array, labelled_overlay(analyses[kind]))
    assert [float(mm) for mm in image.PixelSpacing] == [0.7, 0.6]
    assert report.NOTICE in image.ImageComments
    assert (facts.OVERRIDDEN in image.ImageComments) == analyses[kind].overridden
    assert image.get("BurnedInAnnotation") == (None if analyses[kind].overridden else "NO")


@pytest.mark.parametrize("kind", SCORED)
def test_the_structured_report_is_read_back(analyses: dict[str, Analysis], kind: str) -> None:
    analysis, document = analyses[kind], srread(io.BytesIO(pair(analyses[kind])[1]))
    assert document.SOPClassUID == ComprehensiveSRStorage
    assert (document.VerificationFlag, document.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    spoken = [*analysis.predictions, *([analysis.ensemble] if analysis.ensemble else [])]
    assert numbers(document) == [pytest.approx(item.scores(), abs=1e-6) for item in spoken]
    said = texts(document)
    order = [item.ValueType for item in document.ContentSequence]
    assert order.index("CONTAINER") == len(order) - 1, "what must be read first comes before the numbers"
    assert report.NOTICE in said
    assert (facts.OVERRIDDEN in said) == analysis.overridden
    assert ("OVERRIDDEN" in document.SeriesDescription) == analysis.overridden
    for finding in analysis.quality.findings:
        assert finding.message in said


def test_what_a_map_is_worth_is_in_the_structured_report(analyses: dict[str, Analysis]) -> None:
    map_ = replace(analyses["one"].maps[0], method="layercam", faithfulness=Faithfulness(0.1, 0.97, 0.52, (0.02, 0.04)))
    root = pydicom.dcmread(io.BytesIO(pair(replace(analyses["one"], maps=(map_,)))[1]))
    [said] = [text for text in texts(root) if "relied on" in text]
    assert said.startswith(
        "Advanced CNN, Layer-CAM: malignant 97.0 %, with the hottest 10 % of what it saw blurred 45.0 %"
    )


def test_the_structured_report_has_every_answer_and_what_stands_behind_it(analyses: dict[str, Analysis]) -> None:
    document = srread(io.BytesIO(pair(analyses["all"])[1]))
    groups = [
        [(item.name.value, item.value.value) for item in group[0].ContentSequence if item.ValueType == "CODE"]
        for group in document.content.get_image_measurement_groups()
    ]
    decided = [[value for name, value in group if name == "DECISION"] for group in groups]
    assert decided == [["IS-NOT-MALIGNANT"], ["IS-UNDECIDED"], ["IS-MALIGNANT"], ["IS-UNDECIDED"]]
    left = [[value for name, value in group if name == "NOT-EXCLUDED"] for group in groups]
    assert left[:3] == [["CLASS-NORMAL", "CLASS-BENIGN"], ["CLASS-BENIGN", "CLASS-MALIGNANT"], ["CLASS-MALIGNANT"]]
    said = texts(document)
    assert [text for text in said if text.startswith("Advanced CNN: Malignant. Cannot be excluded at 90 %: malignant.")]
    assert [text for text in said if text.startswith("Mean of all models: Undecided.") and "40 % of 212 slices" in text]
    assert said.count(NORMAL_OR_BENIGN) == 1
    forced = texts(srread(io.BytesIO(pair(analyses["all overridden"])[1])))
    assert not [text for text in forced if "212 slices" in text]


def test_a_huge_slice_is_shrunk_and_its_spacing_grows() -> None:
    item = Slice(np.zeros((4096, 2048)), "HU", SliceInfo("DICOM", spacing=(0.2, 0.1)))
    prediction = make_card("resnet50").predict(np.array([1.0, 0, 0]))
    image = pydicom.dcmread(
        io.BytesIO(to_secondary_capture(Analysis(item, QualityReport(), "resnet50", (prediction,))))
    )
    assert (image.Columns, [float(mm) for mm in image.PixelSpacing]) == (1024, [0.4, 0.2])


def test_making_them_loads_no_tensorflow() -> None:
    code = "import sys, lungapp.report.dicom, lungapp.ui.downloads; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=EXAMPLES.parent, check=True, timeout=300)


def test_the_algorithm_is_identified(analyses: dict[str, Analysis]) -> None:
    document = srread(io.BytesIO(pair(analyses["one"])[1]))
    [group] = document.content.get_image_measurement_groups()
    said = {item.name.meaning: item.value for item in group[0].ContentSequence if item.ValueType == "TEXT"}
    assert said["Algorithm Name"] == "LungApp advanced_cnn"
    assert said["Algorithm Version"] == __version__
    parameters = [item.TextValue for item in group[0].ContentSequence if "TextValue" in item]
    assert f"weights SHA-256: {'c' * 64}" in parameters
    assert "computed in: f32" in parameters
    assert {"level: 0.9", "malignant excluded below: 0.2"} <= set(parameters)
    coded = {item.name.value: item.value for item in group[0].ContentSequence if item.ValueType == "CODE"}
    assert coded["DECISION"] == decision_concept("malignant")
    assert coded["NOT-EXCLUDED"] == class_concept("malignant")
    assert coded["PREDICTED"] == class_concept("malignant")
    assert coded["STATUS"].scheme_designator == SCHEME
    assert coded["CHECK"].value == "ACCEPT"


def test_the_report_refers_to_the_overlay_of_its_study(analyses: dict[str, Analysis]) -> None:
    image, document = (pydicom.dcmread(io.BytesIO(data)) for data in pair(analyses["one"]))
    assert image.StudyInstanceUID == document.StudyInstanceUID
    assert image.SeriesInstanceUID != document.SeriesInstanceUID
    assert (image.PatientID, image.PatientName) == (document.PatientID, document.PatientName)
    [study] = document.CurrentRequestedProcedureEvidenceSequence
    [evidence] = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert evidence.ReferencedSOPInstanceUID == image.SOPInstanceUID


def test_every_report_is_of_a_new_patient_and_study(analyses: dict[str, Analysis]) -> None:
    first, second = (pydicom.dcmread(io.BytesIO(to_secondary_capture(analyses["one"]))) for _ in range(2))
    for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert first[keyword].value != second[keyword].value


def test_nothing_of_the_source_is_in_them(tmp_path: Path) -> None:
    source = pydicom.dcmread(EXAMPLES / "phantom-nodule.dcm")
    source.PatientName, source.PatientID, source.AccessionNumber = "Secret^Person", "SECRET-ID", "SECRET-ACC"
    source.StudyDate = source.PatientBirthDate = "19010203"
    source.InstitutionName = "Secret Hospital"
    source.private_block(0x0011, "SECRET PRIVATE", create=True).add_new(1, "LO", "SECRET VALUE")
    source.save_as(tmp_path / "secret.dcm")
    analysis = FakeEngine().analyse(read_slice(tmp_path / "secret.dcm"))
    uids = [element.value for element in source.iterall() if element.VR == "UI" and "Class" not in element.keyword]
    for data in (*pair(analysis), report.to_pdf(analysis, CARDS), report.to_overlay_png(analysis)):
        assert b"secret" not in data.lower()
        assert b"19010203" not in data
        assert not [uid for uid in uids if str(uid).encode() in data]


@pytest.mark.parametrize("kind", SCORED)
def test_deidentification_and_time(analyses: dict[str, Analysis], kind: str) -> None:
    for data in pair(analyses[kind]):
        dataset = pydicom.dcmread(io.BytesIO(data))
        assert dataset.PatientIdentityRemoved == "YES"
        assert dataset.DeidentificationMethod
        [profile] = dataset.DeidentificationMethodCodeSequence
        assert (profile.CodeValue, profile.CodingSchemeDesignator) == ("113100", "DCM")
        assert dataset.PatientName == "Deidentified^LungApp"
        for empty in ("PatientBirthDate", "PatientSex", "AccessionNumber", "ReferringPhysicianName"):
            assert not dataset[empty].value
        for element in dataset.iterall():
            assert not element.tag.is_private
            if element.VR in ("DA", "TM", "DT") and element.value:
                assert str(element.value) in ("20260304", "050607", "20260304050607")


def test_what_cannot_be_made_is_refused(analyses: dict[str, Analysis]) -> None:
    for make in (to_secondary_capture, to_structured_report):
        with pytest.raises(UnsupportedInput, match=r"Expected a slice read from DICOM.* one from PNG"):
            make(analyses["grey"])
        with pytest.raises(UnsupportedInput, match="Expected a slice that was scored"):
            make(analyses["rejected"])


def test_the_private_codes_are_documented(analyses: dict[str, Analysis]) -> None:
    page = (EXAMPLES.parent / "docs" / "report-formats.md").read_text(encoding="utf-8")
    for kind in SCORED:
        for item in pydicom.dcmread(io.BytesIO(pair(analyses[kind])[1])).iterall():
            if item.keyword in ("ConceptNameCodeSequence", "ConceptCodeSequence"):
                for concept in item.value:
                    assert concept.CodingSchemeDesignator != SCHEME or f"`{concept.CodeValue}`" in page


def run(command: str, file: Path) -> str:
    """What a validator says of ``file``. It must be there in CI."""
    if not shutil.which(command):
        reason = f"No {command}: install Debian's dcmtk and dicom3tools."
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    done = subprocess.run([command, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("command", ["dciodvfy", "dcmdump", "dsrdump"])
@pytest.mark.parametrize("kind", SCORED)
def test_validators_find_no_fault(analyses: dict[str, Analysis], kind: str, command: str, tmp_path: Path) -> None:
    for name, data in zip(("SCImage", "ComprehensiveSR"), pair(analyses[kind]), strict=True):
        if (command, name) == ("dsrdump", "SCImage"):
            continue
        file = tmp_path / f"{name}.dcm"
        file.write_bytes(data)
        said = run(command, file)
        assert "Error" not in said
        assert not [line for line in said.splitlines() if line.startswith(("E:", "F:"))]
        if command == "dciodvfy":
            assert name in said, "it knew what to check"
            # A private coding scheme cannot be among those the validator knows.
            warnings = [line for line in said.splitlines() if line.startswith("Warning") and SCHEME not in line]
            assert warnings == []
