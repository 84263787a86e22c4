"""Tell the format by the bytes, never by the file's name: clinical DICOM files often have none."""

from __future__ import annotations

from pathlib import Path

from lungapp.errors import InputTooLarge, LungAppError, UnreadableInput, UnsupportedInput
from lungapp.reading.dicom import looks_like_dicom, read_dicom
from lungapp.reading.limits import Limits
from lungapp.reading.raster import raster_format, read_raster
from lungapp.slices import Slice

EXPECTED = "a PNG, JPEG, TIFF, BMP or DICOM image"

KNOWN_STRANGERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a WebP image or another RIFF file"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"8BPS", "a Photoshop document"),
)
"""What people upload most often beside the supported formats: worth a message that names it."""


def read_slice(source: str | Path | bytes, limits: Limits | None = None) -> Slice:
    """Read one slice from a file or from its bytes.

    Parameters
    ----------
    source : path of a file, or its content.
    limits : upper limits on bytes and pixels; `Limits()` if left out.

    Returns
    -------
    Slice
        (rows, columns) float32: Hounsfield units from DICOM CT, grey levels from any other format.

    Raises
    ------
    UnreadableInput
        The bytes are damaged, truncated, empty, or no image at all.
    UnsupportedInput
        The format is known, but this kind of image is not handled.
    InputTooLarge
        A limit is exceeded; found on the header, before pixels are decoded.
    """
    limits = limits or Limits()
    data = _load(source, limits)
    try:
        return _decode(data, limits)
    except LungAppError:
        raise
    except MemoryError as error:
        raise InputTooLarge("Expected an image that fits into memory. Received: a larger one.") from error
    except Exception as error:
        # Decoders raise nearly anything on damaged files; none of it means more to a user than "damaged".
        raise UnreadableInput(f"Expected {EXPECTED}. Received: a damaged or incomplete file.") from error


def _load(source: str | Path | bytes, limits: Limits) -> bytes:
    """The bytes of ``source``, never more than the limit plus one."""
    if isinstance(source, bytes):
        data = source
    else:
        try:
            path = Path(source)
            if not path.is_file():
                raise UnreadableInput(f"Expected {EXPECTED}. Received: no such file.")
            with path.open("rb") as stream:
                data = stream.read(limits.max_bytes + 1)
        except (OSError, ValueError) as error:
            raise UnreadableInput(f"Expected {EXPECTED}. Received: a file that cannot be opened.") from error
    limits.check_bytes(len(data))
    if not data:
        raise UnreadableInput(f"Expected {EXPECTED}. Received: an empty file.")
    return data


def _decode(data: bytes, limits: Limits) -> Slice:
    # DICOM first: its 128-byte preamble may hold anything, a TIFF header included.
    if looks_like_dicom(data):
        return read_dicom(data, limits)
    if raster_format(data):
        return read_raster(data, limits)
    for magic, name in KNOWN_STRANGERS:
        if data.startswith(magic):
            raise UnsupportedInput(f"Expected {EXPECTED}. Received: {name}.")
    raise UnreadableInput(f"Expected {EXPECTED}. Received: {len(data):,} bytes of another kind.")
