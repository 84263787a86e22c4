"""DICOM CT → Hounsfield units, by pydicom. Nothing that could name a patient leaves this package."""

from __future__ import annotations

import logging
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO
from itertools import count

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.pixels import apply_modality_lut, pixel_array
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from lungapp.errors import InputTooLarge, UnsupportedInput
from lungapp.reading import hounsfield, jpeg
from lungapp.reading.dicom_checks import (
    EXPECTED,
    check_compressed,
    check_frame,
    check_object,
    decoder_plugin,
    decoder_syntax,
    frame_count,
)
from lungapp.reading.dicom_facts import PIXEL_DESCRIPTION, facts_of, info_of, numbers, orientation
from lungapp.reading.limits import Limits
from lungapp.reading.privacy import identifying
from lungapp.reading.room import need_room, unpacked
from lungapp.slices import Slice

PREAMBLE = 128

MOST_ATTRIBUTES = 10_000
"""Of a header, those inside sequences aside; CT has about a hundred, with private ones some hundreds."""

MOST_ITEMS = 250_000
"""Of all sequences, and fragments of pixels; an enhanced object has some twenty for each of its frames."""

ITEM, ITEM_BIG_ENDIAN = b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"
"""The tag that each of them begins with."""

# pydicom's warnings quote values of the file, which may be a patient's; they must reach no log.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")

jpeg.register()


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


PIXELS = (
    *PIXEL_DESCRIPTION,
    "NumberOfFrames",
    "PixelData",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)
"""What decoding needs."""


class DicomFile:
    """A parsed and checked DICOM object with CT in it; of its header only facts that name nobody are kept.

    Parameters
    ----------
    data : the file's bytes.
    limits : checked before pixels are decoded.

    Attributes
    ----------
    frames : how many images it holds.
    dropped : the standard's names of what could identify someone and was left behind.
    series, instance : unique identifiers, to tell what belongs together; they go no further than that.

    Raises
    ------
    UnsupportedInput
        Not CT, or a compression without a decoder.
    UnreadableInput
        A mandatory attribute or pixels are missing or damaged.
    InputTooLarge
        More pixels or frames than the limits, or inflating to more bytes.
    """

    def __init__(self, data: bytes, limits: Limits) -> None:
        dataset = _parse(data, limits)
        check_object(dataset, limits)
        self.frames = frame_count(dataset)
        self.dropped = identifying(dataset)
        self.series, self.instance = (str(dataset.get(f"{kind}InstanceUID") or "") for kind in ("Series", "SOP"))
        self._facts = [facts_of(dataset, frame) for frame in range(self.frames)]
        self._pixels = _pixels_only(dataset)

    def facts(self, frame: int) -> Dataset:
        """The `dicom_facts.FACTS` of a frame (from 0). Raises `UnsupportedInput` unless it is an axial CT slice."""
        check_frame(self._facts[frame])
        return self._facts[frame]

    def read(self, frame: int = 0) -> Slice:
        """Decode one frame.

        Stored values go through the modality LUT or rescale (PS3.3 C.11.1); where the file has none, see
        `hounsfield.intercept_of`. MONOCHROME1 changes how values are shown, not what they measure, so HU stay as they
        are. Padding (PS3.3 C.7.5.1.1.2) and anything below -1500 HU becomes air at -1000 HU. Slices stored from back
        to front or from left to right are flipped so that row 0 is the patient's front and column 0 the patient's
        right.

        Returns
        -------
        Slice
            (rows, columns) float32, unit ``"HU"``.
        """
        facts = self.facts(frame)
        if frame and self._pixels["PixelData"].is_undefined_length:
            check_compressed(self._pixels, frame)
        need_room(pixels=self._pixels.Rows * self._pixels.Columns)
        return self._decoded(frame, facts)

    def _decoded(self, frame: int, facts: Dataset) -> Slice:
        notes: list[str] = []
        stored = pixel_array(self._pixels, index=frame, decoding_plugin=decoder_plugin(self._pixels))
        padding = _padding(stored, facts)
        if "ModalityLUTSequence" in facts or (numbers(facts, "RescaleSlope") and numbers(facts, "RescaleIntercept")):
            values = apply_modality_lut(stored, facts).astype(np.float32)
        else:
            intercept = hounsfield.intercept_of(stored[~padding])
            values = stored.astype(np.float32) + np.float32(intercept)
            notes.append(hounsfield.assumed(intercept))
        pixels = hounsfield.without_filling(values, padding)
        return Slice(_upright(pixels, facts), "HU", info_of(facts, notes, self.dropped))


def _pixels_only(dataset: Dataset) -> Dataset:
    """``dataset`` without all that decoding does not need."""
    pixels = Dataset()
    for keyword in PIXELS:
        if keyword in dataset:
            pixels[keyword] = dataset[keyword]
    pixels.file_meta = FileMetaDataset()
    pixels.file_meta.TransferSyntaxUID = decoder_syntax(dataset)
    return pixels


def _parse(data: bytes, limits: Limits) -> Dataset:
    items = max(data.count(ITEM), data.count(ITEM_BIG_ENDIAN))
    if items > MOST_ITEMS:
        raise InputTooLarge("{expected}. Received: a header of {count:,} items.", expected=EXPECTED, count=items)
    stream = BytesIO(data)
    stream.seek(PREAMBLE + 4 if data[PREAMBLE : PREAMBLE + 4] == b"DICM" else 0)
    meta = read_dataset(stream, False, True, stop_when=_counting(lambda tag: tag.group != 2))
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        inflated = _inflate(stream.read(), limits)
        dataset = read_dataset(BytesIO(inflated), False, True, stop_when=_counting())
        dataset.file_meta = FileMetaDataset(meta)
        return dataset
    dataset = read_partial(BytesIO(data), stop_when=_counting(), force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = _native_syntax(dataset)
    return dataset


def _inflate(deflated: bytes, limits: Limits) -> bytes:
    """pydicom inflates without a bound."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    waiting = [deflated]

    def read(size: int) -> bytes:
        return inflater.decompress(waiting.pop() if waiting else inflater.unconsumed_tail, size)

    return unpacked(read, len(deflated), limits)


def _counting(
    is_end: Callable[[BaseTag], bool] = lambda _tag: False,
) -> Callable[[BaseTag, str | None, int], bool]:
    """For pydicom to ask before every attribute whether it is to stop: it raises `InputTooLarge` at far too many."""
    attributes = count(1)

    def stop_when(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        if next(attributes) > MOST_ATTRIBUTES:
            raise InputTooLarge("{expected}. Received: a header of too many attributes.", expected=EXPECTED)
        return is_end(BaseTag(tag))

    return stop_when


def _native_syntax(dataset: Dataset) -> UID:
    """The transfer syntax of a file without meta information, by the encoding that pydicom found."""
    if "PixelData" in dataset and dataset["PixelData"].is_undefined_length:
        raise UnsupportedInput("{expected}. Received: compressed pixels without a transfer syntax.", expected=EXPECTED)
    implicit, little = dataset.original_encoding
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _padding(stored: np.ndarray, facts: Dataset) -> np.ndarray:
    """Where ``stored`` (rows, columns) holds padding: the value itself, or all from it to the range limit."""
    ends = numbers(facts, "PixelPaddingValue")
    if len(ends) != 1:
        return np.zeros(stored.shape, bool)
    ends += numbers(facts, "PixelPaddingRangeLimit")[:1]
    # Some writers store the value with the other signedness than the pixels: 63536 for -2000 in 16 bits.
    bits, native = 8 * stored.dtype.itemsize, stored.dtype.newbyteorder("=")
    values = np.array([int(end) % 2**bits for end in ends], dtype=f"u{stored.dtype.itemsize}").view(native)
    return (stored >= values.min()) & (stored <= values.max())


def _upright(pixels: np.ndarray, facts: Dataset) -> np.ndarray:
    """``pixels`` with the patient's front in row 0 and the patient's right in column 0 (PS3.3 C.7.6.2.1.1)."""
    axes = orientation(facts)
    if not axes:
        return pixels
    return pixels[:: -1 if axes[4] < 0 else 1, :: -1 if axes[0] < 0 else 1]
