"""What makes a DICOM file one readable axial CT image; checked on the header, before pixels are decoded.

Messages show nothing out of the file but codes that cannot name a patient.
"""

from __future__ import annotations

import math
import re
from io import BytesIO

from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, JPEGExtended12Bit, RLELossless

from lungapp.errors import UnreadableInput, UnsupportedInput
from lungapp.reading.limits import Limits

EXPECTED = "Expected one axial CT slice as DICOM"

AXIAL_COSINE = 0.8
"""Cosine to the patient's axes from which a slice counts as axial: gantries tilt by up to 30 degrees (0.87)."""


def check_header(dataset: Dataset, limits: Limits) -> None:
    """Raise `UnsupportedInput`, `UnreadableInput` or `InputTooLarge` unless the pixels can be read as HU."""
    _check_object(dataset)
    limits.check_pixels(int(dataset.Rows), int(dataset.Columns))
    _check_image(dataset)
    _check_unit(dataset)
    _check_syntax(dataset)


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """The finite numbers of an optional attribute; empty where it is missing or malformed."""
    try:
        value = dataset.get(keyword)
        if value is None or value == "":
            return ()
        values = tuple(float(v) for v in (value if hasattr(value, "__iter__") else (value,)))
    except (TypeError, ValueError, OverflowError):
        return ()
    return values if all(math.isfinite(v) for v in values) else ()


def _check_object(dataset: Dataset) -> None:
    """Raise unless the file holds one CT image; only then do rows, columns and pixels mean anything."""
    modality = str(dataset.get("Modality") or "")
    if not modality and "SOPClassUID" not in dataset:
        raise UnreadableInput(f"{EXPECTED}. Received: an incomplete or damaged header.")
    if modality != "CT" and not (modality == "" and dataset.get("SOPClassUID") == CTImageStorage):
        # A code of two to sixteen capitals and digits is safe to show, anything else came from a damaged file.
        shown = f"modality {modality}" if re.fullmatch(r"[A-Z][A-Z0-9]{1,15}", modality) else "another or no modality"
        raise UnsupportedInput(f"{EXPECTED}. Received: {shown}.")
    if int(dataset.get("NumberOfFrames") or 1) > 1 or "SharedFunctionalGroupsSequence" in dataset:
        raise UnsupportedInput(f"{EXPECTED}. Received: a multi-frame object.")
    if "LOCALIZER" in str(dataset.get("ImageType", "")).upper():
        raise UnsupportedInput(f"{EXPECTED}. Received: a localizer (scout view).")
    if "Rows" not in dataset or "Columns" not in dataset or "PixelData" not in dataset:
        raise UnreadableInput(f"{EXPECTED}. Received: a file without pixels, or a truncated one.")


def _check_image(dataset: Dataset) -> None:
    photometric = dataset.get("PhotometricInterpretation")
    if int(dataset.get("SamplesPerPixel") or 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnsupportedInput(f"{EXPECTED}. Received: a colour or palette image.")
    axes = numbers(dataset, "ImageOrientationPatient")
    if len(axes) == 6 and min(abs(axes[0]), abs(axes[4])) < AXIAL_COSINE:
        raise UnsupportedInput(f"{EXPECTED}. Received: a slice of another orientation.")


def _check_unit(dataset: Dataset) -> None:
    table = dataset.get("ModalityLUTSequence")
    unit = (table[0].get("ModalityLUTType") if table else dataset.get("RescaleType")) or "HU"
    slope, intercept = numbers(dataset, "RescaleSlope"), numbers(dataset, "RescaleIntercept")
    rescaled = len(slope) == len(intercept) == 1 and slope[0] != 0
    if unit != "HU" or not (table or rescaled):
        raise UnsupportedInput(f"{EXPECTED} with a rescale to Hounsfield units. Received: values of unknown unit.")


def _check_syntax(dataset: Dataset) -> None:
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    # Pillow's libjpeg is built for 8 bits.
    if not available or (syntax == JPEGExtended12Bit and dataset.BitsStored > 8):
        # A UID that pydicom does not know is its own name: text out of the file, not to be shown.
        name = "an unknown one" if syntax.is_private or syntax.name == str(syntax) else syntax.name
        raise UnsupportedInput(f"{EXPECTED} in a transfer syntax that can be decoded here. Received: {name}.")
    if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        _check_frame(dataset)


def _check_frame(dataset: Dataset) -> None:
    """A compressed frame may hold far more than the header says: compare before decoding."""
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if len(frame) > 2 * get_expected_length(dataset) + 2**16:
        raise UnreadableInput(f"{EXPECTED}. Received: more compressed pixels than rows and columns tell.")
    if dataset.file_meta.TransferSyntaxUID == RLELossless:
        return
    with Image.open(BytesIO(frame), formats=("JPEG", "JPEG2000")) as image:
        if image.size != (dataset.Columns, dataset.Rows):
            raise UnreadableInput(f"{EXPECTED}. Received: compressed pixels of another size than the header tells.")
