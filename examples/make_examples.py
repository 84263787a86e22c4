"""Writes the committed examples: ``python -m examples.make_examples`` from the root of the repository, a few seconds.

Every run writes the same bytes. ``truth.json`` says of each file what it shows: the kind of lesion, its place and size.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from examples.drawing import FIELD_MM
from examples.head import head
from examples.phantoms import Lesion, phantom
from examples.vessels import SLICE_MM
from lungapp.greys import MODEL_WINDOW
from lungapp.slices import LUNG, Window

HERE = Path(__file__).parent
RECIPES: dict[str, tuple[Lesion, int]] = {
    "phantom-clear": (None, 4),
    "phantom-nodule": ("nodule", 1),
    "phantom-mass": ("mass", 5),
}
"""File name, without its ending, to lesion and seed. Phantoms are no patients: to the default model clear ones lie near
what it cannot decide, those with a lesion far above; the clear one that is shown is one that it decides."""

HEAD, HEAD_WINDOW = "head", Window(40, 140)
"""The picture that is no chest, and the window in which a head is looked at."""

SOLID = 250
"""HU by which a lesion's body is denser than the lung it replaces; its halo and most of its strands are less."""


def to_grey(hu: np.ndarray, window: Window = MODEL_WINDOW) -> np.ndarray:
    """HU (rows, columns) as 8-bit grey through ``window``, unless told that of the dataset's pictures."""
    return np.round(window.apply(hu) * 255).astype(np.uint8)


def truth_of(lesion: Lesion, seed: int, size: int = 512) -> dict[str, Any]:
    """What a phantom shows: its ``lesion``, and of one the ``box`` (top, left, rows, columns) in pixels and its
    ``millimetres``, the diameter of a disc as large.

    With one seed a phantom with and one without a lesion differ there alone.
    """
    if lesion is None:
        return {"lesion": None}
    solid = (phantom(lesion, seed, size) - phantom(None, seed, size) > SOLID).astype(np.uint8)
    opened = cv2.morphologyEx(solid, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    _, _, regions, _ = cv2.connectedComponentsWithStats(opened)
    left, top, columns, rows, area = (int(number) for number in max(regions[1:], key=lambda region: region[4]))
    millimetres = round(2 * np.sqrt(area / np.pi) * FIELD_MM / size)
    return {"lesion": lesion, "box": [top, left, rows, columns], "millimetres": millimetres}


def to_stored(hu: np.ndarray) -> np.ndarray:
    """HU (rows, columns) as the whole numbers a DICOM file stores, int16; slope 1, intercept 0."""
    return np.round(hu).clip(-1024, 3071).astype(np.int16)


def _uid(what: str) -> UID:
    return generate_uid(entropy_srcs=["LungApp synthetic phantom", what])


def to_dicom(hu: np.ndarray, name: str) -> FileDataset:
    """A CT Image Storage object (DICOM PS3.3 A.3) of ``hu`` (rows, columns), labelled synthetic throughout."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(f"{name} instance")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid("implementation")
    # Written by hand, since pydicom's default carries its version and would change the bytes.
    meta.ImplementationVersionName = "LUNGAPP_PHANTOM"
    file = FileDataset(f"{name}.dcm", {}, file_meta=meta, preamble=b"\0" * 128)
    for part in (_patient_and_study(name), _series_and_frame(name), _image(hu)):
        file.update(part)
    file.SOPClassUID = CTImageStorage
    file.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    return file


def _patient_and_study(name: str) -> Dataset:
    part = Dataset()
    part.PatientName = "PHANTOM^SYNTHETIC"
    part.PatientID = "PHANTOM"
    part.PatientBirthDate = ""
    part.PatientSex = ""
    part.StudyInstanceUID = _uid(f"{name} study")
    part.StudyDate = "20200101"
    part.StudyTime = "000000"
    part.StudyID = "1"
    part.StudyDescription = "Synthetic phantom"
    part.ReferringPhysicianName = ""
    part.AccessionNumber = ""
    return part


def _series_and_frame(name: str) -> Dataset:
    part = Dataset()
    part.Modality = "CT"
    part.SeriesInstanceUID = _uid(f"{name} series")
    part.SeriesNumber = 1
    part.SeriesDescription = f"SYNTHETIC {name}, not a patient"
    part.BodyPartExamined = "CHEST"
    part.PatientPosition = "HFS"
    part.FrameOfReferenceUID = _uid(f"{name} frame of reference")
    part.PositionReferenceIndicator = ""
    part.Manufacturer = "LungApp phantom generator"
    part.ManufacturerModelName = "examples/phantoms.py"
    return part


def _image(hu: np.ndarray) -> Dataset:
    pitch = FIELD_MM / hu.shape[0]
    corner = -(FIELD_MM - pitch) / 2
    part = Dataset()
    part.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    part.ImageComments = "SYNTHETIC phantom computed from formulas; shows no patient. Licence: MIT."
    part.DerivationDescription = "Computed from formulas; no X-ray was used."
    part.InstanceNumber = 1
    part.AcquisitionNumber = 1
    part.KVP = None
    part.SliceThickness = SLICE_MM
    part.PixelSpacing = [round(pitch, 6)] * 2
    part.ImagePositionPatient = [round(corner, 6), round(corner, 6), 0]
    part.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    part.SliceLocation = 0
    part.SamplesPerPixel = 1
    part.PhotometricInterpretation = "MONOCHROME2"
    part.Rows, part.Columns = hu.shape
    part.BitsAllocated = part.BitsStored = 16
    part.HighBit = 15
    part.PixelRepresentation = 1
    part.RescaleIntercept, part.RescaleSlope, part.RescaleType = 0, 1, "HU"
    part.WindowCenter, part.WindowWidth = LUNG.centre, LUNG.width
    part.WindowCenterWidthExplanation = "LUNG"
    part.BurnedInAnnotation = "NO"
    part.PixelData = to_stored(hu).astype("<i2").tobytes()
    part["PixelData"].VR = "OW"
    return part


def main(folder: Path = HERE) -> None:
    """Write the pictures, the DICOM file and what they show into ``folder``."""
    truth: dict[str, dict[str, Any]] = {}
    for name, (lesion, seed) in RECIPES.items():
        hu = phantom(lesion, seed)
        _write_png(folder / f"{name}.png", to_grey(hu))
        truth[f"{name}.png"] = truth_of(lesion, seed)
        if lesion == "nodule":
            to_dicom(hu, name).save_as(folder / f"{name}.dcm", enforce_file_format=True)
            truth[f"{name}.dcm"] = truth[f"{name}.png"]
    _write_png(folder / f"{HEAD}.png", to_grey(head(), HEAD_WINDOW))
    (folder / "truth.json").write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")


def _write_png(path: Path, grey: np.ndarray) -> None:
    cv2.imwrite(str(path), grey, [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
