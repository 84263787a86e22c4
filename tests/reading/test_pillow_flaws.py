"""Images that open advisories on Pillow 12 name (hosting/advisories.toml) never reach its decoders."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from lungapp.errors import UnreadableInput, UnsupportedInput
from lungapp.reading.formats import guarded
from lungapp.reading.limits import Limits
from lungapp.reading.pillow_flaws import EXIF_HEADER, MAX_EXIF_SEGMENTS
from lungapp.reading.raster import RasterFile
from lungapp.slices import Slice
from tests.reading.files import encode

GREY = np.arange(24 * 16, dtype=np.uint8).reshape(24, 16)


@pytest.fixture(autouse=True)
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test whose image reaches a decoder after all."""

    def decode(*rest: object) -> None:
        raise AssertionError("Pillow decoded it.")

    monkeypatch.setattr(Image, "_getdecoder", decode)


def read_slice(data: bytes) -> Slice:
    """As a worker reads it, but in this process, where the decoders can be watched."""
    return guarded(lambda: RasterFile(data, Limits()).read())


def bitmap_in_run_lengths(bits: int, compression: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, 16, 24, 1, bits, compression, 2, 0, 0, 1 << bits, 0)
    palette = b"".join(bytes((grey, grey, grey, 0)) for grey in range(1 << bits))
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + 2, 0, 0, start) + head + palette + b"\0\1"


@pytest.mark.parametrize(("bits", "compression"), [(8, 1), (4, 2)])
def test_a_bitmap_in_run_lengths(bits: int, compression: int) -> None:
    with pytest.raises(UnsupportedInput, match="save it as PNG"):
        read_slice(bitmap_in_run_lengths(bits, compression))


def tiff(tags: dict[int, int]) -> bytes:
    """A TIFF of 16 x 16 grey pixels with ``tags`` beside those it needs."""
    entries = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 277: 1, **tags}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + bytes(16 * 16 * 3)


@pytest.mark.parametrize(
    "data",
    [tiff({322: 16, 323: 16, 324: 130, 325: 256}), tiff({262: 6, 277: 3, 273: 130, 278: 16, 279: 768})],
    ids=["in tiles", "of luminance and chrominance"],
)
def test_a_tiff(data: bytes) -> None:
    with pytest.raises(UnsupportedInput, match="save it as PNG"):
        read_slice(data)


def frame(data: bytes) -> bytes:
    """The segment of a JPEG that holds its size."""
    start = data.index(b"\xff\xc0")
    return data[start : start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")]


def test_a_jpeg_with_two_sizes() -> None:
    data = encode(GREY, "JPEG")
    narrow = frame(data)[:7] + struct.pack(">H", 4) + frame(data)[9:]
    for other in (data.replace(frame(data), frame(data) + narrow), data.replace(frame(data), narrow + frame(data))):
        with pytest.raises(UnreadableInput, match="contradicts itself"):
            read_slice(other)


def segments(*contents: bytes) -> bytes:
    return b"".join(b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content for content in contents)


@pytest.mark.parametrize(
    "exif",
    [segments(EXIF_HEADER * 5000), segments(*[EXIF_HEADER + b"f\0\0Exi"] * (MAX_EXIF_SEGMENTS + 1))],
    ids=["in one segment", "across segments"],
)
def test_a_jpeg_whose_exif_header_repeats(exif: bytes) -> None:
    data = encode(GREY, "JPEG")
    with pytest.raises(UnreadableInput, match="contradicts itself"):
        read_slice(data[:2] + exif + data[2:])


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


@pytest.mark.parametrize("kind", ["eXIf", "text"])
def test_a_png_whose_exif_header_repeats(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # what follows a PNG's pixels is known once they are decoded
    looping = EXIF_HEADER * 5000
    profile = b"\nexif\n%8d\n" % len(looping) + looping.hex().encode()
    extra = {
        "eXIf": chunk(b"eXIf", looping),
        "text": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)),
    }[kind]
    data = encode(GREY, "PNG")
    with pytest.raises(UnreadableInput, match="contradicts itself"):
        read_slice(data[:33] + extra + data[33:])


def test_an_opened_image_is_loaded_at_one_frame_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    stream = BytesIO()
    pages = [Image.fromarray(GREY), Image.fromarray(np.dstack([GREY] * 3)), Image.fromarray(GREY)]
    pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:])
    frames: list[tuple[TiffImagePlugin.TiffImageFile, int]] = []
    load = TiffImagePlugin.TiffImageFile.load

    def recorded(image: TiffImagePlugin.TiffImageFile) -> object:
        frames.append((image, image.tell()))
        return load(image)

    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "load", recorded)
    file = RasterFile(stream.getvalue(), Limits())
    assert file.pages == 3
    for page in range(file.pages):
        file.read(page)
    assert len({frame for _, frame in frames}) == 3
    assert len({(id(image), frame) for image, frame in frames}) == len({id(image) for image, _ in frames})
