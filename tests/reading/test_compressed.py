"""Every compressed transfer syntax that can be encoded here, against the uncompressed file."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungapp.errors import LungAppError
from lungapp.reading import read_slice
from lungapp.reading.codestreams import Codestream, read_codestream
from tests.reading.files import chest, make_dataset, write_compressed

UNSIGNED = (chest() + 1024).clip(0, 4095).astype(np.uint16)
SYNTAX = "1.2.840.10008.1.2.4."

ENCODERS = {
    "50": (8, 40, lambda x: imagecodecs.jpeg8_encode(x.astype(np.uint8), level=98)),
    "51": (12, 12, lambda x: imagecodecs.jpeg8_encode(x, level=98, bitspersample=12)),
    "57": (12, 0, lambda x: imagecodecs.jpeg8_encode(x, lossless=True, predictor=4, bitspersample=12)),
    "70": (12, 0, lambda x: imagecodecs.jpeg8_encode(x, lossless=True, predictor=1, bitspersample=12)),
    "80": (16, 0, lambda x: imagecodecs.jpegls_encode(x)),
    "81": (16, 3, lambda x: imagecodecs.jpegls_encode(x, level=3)),
    "90": (16, 0, lambda x: imagecodecs.jpeg2k_encode(x, codecformat="J2K", reversible=True)),
    "91": (16, 24, lambda x: imagecodecs.jpeg2k_encode(x, level=95, codecformat="J2K", reversible=False)),
    "201": (16, 0, lambda x: imagecodecs.htj2k_encode(x, reversible=True)),
    "203": (16, 0, lambda x: imagecodecs.htj2k_encode(x, reversible=True)),
}
"""By transfer syntax: bits stored, how far a value may be off, and the encoder."""


def compressed(syntax: str) -> tuple[bytes, np.ndarray, float]:
    bits, tolerance, encode = ENCODERS[syntax]
    stored, slope = (UNSIGNED // 16, 16) if bits == 8 else (UNSIGNED, 1)
    dataset = make_dataset(stored.astype(np.uint16), RescaleSlope=slope, BitsStored=bits, HighBit=bits - 1)
    if bits == 8:
        dataset.BitsAllocated = 8
    hounsfield = stored.astype(np.float32) * slope - 1024
    return write_compressed(dataset, SYNTAX + syntax, [encode(stored)]), hounsfield, tolerance * slope


@pytest.mark.parametrize("syntax", ENCODERS)
def test_decoded_as_it_was_encoded(syntax):
    data, hounsfield, tolerance = compressed(syntax)
    item = read_slice(data)
    assert np.quantile(np.abs(item.pixels - hounsfield), 0.99) <= tolerance


def test_signed_values_in_fewer_bits_than_allocated():
    stored = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)
    frame = imagecodecs.jpeg8_encode((stored & 0x0FFF).astype(np.uint16), lossless=True, predictor=1, bitspersample=12)
    dataset = make_dataset(stored, RescaleIntercept=0, BitsStored=12, HighBit=11)
    item = read_slice(write_compressed(dataset, SYNTAX + "70", [frame]))
    np.testing.assert_array_equal(item.pixels, np.where(stored < -1500, -1000, stored))


@pytest.mark.parametrize("syntax", ENCODERS)
def test_headers_of_codestreams(syntax):
    bits, _, encode = ENCODERS[syntax]
    found = read_codestream(encode(UNSIGNED // 16 if bits == 8 else UNSIGNED))
    assert found is not None
    assert found[:2] == (64, 64)
    assert found.samples == 1
    assert found.bits in (bits, 12)


@pytest.mark.parametrize("syntax", ENCODERS)
@settings(max_examples=25, deadline=None)
@given(at=st.floats(0, 1), value=st.integers(0, 255))
def test_one_wrong_byte_is_read_or_ends_as_our_error(syntax, at, value):
    data = bytearray(compressed(syntax)[0])
    data[int(at * (len(data) - 1))] = value
    try:
        assert read_slice(bytes(data)).unit in ("HU", "grey")
    except LungAppError as error:
        assert "Expected" in str(error)


@settings(max_examples=200, deadline=None)
@given(head=st.sampled_from([b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ", b""]), rest=st.binary(max_size=80))
def test_random_codestreams_have_a_header_or_none(head, rest):
    found = read_codestream(head + rest)
    assert found is None or isinstance(found, Codestream)


@pytest.mark.parametrize("syntax", ["70", "80", "90", "201"])
def test_a_frame_of_another_size_is_refused(syntax):
    _, _, encode = ENCODERS[syntax]
    data = write_compressed(make_dataset(UNSIGNED[:32]), SYNTAX + syntax, [encode(UNSIGNED)])
    with pytest.raises(LungAppError, match="another size"):
        read_slice(data)


@pytest.mark.parametrize("syntax", ENCODERS)
def test_a_frame_that_is_cut_short_is_refused(syntax):
    """Decoders would fill the rest in silence."""
    bits, _, encode = ENCODERS[syntax]
    stored = UNSIGNED // 16 if bits == 8 else UNSIGNED
    data = write_compressed(make_dataset(stored, BitsStored=bits), SYNTAX + syntax, [encode(stored)[:-40]])
    with pytest.raises(LungAppError, match="cut short"):
        read_slice(data)
