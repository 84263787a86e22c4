"""From file to verdict: one phantom in every kind of file, and the DICOM files that pydicom ships."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from lungapp.anatomy import Anatomy
from lungapp.errors import UnreadableInput, UnsupportedInput
from lungapp.greys import MODEL_WINDOW
from lungapp.quality import assess
from lungapp.reading import read_slice
from tests.reading.files import chest, encode, make_dataset, write, write_chest, write_nifti, write_zip

HU = chest("mass", 3, 256)
GREY = np.rint(255 * MODEL_WINDOW.apply(HU)).astype(np.uint8)
SHIPPED = Path(pydicom.data.__file__).parent / "test_files"


def in_syntax(syntax: str) -> bytes:
    dataset = make_dataset(HU, RescaleIntercept=0)
    if syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless):
        write(dataset)  # gives it the file meta that compressing asks for
        dataset.compress(syntax, generate_instance_uid=False)
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
    return write(dataset, syntax)


def volume() -> np.ndarray:
    """The phantom as NIfTI counts: x to the patient's left, y to the front."""
    return HU.T[::-1, ::-1, None]


FILES = {
    "PNG": (lambda: encode(GREY), GREY, 0),
    "PNG, 16 bit": (lambda: encode(GREY.astype(np.uint16) * 257), GREY * 257.0, 0),
    "JPEG": (lambda: encode(GREY, "JPEG", quality=95), GREY, 12),
    "TIFF": (lambda: encode(GREY, "TIFF", compression="tiff_lzw"), GREY, 0),
    "BMP": (lambda: encode(GREY, "BMP"), GREY, 0),
    "WebP": (lambda: encode(GREY, "WEBP", lossless=True), GREY, 0),
    "PNG in a ZIP": (lambda: write_zip({"a/b.png": encode(GREY)}), GREY, 0),
    "DICOM": (lambda: write_chest(HU), HU, 0),
    "DICOM, without preamble": (lambda: write(make_dataset(HU, RescaleIntercept=0), preamble=False), HU, 0),
    "DICOM, implicit": (lambda: in_syntax(ImplicitVRLittleEndian), HU, 0),
    "DICOM, big endian": (lambda: in_syntax(ExplicitVRBigEndian), HU, 0),
    "DICOM, deflated": (lambda: in_syntax(DeflatedExplicitVRLittleEndian), HU, 0),
    "DICOM, RLE": (lambda: in_syntax(RLELossless), HU, 0),
    "DICOM, JPEG 2000": (lambda: in_syntax(JPEG2000Lossless), HU, 0),
    "DICOM, JPEG-LS": (lambda: in_syntax(JPEGLSLossless), HU, 0),
    "DICOM, gzipped": (lambda: gzip.compress(write_chest(HU)), HU, 0),
    "DICOM in a ZIP": (lambda: write_zip({"IM0001": write_chest(HU)}), HU, 0),
    "NIfTI": (lambda: write_nifti(volume()), HU, 0),
    "NIfTI, gzipped": (lambda: write_nifti(volume(), packed=True), HU, 0),
}
"""What the file is → its bytes, the pixels expected of it, and by how much they may be off."""


@pytest.mark.parametrize("name", FILES)
def test_a_phantom_comes_out_of_every_file_and_is_accepted(name):
    data, pixels, tolerance = FILES[name]
    item = read_slice(data())
    np.testing.assert_allclose(item.pixels, pixels, atol=tolerance)
    assert item.unit == ("HU" if pixels is HU else "grey")
    assert assess(Anatomy(item)).verdict == "accept"


HEADS_AND_A_SPINE = {
    "693_J2KI.dcm": ((512, 512), -601.6),
    "J2K_pixelrep_mismatch.dcm": ((512, 512), -443.9),
    "CT_small.dcm": ((128, 128), -119.1),
}
"""The CT images among pydicom's files, two heads and a crop around a spine: shape and mean in HU."""


@pytest.mark.parametrize("name", HEADS_AND_A_SPINE)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_shipped_ct_is_read_and_rejected(name):
    shape, mean = HEADS_AND_A_SPINE[name]
    item = read_slice(SHIPPED / name)
    assert (item.pixels.shape, item.unit) == (shape, "HU")
    assert item.pixels.mean() == pytest.approx(mean, abs=0.1)
    assert assess(Anatomy(item)).verdict == "reject"


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_all_other_shipped_files_are_refused_in_words():
    others = [path for path in sorted(SHIPPED.glob("*.dcm")) if path.name not in HEADS_AND_A_SPINE]
    assert len(others) > 60
    for path in others:
        with pytest.raises((UnsupportedInput, UnreadableInput)) as caught:
            read_slice(path)
        assert "Expected" in str(caught.value)
        assert "Received" in str(caught.value)
