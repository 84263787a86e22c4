"""PNG, JPEG, TIFF, BMP and WebP to grey levels, by Pillow."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from lungapp.errors import InputTooLarge, UnsupportedInput
from lungapp.reading.codestreams import check_scans
from lungapp.reading.limits import Limits
from lungapp.reading.pillow_flaws import check_bytes, check_exif, check_page
from lungapp.reading.room import need_room
from lungapp.slices import Slice, SliceInfo
from lungapp.texts import Text, mark

MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"BM", "BMP"),
)
RIFF, WEBP = b"RIFF", b"WEBP"

COLOUR_STEP = 24
"""Channels differing by more than this (of 255) are seen as colour; JPEG's chroma noise on grey stays below."""

WHITES = (255.0, 4095.0, 65535.0)
"""Full scale of 8, 12 and 16 bit samples; 12 bit is what scanners store inside 16 bit files."""

TITLES = {"WEBP": "WebP"}

TIFF_PHOTOMETRIC = 262
BIG_TIFF = 43
EXIF_ORIENTATION = 274

UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).T,
    8: np.rot90,
}
"""What turns pixels (rows, columns) of an EXIF orientation upright; with 1, and any other, they are."""

SIXTEEN_BIT_MODES = {"I;16", "I;16L", "I;16B", "I;16N"}
GREY_MODES = {"1", "L"}


def raster_format(data: bytes) -> str | None:
    """Name of the raster format that ``data`` begins like, or None."""
    for magic, name in MAGIC:
        if data.startswith(magic):
            return name
    return "WEBP" if data.startswith(RIFF) and data[8:12] == WEBP else None


class RasterFile:
    """A raster file whose pages, of a TIFF, are read one by one; all others have one, an animation is no series.

    Parameters
    ----------
    data : the file's bytes.
    limits : checked on the header, before anything is decoded.

    Raises
    ------
    InputTooLarge
        More pixels, pages or scans than the limits.
    """

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data, self._limits, self._format = data, limits, raster_format(data)
        check_scans(data)
        self.pages = count_pages(data, limits) if self._format == "TIFF" else 1
        _open(data, self._format, limits)

    def read(self, page: int = 0) -> Slice:
        """Read one page (from 0) as grey levels.

        8-bit samples are in [0, 255]. For 16-bit samples white is the smallest of 255, 4095 and 65535 that holds the
        maximum, and a note says so. Colour becomes ITU-R 601 luminance, transparency is laid on black, and the EXIF
        orientation is applied; of the metadata nothing else is looked at.

        Returns
        -------
        Slice
            (rows, columns) float32 in [0, ``info.white``], unit ``"grey"``.

        Raises
        ------
        UnsupportedInput
            Signed, 32-bit or floating-point samples, or 16-bit samples with white at zero: their scale is unknown.
        InputTooLarge
            More pixels than the limit.
        """
        # A file is opened anew for every page: Pillow has gone wrong where one opened image was decoded twice.
        image, notes = _open(self._data, self._format, self._limits), list[str]()
        if self._format == "TIFF":
            image.seek(page)
            self._limits.check_pixels(image.height, image.width)
        elif getattr(image, "is_animated", False):
            notes.append(mark("The file holds several images; the first one was read."))
        check_page(image, self._data)
        _refuse_unknown_scale(image)
        bits = 16 if image.mode in SIXTEEN_BIT_MODES else 8
        if bits == 8 and _stored_bits(image, self._data) > 8:
            notes.append(mark("Samples of more than 8 bits were read with 8 bits."))
        need_room(pixels=image.width * image.height)
        dropped, turn = _metadata(image)
        pixels, colour = _sixteen_bit(image) if bits == 16 else _eight_bit(image, notes)
        if self._format != "TIFF":  # which Pillow turns while it decodes
            pixels = turn(pixels)
        white = next(white for white in WHITES if pixels.max() <= white)
        if bits == 16:
            notes.append(Text("16-bit grey levels: white was taken to be {white:.0f}.", white=white))
        name = TITLES.get(str(self._format), str(self._format))
        info = SliceInfo(name, bits=bits, white=white, colour=colour, notes=tuple(notes), dropped=dropped)
        return Slice(pixels, "grey", info)


def count_pages(data: bytes, limits: Limits) -> int:
    """Pages of a TIFF, by the chain of its directories; raises `InputTooLarge` for too many, or where it has no end.

    Pillow would parse them all before it tells.
    """
    order: Literal["<", ">"] = "<" if data.startswith(b"I") else ">"
    (version,) = struct.unpack_from(f"{order}H", data, 2)
    offset, length, size, entry = ("Q", "Q", 8, 20) if version == BIG_TIFF else ("L", "H", 2, 12)
    (at,) = struct.unpack_from(order + offset, data, 8 if version == BIG_TIFF else 4)
    pages = 0
    while 0 < at < len(data):
        pages += 1
        limits.check_frames(pages)
        (entries,) = struct.unpack_from(order + length, data, at)
        try:
            (at,) = struct.unpack_from(order + offset, data, at + size + entries * entry)
        except struct.error:  # cut short: for Pillow to find out what is left
            break
    return max(1, pages)


def _open(data: bytes, name: str | None, limits: Limits) -> Image.Image:
    check_bytes(data, name)
    try:
        # Only the plugin that the bytes call for: the fewer parsers see hostile bytes, the better.
        image = Image.open(BytesIO(data), formats=(name,) if name else ())
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputTooLarge(
            "Expected an image of at most {most:,} pixels. Received: a larger one.", most=limits.max_pixels
        ) from error
    limits.check_pixels(image.height, image.width)
    return image


def _metadata(image: Image.Image) -> tuple[tuple[str, ...], Callable[[np.ndarray], np.ndarray]]:
    """Kinds of metadata in the file, which may name someone and go no further, and how its pixels are turned upright.

    EXIF data is looked into for the one number that tells how the picture is turned; Pillow's own way of turning it
    would write all of it anew.
    """
    check_exif(image)
    exif = image.getexif()
    kinds = {
        mark("EXIF data"): bool(exif),
        mark("XMP data"): any(key in image.info for key in ("xmp", "XML:com.adobe.xmp")),
        mark("text fields"): any(key in image.info for key in ("comment", "Comment"))
        or bool(getattr(image, "text", None)),
    }
    orientation = exif.get(EXIF_ORIENTATION)
    turn = UPRIGHT.get(orientation, _as_it_is) if isinstance(orientation, int) else _as_it_is
    return tuple(kind for kind, there in kinds.items() if there), turn


def _as_it_is(pixels: np.ndarray) -> np.ndarray:
    return pixels


def _refuse_unknown_scale(image: Image.Image) -> None:
    if image.mode in ("I", "F"):
        raise UnsupportedInput(
            "Expected unsigned samples of 8 or 16 bits. Received: signed, 32-bit or floating-point samples, "
            "whose unit is unknown."
        )
    # Pillow turns white-is-zero round for 8 bits, but hands 16 bits over as they are.
    white_is_zero = image.format == "TIFF" and image.tag_v2.get(TIFF_PHOTOMETRIC) == 0  # type: ignore[attr-defined]
    if white_is_zero and image.mode in SIXTEEN_BIT_MODES:
        raise UnsupportedInput("Expected 16-bit samples with black at 0. Received: a TIFF with white at 0.")


def _stored_bits(image: Image.Image, data: bytes) -> int:
    """Bits a sample as stored, where Pillow may have dropped some: it reads 16-bit colour as 8-bit."""
    if image.format == "PNG":
        return int(struct.unpack_from(">B", data, 24)[0])
    if image.format == "TIFF":
        return max(image.tag_v2.get(258, (8,)))  # type: ignore[attr-defined]
    return 8


def _sixteen_bit(image: Image.Image) -> tuple[np.ndarray, float]:
    return np.asarray(image).astype(np.float32), 0.0


def _eight_bit(image: Image.Image, notes: list[str]) -> tuple[np.ndarray, float]:
    """Grey levels (rows, columns) float32 in [0, 255], and the share of coloured pixels."""
    image = _opaque(image, notes)
    if image.mode in GREY_MODES:
        return np.asarray(image.convert("L"), dtype=np.float32), 0.0
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    red, green, blue = cv2.split(np.asarray(rgb))
    if np.array_equal(red, green) and np.array_equal(red, blue):  # grey, as most exports are
        return red.astype(np.float32), 0.0
    highest, lowest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    colour = float(np.mean(highest - lowest > COLOUR_STEP))
    return np.asarray(rgb.convert("L"), dtype=np.float32), colour


def _opaque(image: Image.Image, notes: list[str]) -> Image.Image:
    """``image`` laid on black where it is transparent."""
    if not image.has_transparency_data:
        return image
    rgba = image.convert("RGBA")
    if rgba.getchannel("A").getextrema() == (255, 255):
        return rgba.convert("RGB")
    notes.append(mark("Transparent parts were laid on black."))
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")
