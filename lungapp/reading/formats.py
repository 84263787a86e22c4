"""What is in a file, told by its bytes, never by its name: clinical DICOM files often have none.

Everything here runs where files are decoded, in a worker (`lungapp.reading.worker`): what it is asked is an address in,
values out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import TypeVar

from lungapp.errors import InputTooLarge, LungAppError, UnreadableInput, UnsupportedInput
from lungapp.reading.containers import (
    EMPTY_ZIP_MAGIC,
    GZIP_MAGIC,
    ZIP_MAGIC,
    Forgotten,
    Leaf,
    forget_origins,
    gunzip,
    members,
    opened,
    read_all,
)
from lungapp.reading.dicom import DicomFile, looks_like_dicom
from lungapp.reading.dicom_facts import numbers, orientation, position
from lungapp.reading.kinds import EXPECTED, Found
from lungapp.reading.limits import Limits
from lungapp.reading.nifti import NiftiVolume, looks_like_nifti
from lungapp.reading.raster import RasterFile, raster_format
from lungapp.reading.room import NeedsRoom
from lungapp.slices import SetAside, Slice
from lungapp.texts import Text, mark

T = TypeVar("T")
File = DicomFile | NiftiVolume | RasterFile

KNOWN_STRANGERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", mark("a PDF document")),
    (b"GIF8", mark("a GIF image")),
    (b"RIFF", mark("a RIFF file that is no WebP image")),
    (b"\x00\x00\x00\x0cjP  ", mark("a JPEG 2000 image")),
    (b"8BPS", mark("a Photoshop document")),
    (b"7z\xbc\xaf\x27\x1c", mark("a 7z archive")),
    (b"Rar!", mark("a RAR archive")),
    (b"\xd0\xcf\x11\xe0", mark("an office document")),
    (b"\x89HDF", mark("an HDF5 file")),
    (b"<", mark("a page or a drawing (HTML, XML or SVG)")),
)
"""What people upload most often beside the supported formats: worth a message that names it."""

PARTS = {
    "frame": mark("{file}, frame {number}"),
    "slice": mark("{file}, slice {number}"),
    "page": mark("{file}, page {number}"),
}


@dataclass(frozen=True, eq=False)
class Examined:
    """What is in a file: of an archive the files in it, of any other its slices, and its bytes once unpacked."""

    inside: tuple[Leaf | SetAside, ...] = ()
    slices: tuple[Found | SetAside, ...] = ()
    size: int = 0
    is_archive: bool = False


class _Last:
    """The file that was parsed last: its slices are mostly asked for one after the other."""

    leaf: Leaf | None = None
    file: File | None = None


_last = _Last()


def forget() -> None:
    """Hold nothing more of any file."""
    _last.leaf = _last.file = None
    forget_origins()


def examine(leaf: Leaf, limits: Limits, depth: int) -> Examined:
    """What is in the file at ``leaf``, which lies in ``depth`` archives, counted from 1.

    Raises
    ------
    UnreadableInput, UnsupportedInput, InputTooLarge
        The file as a whole; a member or a frame that is no slice is set aside.
    """
    return guarded(lambda: _examine(leaf, limits, depth))


def read_part(leaf: Leaf, number: int, limits: Limits) -> Slice:
    """Image ``number``, from 0, of the file at ``leaf``. Raises `LungAppError`."""
    return guarded(lambda: _parsed(leaf, limits).read(number))


def guarded(work: Callable[[], T]) -> T:
    """What ``work`` returns; whatever it raises ends as a `LungAppError`, or as `NeedsRoom`."""
    try:
        return work()
    except (LungAppError, NeedsRoom, Forgotten):
        raise
    except MemoryError as error:
        raise InputTooLarge("Expected an image that fits into memory. Received: a larger one.") from error
    except Exception as error:
        # Decoders raise nearly anything on damaged files; none of it means more to a user than "damaged".
        raise UnreadableInput(
            "Expected {expected}. Received: a damaged or incomplete file.", expected=EXPECTED
        ) from error


def _examine(leaf: Leaf, limits: Limits, depth: int) -> Examined:
    _last.leaf = _last.file = None
    with opened(leaf, limits) as stream:
        magic = stream.read(4)
        if magic.startswith((ZIP_MAGIC, EMPTY_ZIP_MAGIC)):
            limits.check_nesting(depth)
            return Examined(tuple(members(leaf, limits)), is_archive=True)
        if magic.startswith(GZIP_MAGIC):
            limits.check_nesting(depth)
            leaf, stream = leaf.into(None), BytesIO(gunzip(stream, limits))
            if stream.getvalue().startswith((ZIP_MAGIC, EMPTY_ZIP_MAGIC, GZIP_MAGIC)):
                return Examined((leaf,), is_archive=True)
        data = read_all(stream, limits)
    _last.leaf, _last.file = leaf, _parse(data, limits)
    return Examined(slices=tuple(_slices(leaf, _last.file)), size=len(data))


def _parsed(leaf: Leaf, limits: Limits) -> File:
    if leaf != _last.leaf or _last.file is None:
        _last.leaf = _last.file = None
        _last.file, _last.leaf = _parse(leaf.load(limits), limits), leaf
    return _last.file


def _parse(data: bytes, limits: Limits) -> File:
    # DICOM first: its 128-byte preamble may hold anything, a TIFF header included.
    if looks_like_dicom(data):
        return DicomFile(data, limits)
    if raster_format(data):
        return RasterFile(data, limits)
    if looks_like_nifti(data):
        return NiftiVolume(data, limits)
    for magic, name in KNOWN_STRANGERS:
        if data.startswith(magic):
            raise UnsupportedInput("Expected {expected}. Received: {kind}.", expected=EXPECTED, kind=name)
    raise UnreadableInput(
        "Expected {expected}. Received: {count:,} bytes of another kind.", expected=EXPECTED, count=len(data)
    )


def _slices(leaf: Leaf, file: File) -> Iterator[Found | SetAside]:
    if isinstance(file, DicomFile):
        yield from _in_dicom(leaf, file)
    elif isinstance(file, NiftiVolume):
        for number in range(file.slices):
            at, source = file.position(number), _name(leaf, "slice", number, file.slices)
            yield Found(leaf, number, file.slices, source, at, "NIfTI", leaf, (at,))
    else:
        series = leaf if file.pages > 1 else "pictures"
        for page in range(file.pages):
            yield Found(
                leaf, page, file.pages, _name(leaf, "page", page, file.pages), None, "raster", series, (float(page),)
            )


def _in_dicom(leaf: Leaf, file: DicomFile) -> Iterator[Found | SetAside]:
    for frame in range(file.frames):
        source = _name(leaf, "frame", frame, file.frames)
        try:
            facts = file.facts(frame)
        except LungAppError as error:
            if file.frames == 1:
                raise
            yield SetAside(source, str(error))
            continue
        at = position(facts)
        number = (numbers(facts, "InstanceNumber") or (0.0,))[0] if file.frames == 1 else frame
        turn = tuple(round(cosine, 2) for cosine in orientation(facts))
        series = (file.series, turn, int(facts.Rows), int(facts.Columns), at is None)
        identity = f"{file.instance} {frame}" if file.instance else ""
        yield Found(leaf, frame, file.frames, source, at, "DICOM", series, (at or 0.0, number), identity)


def _name(leaf: Leaf, part: str, number: int, count: int) -> str:
    if count == 1:
        return leaf.source
    return Text(PARTS[part], file=leaf.source, number=number + 1)
