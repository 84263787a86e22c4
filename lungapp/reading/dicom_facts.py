"""Which facts are taken over from a DICOM header. All else in it, a patient's name included, goes no further."""

from __future__ import annotations

import contextlib
import math

from pydicom.dataset import Dataset

from lungapp.slices import SliceInfo, Window
from lungapp.texts import mark

PIXEL_DESCRIPTION = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
)
"""How the stored values are laid out (PS3.3 C.7.6.3)."""

FACTS = (
    "SOPClassUID",
    "Modality",
    "ImageType",
    "InstanceNumber",
    *PIXEL_DESCRIPTION,
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "PixelSpacing",
    "SliceThickness",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "LossyImageCompression",
    "BurnedInAnnotation",
)

UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def facts_of(dataset: Dataset, frame: int = 0) -> Dataset:
    """The `FACTS` of one frame (from 0), flat, from the header and an enhanced object's functional groups.

    What is said of the frame goes before what is said of all frames (PS3.3 C.7.6.16).
    """
    facts = _kept(dataset)
    for keyword, item in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", frame)):
        items = dataset.get(keyword) or []
        if item < len(items):
            for element in items[item]:
                if element.VR == "SQ" and element.value:
                    group = element.value[0]
                    facts.update(_kept(group))
                    if "FrameType" in group:
                        facts.ImageType = group.FrameType
    return facts


def _kept(dataset: Dataset) -> Dataset:
    kept = Dataset()
    for keyword in FACTS:
        if keyword in dataset:
            with contextlib.suppress(TypeError, ValueError, OverflowError):  # malformed: as good as missing
                element = dataset[keyword]
                kept.add_new(element.tag, element.VR, element.value)  # a copy: a frame's facts are its own
    return kept


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


def orientation(facts: Dataset) -> tuple[float, ...]:
    """Direction cosines of a row and of a column (PS3.3 C.7.6.2.1.1); empty where the file does not tell."""
    axes = numbers(facts, "ImageOrientationPatient")
    return axes if len(axes) == 6 else ()


def position(facts: Dataset) -> float | None:
    """mm along the slice's normal, growing from the feet to the head; None where the file does not tell."""
    x = orientation(facts) or UPRIGHT
    at = numbers(facts, "ImagePositionPatient")
    if len(at) != 3:
        return None
    normal = (x[1] * x[5] - x[2] * x[4], x[2] * x[3] - x[0] * x[5], x[0] * x[4] - x[1] * x[3])
    along = sum(a * b for a, b in zip(normal, at, strict=True))
    return along if normal[2] >= 0 else -along


def info_of(facts: Dataset, notes: list[str], dropped: tuple[str, ...]) -> SliceInfo:
    """The facts that travel with the pixels, and what reading had to assume."""
    spacing, thickness = numbers(facts, "PixelSpacing"), numbers(facts, "SliceThickness")
    if not orientation(facts):
        notes.append(mark("The file does not tell its orientation; it was taken to be axial."))
    if facts.get("LossyImageCompression") == "01":
        notes.append(mark("The pixels were compressed with loss, so Hounsfield units are approximate."))
    burned_in = facts.get("BurnedInAnnotation") == "YES"
    if burned_in:
        notes.append(mark("The file says that text is part of its picture; it may name the patient."))
    return SliceInfo(
        "DICOM",
        bits=int(facts.BitsStored),
        spacing=(spacing[0], spacing[1]) if len(spacing) == 2 and min(spacing) > 0 else None,
        thickness=thickness[0] if len(thickness) == 1 and thickness[0] > 0 else None,
        window=_window(facts),
        notes=tuple(notes),
        burned_in=burned_in,
        dropped=dropped,
    )


def _window(facts: Dataset) -> Window | None:
    """The file's window; of several alternatives, which the standard does not rank, the one that suits lungs best."""
    pairs = zip(numbers(facts, "WindowCenter"), numbers(facts, "WindowWidth"), strict=False)
    windows = [Window(centre, width) for centre, width in pairs if width > 0]
    return min(windows, key=lambda window: window.centre, default=None)
