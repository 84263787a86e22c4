"""What a compressed frame says of itself, read from its markers before a decoder is trusted with it."""

from __future__ import annotations

import struct
from typing import NamedTuple

from lungapp.errors import InputTooLarge

JPEG_MAGIC, JPEG2000_MAGIC = b"\xff\xd8", b"\xff\x4f\xff\x51"
JP2_MAGIC = b"\x00\x00\x00\x0cjP  "

START_OF_FRAME = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
"""Of JPEG (ITU-T T.81, table B.1) and of JPEG-LS (T.87: 0xF7)."""

END_OF_IMAGE = b"\xff\xd9"
"""The last marker of every JPEG and every JPEG 2000 codestream."""

MOST_SCANS = 64
"""Writers of progressive JPEG make about ten."""

STANDALONE = {0x01, *range(0xD0, 0xD9)}
START_OF_SCAN = 0xDA


class Codestream(NamedTuple):
    """Size of a compressed image and its samples: ``bits`` each, ``samples`` a pixel."""

    rows: int
    columns: int
    bits: int
    samples: int


def read_codestream(frame: bytes) -> Codestream | None:
    """The header of a JPEG, JPEG-LS, JPEG 2000 or HTJ2K image; None where it is none or cut short."""
    try:
        if frame.startswith(JP2_MAGIC):  # wrapped in a file format, which DICOM forbids and some writers do
            frame = frame[frame.index(JPEG2000_MAGIC) :]
        if frame.startswith(JPEG2000_MAGIC):
            return _jpeg2000(frame)
        return _jpeg(frame) if frame.startswith(JPEG_MAGIC) else None
    except (struct.error, ValueError, IndexError):
        return None


def check_scans(frame: bytes) -> None:
    """Raise `InputTooLarge` for a JPEG of more than `MOST_SCANS` scans, each of which passes over all pixels."""
    if frame.startswith(JPEG_MAGIC) and frame.count(bytes((0xFF, START_OF_SCAN))) > MOST_SCANS:
        raise InputTooLarge(
            "Expected a JPEG image of at most {most} scans. Received: one of more.",
            most=MOST_SCANS,
        )


def _jpeg(frame: bytes) -> Codestream | None:
    at = 2
    while at < len(frame):
        if frame[at] != 0xFF:
            return None
        marker = frame[at + 1]
        if marker == 0xFF or marker in STANDALONE:  # a fill byte, or a marker without a segment
            at += 1 if marker == 0xFF else 2
            continue
        if marker == START_OF_SCAN:
            return None
        (length,) = struct.unpack_from(">H", frame, at + 2)
        if marker in START_OF_FRAME:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", frame, at + 4)
            return Codestream(rows, columns, bits, samples)
        at += 2 + length
    return None


def _jpeg2000(frame: bytes) -> Codestream:
    """The SIZ segment (ITU-T T.800, A.5.1)."""
    _, right, bottom, left, top = struct.unpack_from(">H4I", frame, 6)
    (samples,) = struct.unpack_from(">H", frame, 40)
    return Codestream(bottom - top, right - left, (frame[42] & 0x7F) + 1, samples)
