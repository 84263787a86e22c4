"""PNG, JPEG, TIFF and BMP: what becomes of each kind of sample, and of everything that is no image."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lungapp.errors import InputTooLarge, LungAppError, UnreadableInput, UnsupportedInput
from lungapp.reading import Limits, read_slice
from lungapp.reading.raster import TITLES
from tests.reading.files import encode

RAMP = np.arange(24 * 16, dtype=np.uint16).reshape(24, 16)
GREY = (RAMP % 256).astype(np.uint8)
OPTIONS = {"JPEG": {"quality": 100}, "WEBP": {"lossless": True}}


@pytest.mark.parametrize(("name", "tolerance"), [("PNG", 0), ("TIFF", 0), ("BMP", 0), ("JPEG", 6), ("WEBP", 0)])
def test_eight_bit_grey(name, tolerance):
    item = read_slice(encode(GREY, name, **OPTIONS.get(name, {})))
    assert (item.unit, item.info.format, item.info.bits, item.info.white) == ("grey", TITLES.get(name, name), 8, 255)
    assert (item.info.colour, item.info.notes) == (0, ())
    assert item.pixels.dtype == np.float32
    np.testing.assert_allclose(item.pixels, GREY, atol=tolerance)


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    ("highest", "white"), [(200, 255), (255, 255), (256, 4095), (4095, 4095), (4096, 65535), (65535, 65535)]
)
def test_sixteen_bit_white_is_the_smallest_full_scale_that_holds_the_maximum(name, highest, white):
    pixels = np.linspace(0, highest, 64).astype(np.uint16).reshape(8, 8)
    item = read_slice(encode(pixels, name))
    assert (item.info.bits, item.info.white) == (16, white)
    assert str(white) in item.info.notes[0]
    np.testing.assert_array_equal(item.pixels, pixels)
    assert item.windowed().max() <= 1


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_tiff_compressions(compression):
    np.testing.assert_array_equal(read_slice(encode(GREY, "TIFF", compression=compression)).pixels, GREY)


def test_one_bit_becomes_black_and_white():
    bits = RAMP % 3 == 0
    item = read_slice(encode(Image.fromarray(bits)))
    np.testing.assert_array_equal(item.pixels, np.where(bits, 255, 0))


def test_equal_channels_are_the_grey_they_were():
    item = read_slice(encode(np.repeat(GREY[..., None], 3, axis=2)))
    np.testing.assert_array_equal(item.pixels, GREY)
    assert item.info.colour == 0


def test_colour_becomes_luminance_and_is_counted():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[0] = (255, 0, 0)
    pixels[1] = (100, 124, 110)  # within the chroma noise of JPEG
    item = read_slice(encode(pixels))
    assert item.info.colour == 0.25
    np.testing.assert_array_equal(item.pixels[0], 76)


def test_chroma_noise_of_a_grey_jpeg_is_not_colour():
    noise = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    item = read_slice(encode(np.repeat(noise[..., None], 3, axis=2), "JPEG", quality=50))
    assert item.info.colour == 0


def test_palette_with_colours():
    image = Image.fromarray(np.dstack([GREY, GREY, 255 - GREY])).quantize(64)
    item = read_slice(encode(image))
    assert item.info.colour > 0.5
    assert item.pixels.shape == GREY.shape


def test_palette_of_greys_is_no_colour():
    item = read_slice(encode(Image.fromarray(GREY).convert("P")))
    assert item.info.colour == 0
    np.testing.assert_array_equal(item.pixels, GREY)


@pytest.mark.parametrize(("alpha", "expected", "noted"), [(255, 200, False), (0, 0, True), (128, 100, True)])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_laid_on_black(mode, alpha, expected, noted):
    image = Image.new("L", (8, 8), 200).convert(mode)
    image.putalpha(alpha)
    item = read_slice(encode(image))
    np.testing.assert_allclose(item.pixels, expected, atol=1)
    assert bool(item.info.notes) is noted
    assert item.info.colour == 0


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, 3), (8, 1)])
def test_exif_orientation(name, orientation, turn):
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    item = read_slice(encode(pixels, name, exif=exif))
    np.testing.assert_allclose(item.pixels, np.rot90(pixels, turn), atol=8)


def test_first_of_an_animation_with_a_note():
    other = Image.fromarray(255 - GREY)
    item = read_slice(encode(GREY, "PNG", save_all=True, append_images=[other, other]))
    np.testing.assert_array_equal(item.pixels, GREY)
    assert "first" in item.info.notes[0]


def test_pages_of_a_tiff_are_slices():
    pages = [GREY, 255 - GREY, GREY // 2]
    data = encode(pages[0], "TIFF", save_all=True, append_images=[Image.fromarray(page) for page in pages[1:]])
    item = read_slice(data)
    np.testing.assert_array_equal(item.pixels, pages[1])
    assert item.info.notes == ("Slice 2 of 3, the middle one, was read.",)
    for number, page in enumerate(pages, start=1):
        np.testing.assert_array_equal(read_slice(data, number=number).pixels, page)
    with pytest.raises(UnsupportedInput, match=r"from 1 to 3\. Received: 4"):
        read_slice(data, number=4)
    with pytest.raises(InputTooLarge, match="at most 2 images"):
        read_slice(data, Limits(max_frames=2))


def test_metadata_is_named_and_left_behind():
    exif = Image.Exif()
    exif[0x013B] = "Mustermann"
    item = read_slice(encode(GREY, "JPEG", exif=exif, comment=b"Mustermann"))
    assert item.info.dropped == ("EXIF data", "text fields")
    assert read_slice(encode(GREY)).info.dropped == ()


def test_sixteen_bit_colour_is_noted_as_reduced():
    samples = np.repeat((RAMP * 100)[..., None], 3, axis=2).astype(">u2")
    item = read_slice(_png(16, 24, depth=16, kind=2, rows=[row.tobytes() for row in samples]))
    assert "8 bits" in item.info.notes[0]
    np.testing.assert_allclose(item.pixels, RAMP * 100 // 256, atol=1)


@pytest.mark.parametrize(
    "pixels",
    [np.ones((8, 8), np.float32), np.ones((8, 8), np.int32), -np.ones((8, 8), np.int32)],
    ids=["float", "int32", "negative"],
)
def test_tiff_of_unknown_scale_is_refused(pixels):
    with pytest.raises(UnsupportedInput, match=r"Expected .* Received: "):
        read_slice(encode(pixels, "TIFF"))


def test_signed_and_white_is_zero_tiffs_are_refused():
    plain = encode(RAMP, "TIFF")
    for tag, value in ((339, 2), (262, 0)):
        with pytest.raises(UnsupportedInput):
            read_slice(_with_tiff_short(plain, tag, value))


def test_white_is_zero_is_turned_round_for_eight_bits():
    item = read_slice(_with_tiff_short(encode(GREY, "TIFF"), 262, 0))
    np.testing.assert_array_equal(item.pixels, 255 - GREY)


# What is no image, or only half of one


@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_truncated(name, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    whole = encode(noise, name)
    with pytest.raises(UnreadableInput, match=r"Expected .* Received: "):
        read_slice(whole[: max(4, int(share * len(whole)))])


@pytest.mark.parametrize("data", [b"", b"\0", b"hello", b"{<script>alert(1)</script>", b"\xff" * 999, b"\0" * 4096])
def test_not_an_image(data):
    with pytest.raises(UnreadableInput) as caught:
        read_slice(data)
    assert "script" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7", "PDF"),
        (b"GIF89a", "GIF"),
        (b"RIFF....WAVE", "RIFF"),
        (b"<html>", "HTML"),
    ],
)
def test_known_strangers_are_named(data, name):
    with pytest.raises(UnsupportedInput, match=name):
        read_slice(data)


@settings(max_examples=60, deadline=None)
@given(magic=st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", b""]), rest=st.binary())
def test_random_bytes_end_as_our_error(magic, rest):
    with pytest.raises(LungAppError):
        read_slice(magic + rest)


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(["PNG", "JPEG", "TIFF", "BMP"]), at=st.floats(0, 1), value=st.integers(0, 255))
def test_one_wrong_byte_is_read_or_ends_as_our_error(name, at, value):
    data = bytearray(encode(GREY, name))
    data[int(at * (len(data) - 1))] = value
    try:
        item = read_slice(bytes(data), Limits(max_pixels=10_000))
    except LungAppError as error:
        assert "Expected" in str(error)
    else:
        assert item.unit in ("grey", "HU")


# Limits


@pytest.mark.parametrize("side", [6400, 12_000, 60_000])
def test_a_bomb_is_refused_by_its_header(side):
    bomb = _png(side, side, depth=8, kind=0, rows=[])
    with pytest.raises(InputTooLarge, match="pixels"):
        read_slice(bomb)


def test_pixel_limit_is_inclusive():
    data = encode(GREY)
    assert read_slice(data, Limits(max_pixels=GREY.size)).rows == 24
    with pytest.raises(InputTooLarge, match="16 x 24"):
        read_slice(data, Limits(max_pixels=GREY.size - 1))


def test_byte_limit(tmp_path):
    data = encode(GREY)
    path = tmp_path / "slice.png"
    path.write_bytes(data)
    for source in (data, path):
        assert read_slice(source, Limits(max_bytes=len(data))).rows == 24
        with pytest.raises(InputTooLarge, match="bytes"):
            read_slice(source, Limits(max_bytes=len(data) - 1))


# Where the bytes come from


def test_a_path_is_as_good_as_bytes_and_its_name_means_nothing(tmp_path):
    path = tmp_path / "really.dcm"
    path.write_bytes(encode(GREY))
    for source in (path, str(path)):
        assert read_slice(source).info.format == "PNG"


@pytest.mark.parametrize("name", ["missing.png", ".", "nul\0byte"])
def test_what_cannot_be_opened_is_not_named(tmp_path, name):
    with pytest.raises(UnreadableInput) as caught:
        read_slice(f"{tmp_path}/{name}")
    assert str(tmp_path) not in str(caught.value)


def _png(width: int, height: int, depth: int, kind: int, rows: list[bytes]) -> bytes:
    """A PNG written by hand: Pillow writes neither bombs nor 16-bit colour."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _with_tiff_short(data: bytes, tag: int, value: int) -> bytes:
    """``data``, a little-endian TIFF, with the value of a SHORT ``tag`` replaced (or written over tag 284)."""
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    entries = [struct.unpack_from("<HHII", data, start + 2 + 12 * i) for i in range(count)]
    known = [entry[0] for entry in entries]
    changed = bytearray(data)
    index = known.index(tag) if tag in known else known.index(284)
    struct.pack_into("<HHII", changed, start + 2 + 12 * index, tag, 3, 1, value)
    return bytes(changed)
