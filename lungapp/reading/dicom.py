"""One DICOM CT image to Hounsfield units, by pydicom. Nothing that could name a patient leaves this module."""

from __future__ import annotations

import logging
import warnings
import zlib
from io import BytesIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.pixels import apply_modality_lut, pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from lungapp.errors import UnsupportedInput
from lungapp.reading.dicom_checks import EXPECTED, check_header, numbers
from lungapp.reading.limits import Limits
from lungapp.slices import Slice, SliceInfo, Window

AIR_HU = -1000.0
LOWEST_HU = -1500.0
"""Below this lies no tissue and no noise, only filling outside the scan circle (GE's -2000 is often undeclared)."""

PREAMBLE = 128

# pydicom's warnings quote values of the file, which may be a patient's; they must reach no log.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")


def looks_like_dicom(data: bytes) -> bool:
    """Whether ``data`` begins like a DICOM file, with or without the 128-byte preamble.

    Without it the first element must belong to group 0002 or 0008 with a known value representation or a small
    length, as DICOM PS3.5 section 7.1 lays elements out.
    """
    if data[PREAMBLE : PREAMBLE + 4] == b"DICM":
        return True
    if data[:2] in (b"\x02\x00", b"\x08\x00") and data[3:4] == b"\x00":
        return data[4:6] in (b"UL", b"CS", b"UI", b"OB") or 0 < int.from_bytes(data[4:8], "little") < 2**10
    return data[:3] == b"\x00\x08\x00" and data[4:6] in (b"UL", b"CS", b"UI")


def read_dicom(data: bytes, limits: Limits) -> Slice:
    """Read a single-frame axial CT image as Hounsfield units.

    Stored values go through the modality LUT or rescale (PS3.3 C.11.1). MONOCHROME1 changes how values are shown,
    not what they measure, so HU stay as they are. Padding (PS3.3 C.7.5.1.1.2) and anything below -1500 HU becomes
    air at -1000 HU. Slices stored from back to front or from left to right are flipped so that row 0 is the
    patient's front and column 0 the patient's right.

    Parameters
    ----------
    data : the file's bytes.
    limits : upper limits, checked before pixels are decoded.

    Returns
    -------
    Slice
        (rows, columns) float32, unit ``"HU"``.

    Raises
    ------
    UnsupportedInput
        Not CT, several frames, a localizer, not axial, no rescale to HU (a guess would be worse than none), or a
        compression without a decoder.
    UnreadableInput
        A mandatory attribute or pixels are missing or damaged.
    InputTooLarge
        More pixels than the limit, or inflating to more bytes.
    """
    dataset = _parse(data, limits)
    check_header(dataset, limits)
    stored = pixel_array(dataset)
    hounsfield = apply_modality_lut(stored, dataset).astype(np.float32)
    hounsfield[_padding(stored, dataset) | (hounsfield < LOWEST_HU)] = AIR_HU
    return Slice(_upright(hounsfield, dataset), "HU", _info(dataset))


def _parse(data: bytes, limits: Limits) -> Dataset:
    stream = BytesIO(data)
    stream.seek(PREAMBLE + 4 if data[PREAMBLE : PREAMBLE + 4] == b"DICM" else 0)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        _check_inflated(stream.read(), limits)
    dataset = pydicom.dcmread(BytesIO(data), force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = _native_syntax(dataset)
    return dataset


def _check_inflated(deflated: bytes, limits: Limits) -> None:
    """pydicom inflates without a bound: try it with one first."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    limits.check_bytes(len(inflater.decompress(deflated, limits.max_bytes + 1)))


def _native_syntax(dataset: Dataset) -> UID:
    """The transfer syntax of a file without meta information, by the encoding that pydicom found."""
    if "PixelData" in dataset and dataset["PixelData"].is_undefined_length:
        raise UnsupportedInput(f"{EXPECTED}. Received: compressed pixels without a transfer syntax.")
    implicit, little = dataset.original_encoding
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Where ``stored`` (rows, columns) holds padding: the value itself, or all from it to the range limit."""
    ends = numbers(dataset, "PixelPaddingValue")
    if len(ends) != 1:
        return np.zeros(stored.shape, bool)
    ends += numbers(dataset, "PixelPaddingRangeLimit")[:1]
    # Some writers store the value with the other signedness than the pixels: 63536 for -2000 in 16 bits.
    bits, native = 8 * stored.dtype.itemsize, stored.dtype.newbyteorder("=")
    values = np.array([int(end) % 2**bits for end in ends], dtype=f"u{stored.dtype.itemsize}").view(native)
    return (stored >= values.min()) & (stored <= values.max())


def _upright(pixels: np.ndarray, dataset: Dataset) -> np.ndarray:
    """``pixels`` with the patient's front in row 0 and the patient's right in column 0 (PS3.3 C.7.6.2.1.1)."""
    axes = numbers(dataset, "ImageOrientationPatient")
    if len(axes) != 6:
        return pixels
    return pixels[:: -1 if axes[4] < 0 else 1, :: -1 if axes[0] < 0 else 1]


def _info(dataset: Dataset) -> SliceInfo:
    spacing, thickness = numbers(dataset, "PixelSpacing"), numbers(dataset, "SliceThickness")
    notes = []
    if len(numbers(dataset, "ImageOrientationPatient")) != 6:
        notes.append("The file does not tell its orientation; it was taken to be axial.")
    if dataset.get("LossyImageCompression") == "01":
        notes.append("The pixels were compressed with loss, so Hounsfield units are approximate.")
    return SliceInfo(
        "DICOM",
        bits=int(dataset.BitsStored),
        spacing=(spacing[0], spacing[1]) if len(spacing) == 2 and min(spacing) > 0 else None,
        thickness=thickness[0] if len(thickness) == 1 and thickness[0] > 0 else None,
        window=_window(dataset),
        notes=tuple(notes),
    )


def _window(dataset: Dataset) -> Window | None:
    """The file's window; of several alternatives, which the standard does not rank, the one that suits lungs best."""
    pairs = zip(numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth"), strict=False)
    windows = [Window(centre, width) for centre, width in pairs if width > 0]
    return min(windows, key=lambda window: window.centre, default=None)
