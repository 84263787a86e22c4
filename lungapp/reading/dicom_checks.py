"""What makes a DICOM file readable axial CT; checked on the header, before pixels are decoded.

Messages show nothing out of the file but codes that cannot name a patient.
"""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    JPEGExtended12Bit,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
    RLELossless,
)

from lungapp.errors import UnreadableInput, UnsupportedInput
from lungapp.reading import jpeg
from lungapp.reading.codestreams import END_OF_IMAGE, check_scans, read_codestream
from lungapp.reading.dicom_facts import numbers, orientation
from lungapp.reading.limits import Limits
from lungapp.texts import Text, mark

EXPECTED = mark("Expected axial CT slices as DICOM")

CT_CLASSES = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)

MODALITIES = {"CR", "DX", "ES", "MG", "MR", "NM", "OT", "PR", "PT", "RF", "SC", "SEG", "SM", "SR", "US", "XA"}
"""Codes of PS3.3 C.7.3.1.1.1 that are worth naming; any other text may be anything, a patient's name included."""

AXIAL_COSINE = 0.8
"""Cosine to the patient's axes from which a slice counts as axial: gantries tilt by up to 30 degrees (0.87)."""

MOST_FRAGMENTS = 1000
"""Of one compressed frame; writers that split frames do so at some kilobytes."""

RETIRED_JPEG = {UID("1.2.840.10008.1.2.4.53"), UID("1.2.840.10008.1.2.4.55")}
"""Progressive JPEG (processes 6 and 8, 10 and 12), in old archives: the decoder of the extended kind reads it."""


def check_object(dataset: Dataset, limits: Limits) -> None:
    """Raise unless the file holds CT; only then do rows, columns and pixels mean anything."""
    modality = str(dataset.get("Modality") or "")
    if dataset.get("SOPClassUID") == MediaStorageDirectoryStorage or "DirectoryRecordSequence" in dataset:
        raise UnsupportedInput(
            "{expected}. Received: a DICOMDIR, which lists files and holds no pixels.", expected=EXPECTED
        )
    if not modality and "SOPClassUID" not in dataset:
        raise UnreadableInput("{expected}. Received: an incomplete or damaged header.", expected=EXPECTED)
    if modality != "CT" and not (modality == "" and dataset.get("SOPClassUID") in CT_CLASSES):
        shown = Text("modality {code}", code=modality) if modality in MODALITIES else mark("another or no modality")
        raise UnsupportedInput("{expected}. Received: {shown}.", expected=EXPECTED, shown=shown)
    if "Rows" not in dataset or "Columns" not in dataset or "PixelData" not in dataset:
        raise UnreadableInput("{expected}. Received: a file without pixels, or a truncated one.", expected=EXPECTED)
    limits.check_frames(frame_count(dataset))
    if len(dataset.get("PerFrameFunctionalGroupsSequence") or []) not in (0, frame_count(dataset)):
        raise UnreadableInput("{expected}. Received: more or fewer images than the header tells of.", expected=EXPECTED)
    limits.check_pixels(int(dataset.Rows), int(dataset.Columns))
    _check_syntax(dataset)
    if frame_count(dataset) > 1 and not dataset["PixelData"].is_undefined_length:
        _check_native(dataset)


def frame_count(dataset: Dataset) -> int:
    """Images in the object; 1 where it does not tell."""
    return max(1, int(dataset.get("NumberOfFrames") or 1))


def check_frame(facts: Dataset) -> None:
    """Raise `UnsupportedInput` unless ``facts`` are those of an axial slice in grey that holds HU."""
    if "LOCALIZER" in str(facts.get("ImageType", "")).upper():
        raise UnsupportedInput("{expected}. Received: a localizer (scout view).", expected=EXPECTED)
    photometric = facts.get("PhotometricInterpretation")
    if int(facts.get("SamplesPerPixel") or 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnsupportedInput("{expected}. Received: a colour or palette image.", expected=EXPECTED)
    axes = orientation(facts)
    if axes and min(abs(axes[0]), abs(axes[4])) < AXIAL_COSINE:
        raise UnsupportedInput("{expected}. Received: a slice of another orientation.", expected=EXPECTED)
    table = facts.get("ModalityLUTSequence")
    unit = (table[0].get("ModalityLUTType") if table else facts.get("RescaleType")) or "HU"
    # Writers that leave the unit "unspecified" store HU all the same.
    if unit not in ("HU", "US"):
        raise UnsupportedInput(
            "{expected} with a rescale to Hounsfield units. Received: values of another unit.", expected=EXPECTED
        )
    if not table and numbers(facts, "RescaleSlope") == (0.0,):
        raise UnsupportedInput(
            "{expected} with a rescale to Hounsfield units. Received: a slope of 0.", expected=EXPECTED
        )


def decoder_syntax(dataset: Dataset) -> UID:
    """The transfer syntax by which the pixels are decoded."""
    syntax = dataset.file_meta.TransferSyntaxUID
    return JPEGExtended12Bit if syntax in RETIRED_JPEG else syntax


def decoder_plugin(dataset: Dataset) -> str:
    """Which of pydicom's plugins is to decode; "" leaves it to pydicom."""
    return jpeg.PLUGIN if jpeg.is_available(decoder_syntax(dataset)) else ""


def _check_syntax(dataset: Dataset) -> None:
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        available = get_decoder(decoder_syntax(dataset)).is_available
    except NotImplementedError:  # what pydicom raises for a syntax that it knows no decoder of
        available = False
    if not available:
        # A UID that pydicom does not know is its own name: text out of the file, not to be shown.
        name = mark("an unknown one") if syntax.is_private or syntax.name == str(syntax) else syntax.name
        raise UnsupportedInput(
            "{expected} in a transfer syntax that can be decoded here. Received: {name}.", expected=EXPECTED, name=name
        )
    if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        _check_fragments(dataset.PixelData, frame_count(dataset))
        check_compressed(dataset, 0)


def _check_native(dataset: Dataset) -> None:
    """As many pixels as the header tells of are there, before anything is done for each of its frames."""
    bits = int(dataset.Rows) * int(dataset.Columns) * frame_count(dataset) * int(dataset.get("BitsAllocated") or 1)
    if bits > 8 * len(dataset.PixelData):
        raise UnreadableInput("{expected}. Received: a file without pixels, or a truncated one.", expected=EXPECTED)


def _check_fragments(data: bytes, frames: int) -> None:
    """There are as many fragments of compressed pixels as frames, or some more of each, but not thousands."""
    at, fragments = 0, -1  # the first item is a table
    while at + 8 <= len(data) and fragments <= MOST_FRAGMENTS * frames:
        fragments, at = fragments + 1, at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
    if not (frames if frames > 1 else 0) <= fragments <= MOST_FRAGMENTS * frames:
        raise UnreadableInput("{expected}. Received: more or fewer images than the header tells of.", expected=EXPECTED)


def check_compressed(dataset: Dataset, frame: int) -> None:
    """A compressed frame may hold far more than the header says: compare before decoding."""
    count = frame_count(dataset)
    data = get_frame(dataset.PixelData, frame, number_of_frames=count)
    if len(data) > 2 * get_expected_length(dataset) // count + 2**16:
        raise UnreadableInput(
            "{expected}. Received: more compressed pixels than rows and columns tell.", expected=EXPECTED
        )
    if dataset.file_meta.TransferSyntaxUID == RLELossless:
        return
    check_scans(data)
    stream = read_codestream(data)
    if stream is None:
        raise UnreadableInput(
            "{expected}. Received: compressed pixels that are damaged or of another kind.", expected=EXPECTED
        )
    # Decoders fill up what is missing in silence, and CharLS searches for the end for seconds.
    if not data.rstrip(b"\0").endswith(END_OF_IMAGE):
        raise UnreadableInput("{expected}. Received: compressed pixels that are cut short.", expected=EXPECTED)
    if stream[:2] != (dataset.Rows, dataset.Columns) or stream.samples != 1 or stream.bits > dataset.BitsAllocated:
        raise UnreadableInput(
            "{expected}. Received: compressed pixels of another size than the header tells.", expected=EXPECTED
        )
