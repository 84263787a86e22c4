"""An analysis as DICOM: a Secondary Capture of the overlay and a Comprehensive SR of the numbers, by highdicom.

Nothing is copied from the header of what was read: patient, study and series are new, made for the report. That is what
the Basic Application Confidentiality Profile (PS3.15 Annex E) asks for, so both objects state it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from highdicom.sc import SCImage
from highdicom.sr import CodedConcept, ComprehensiveSR

from lungapp import __version__
from lungapp.cards import ModelCard
from lungapp.errors import UnsupportedInput
from lungapp.report import facts
from lungapp.report.ids import Ids
from lungapp.report.picture import LONGEST_SIDE, labelled_overlay
from lungapp.report.sr_content import CODING_SCHEME, build_content
from lungapp.results import Analysis

PATIENT_NAME = "Deidentified^LungApp"
BASIC_PROFILE = CodedConcept("113100", "DCM", "Basic Application Confidentiality Profile")
METHOD = "Only pixels kept; all attributes and UIDs made anew"
STUDY = "LungApp report. Research use only"
UTF_8 = "ISO_IR 192"


def to_secondary_capture(analysis: Analysis, ids: Ids | None = None, created: datetime | None = None) -> bytes:
    """The overlay with its band as the bytes of a DICOM file, Secondary Capture Image Storage, RGB.

    Parameters
    ----------
    analysis : of a slice in HU that was scored.
    ids : those that the report's other object got too; new ones if left out.
    created : when the report was made, with its zone; now if left out.

    Raises
    ------
    UnsupportedInput
        The slice did not come from DICOM, or was not scored.
    """
    _check(analysis)
    return _bytes_of(_secondary_capture(analysis, ids or Ids(), facts.moment(created)))


def to_structured_report(
    analysis: Analysis, cards: Sequence[ModelCard] = (), ids: Ids | None = None, created: datetime | None = None
) -> bytes:
    """Scores, input check and caveats as the bytes of a DICOM file: Comprehensive SR, TID 1500, unverified.

    It refers to the Secondary Capture that `to_secondary_capture` makes with the same ``ids``.

    Parameters
    ----------
    analysis, ids, created : as of `to_secondary_capture`.
    cards : of the models that spoke, the ensemble's among them: digests and thresholds.

    Raises
    ------
    UnsupportedInput
        The slice did not come from DICOM, or was not scored.
    """
    _check(analysis)
    ids, time = ids or Ids(), facts.moment(created)
    overlay = _secondary_capture(analysis, ids, time)
    report = ComprehensiveSR(
        evidence=[overlay],
        content=build_content(analysis, cards, overlay)[0],
        series_instance_uid=ids.numbers_series,
        series_number=2,
        sop_instance_uid=ids.numbers,
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[CODING_SCHEME],
        series_description=_series("scores", analysis),
        **_origin(time),
    )
    return _bytes_of(_finished(report, time))


def _check(analysis: Analysis) -> None:
    if analysis.slice.info.format != "DICOM":
        raise UnsupportedInput(
            "Expected a slice read from DICOM. Received: one from {format}.", format=analysis.slice.info.format
        )
    if analysis.prediction is None:
        raise UnsupportedInput("Expected a slice that was scored. Received: one that the input check rejected.")
    if analysis.slice.info.burned_in:
        # The objects say that nothing in them names the patient; here nobody knows.
        raise UnsupportedInput("Expected a slice without text in its picture. Received: one that says it has some.")


def _secondary_capture(analysis: Analysis, ids: Ids, time: datetime) -> SCImage:
    image = SCImage(
        pixel_array=labelled_overlay(analysis),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),  # the reader turns every slice so
        pixel_spacing=_spacing(analysis),
        study_instance_uid=ids.study,
        series_instance_uid=ids.overlay_series,
        series_number=1,
        sop_instance_uid=ids.overlay,
        patient_id=ids.patient,
        patient_name=PATIENT_NAME,
        study_id="1",
        study_date=time.date(),
        study_time=time.time(),
        series_description=_series("overlay", analysis),
        specific_character_set=UTF_8,
        **_origin(time),
    )
    image.StudyDescription = STUDY
    image.BodyPartExamined = "CHEST"
    image.ImageComments = " ".join(filter(None, (facts.warning_of(analysis), facts.NOTICE)))
    image.DerivationDescription = "Slice with a model's activation map laid over it; see the text in the picture"
    if not analysis.overridden:
        # The gate found a chest. What it rejected may be a screen with text on it: then nothing is claimed.
        image.BurnedInAnnotation = "NO"
    return _finished(image, time)


def _series(what: str, analysis: Analysis) -> str:
    """A series' description, the one thing that every list of series shows."""
    return f"LungApp {what}, research use only" + " - INPUT CHECK OVERRIDDEN" * analysis.overridden


def _spacing(analysis: Analysis) -> tuple[float, float] | None:
    """Row and column spacing in mm of the picture, which may be smaller than the slice."""
    if analysis.slice.info.spacing is None:
        return None
    enlarged = max(1.0, max(analysis.slice.pixels.shape) / LONGEST_SIDE)
    rows, columns = np.array(analysis.slice.info.spacing) * enlarged
    return float(rows), float(columns)


def _origin(time: datetime) -> dict[str, Any]:
    """Arguments that both objects share."""
    return {
        "instance_number": 1,
        "manufacturer": "LungApp",
        "manufacturer_model_name": "LungApp",
        "software_versions": __version__,
        "content_date": time.date(),
        "content_time": time.time(),
        "series_date": time.date(),
        "series_time": time.time(),
    }


def _finished(dataset: Any, time: datetime) -> Any:
    """``dataset`` with the report's time, where highdicom puts the machine's, and what was done for confidentiality."""
    if "DateOfSecondaryCapture" in dataset:
        dataset.DateOfSecondaryCapture, dataset.TimeOfSecondaryCapture = _stamp(time)
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = _stamp(time)
    for equipment in dataset.ContributingEquipmentSequence:  # highdicom itself
        equipment.ContributionDateTime = "".join(_stamp(time))
    dataset.TimezoneOffsetFromUTC = "+0000"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = METHOD
    dataset.DeidentificationMethodCodeSequence = [BASIC_PROFILE]
    dataset.LongitudinalTemporalInformationModified = "REMOVED"
    return dataset


def _stamp(time: datetime) -> tuple[str, str]:
    return time.strftime("%Y%m%d"), time.strftime("%H%M%S")


def _bytes_of(dataset: Any) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
