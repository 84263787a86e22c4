"""What Pillow 12 is not given: images of the kinds that open advisories name, refused before a decoder sees them.

Gradio takes no newer Pillow, and `hosting/advisories.toml` has the advisories; this module goes when Gradio takes
Pillow 13. All of them come down to images that hardly anybody saves a CT slice as.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from PIL import Image

from lungapp.errors import UnreadableInput, UnsupportedInput
from lungapp.texts import mark

SAVE_AS_PNG = mark(
    "Expected an image in a plain form. Received: one in a rare form; please save it as PNG and try again."
)
DAMAGED = mark("Expected an image whose headers agree. Received: one that contradicts itself.")

EXIF_HEADER = b"Exif\0\0"
MAX_EXIF_SEGMENTS = 8
"""A JPEG segment holds 64 KiB; EXIF data seldom fills one. Pillow joins them all."""

BMP_RUN_LENGTHS = (1, 2)
"""Values of a BMP's field for compression: run lengths with 8 and with 4 bits a pixel."""

TILE_WIDTH, PHOTOMETRIC, YCBCR = 322, 262, 6
"""Tags of a TIFF, and the second one's value for luminance and chrominance."""

SOI, EOI, SOS, APP1 = 0xD8, 0xD9, 0xDA, 0xE1
WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""JPEG's markers (ITU-T T.81, table B.1)."""


def check_bytes(data: bytes, name: str | None) -> None:
    """Raise `UnsupportedInput` or `UnreadableInput` for bytes that Pillow must not open as the format ``name``."""
    if name == "BMP" and struct.unpack_from("<I", data.ljust(34, b"\0"), 30)[0] in BMP_RUN_LENGTHS:
        raise UnsupportedInput(SAVE_AS_PNG)
    if name == "JPEG":
        frames, exif = 0, 0
        for marker, segment in jpeg_segments(data):
            frames += marker in FRAMES
            exif += marker == APP1 and segment.startswith(EXIF_HEADER)
            if frames > 1 or exif > MAX_EXIF_SEGMENTS or segment.startswith(EXIF_HEADER * 2):
                raise UnreadableInput(DAMAGED)


def check_page(image: Image.Image, data: bytes) -> None:
    """Raise `UnsupportedInput` or `UnreadableInput` where the page that ``image`` is at must not be decoded."""
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        if TILE_WIDTH in tags or tags.get(PHOTOMETRIC) == YCBCR:
            raise UnsupportedInput(SAVE_AS_PNG)
    if image.format == "JPEG":
        sizes = [struct.unpack_from(">HH", part, 1)[::-1] for marker, part in jpeg_segments(data) if marker in FRAMES]
        if sizes != [image.size]:
            raise UnreadableInput(DAMAGED)


def check_exif(image: Image.Image) -> None:
    """Raise `UnreadableInput` where Pillow would take ages over the EXIF data; decodes a PNG, whose data may follow."""
    if image.format == "PNG":
        image.load()
    raw = image.info.get("exif") or b""
    if isinstance(text := image.info.get("Raw profile type exif"), str):
        raw = raw or bytes.fromhex("".join(text.split("\n")[3:])[: 2 * len(EXIF_HEADER) * 2])
    if raw.startswith(EXIF_HEADER * 2):
        raise UnreadableInput(DAMAGED)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of every segment before the first scan, walked as libjpeg does."""
    position = 2
    while (position := data.find(b"\xff", position)) >= 0:
        while data[position : position + 1] == b"\xff":
            position += 1
        marker = data[position] if position < len(data) else EOI
        position += 1
        if marker in (SOI, EOI, SOS):
            return
        if marker == 0 or marker in WITHOUT_LENGTH:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2 or position + length > len(data):
            return
        yield marker, data[position + 2 : position + length]
        position += length
