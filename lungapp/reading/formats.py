"""Tell the format by the bytes, never by the file's name: clinical DICOM files often have none."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

from lungapp.errors import InputTooLarge, LungAppError, UnreadableInput, UnsupportedInput
from lungapp.reading.containers import Leaf
from lungapp.reading.dicom import DicomFile, looks_like_dicom
from lungapp.reading.dicom_facts import numbers, orientation, position
from lungapp.reading.limits import Limits
from lungapp.reading.nifti import NiftiVolume, looks_like_nifti
from lungapp.reading.raster import count_pages, raster_format, read_raster
from lungapp.slices import Entry, SetAside, Slice
from lungapp.texts import Text, mark

T = TypeVar("T")
FORMATS = mark("DICOM, NIfTI, PNG, JPEG, TIFF, BMP or WebP")
"""What can be read, for every place that tells a user."""

EXPECTED = Text("an image in {formats}", formats=FORMATS)

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

KINDS = {"DICOM": mark("DICOM CT"), "NIfTI": mark("NIfTI volume"), "raster": mark("Pictures")}

PARTS = {
    "frame": mark("{file}, frame {number}"),
    "slice": mark("{file}, slice {number}"),
    "page": mark("{file}, page {number}"),
}


@dataclass(frozen=True, eq=False)
class Found:
    """A slice found in a file.

    ``kind`` is a key of `KINDS`; slices of equal ``series`` belong together and are ordered by ``order``; an image with
    an ``identity`` that was seen before is the same image again. Neither leaves this package.
    """

    entry: Entry
    kind: str
    series: Hashable
    order: tuple[float, ...]
    identity: str = ""


def find(leaf: Leaf, limits: Limits) -> list[Found | SetAside]:
    """The slices in one file that is no archive.

    Raises
    ------
    UnreadableInput, UnsupportedInput, InputTooLarge
        The file as a whole; a frame that is no slice is set aside.
    """
    return guarded(lambda: _find(leaf, leaf.load(limits), limits))


def guarded(work: Callable[[], T]) -> T:
    """What ``work`` returns; whatever it raises ends as a `LungAppError`."""
    try:
        return work()
    except LungAppError:
        raise
    except MemoryError as error:
        raise InputTooLarge("Expected an image that fits into memory. Received: a larger one.") from error
    except Exception as error:
        # Decoders raise nearly anything on damaged files; none of it means more to a user than "damaged".
        raise UnreadableInput(
            "Expected {expected}. Received: a damaged or incomplete file.", expected=EXPECTED
        ) from error


def _find(leaf: Leaf, data: bytes, limits: Limits) -> list[Found | SetAside]:
    # DICOM first: its 128-byte preamble may hold anything, a TIFF header included.
    if looks_like_dicom(data):
        return _in_dicom(leaf, data, limits)
    if raster_format(data):
        return _in_raster(leaf, data, limits)
    if looks_like_nifti(data):
        return _in_nifti(leaf, data, limits)
    for magic, name in KNOWN_STRANGERS:
        if data.startswith(magic):
            raise UnsupportedInput("Expected {expected}. Received: {kind}.", expected=EXPECTED, kind=name)
    raise UnreadableInput(
        "Expected {expected}. Received: {count:,} bytes of another kind.", expected=EXPECTED, count=len(data)
    )


def _in_dicom(leaf: Leaf, data: bytes, limits: Limits) -> list[Found | SetAside]:
    file = DicomFile(data, limits)
    found: list[Found | SetAside] = []
    for frame in range(file.frames):
        try:
            facts = file.facts(frame)
        except LungAppError as error:
            if file.frames == 1:
                raise
            found.append(SetAside(_name(leaf, "frame", frame, file.frames), str(error)))
            continue
        at = position(facts)
        number = (numbers(facts, "InstanceNumber") or (0.0,))[0] if file.frames == 1 else frame
        # A series is read file by file when its turn comes; the frames of one file share what was parsed of it.
        read = _single(leaf, limits) if file.frames == 1 else _framed(file, frame)
        turn = tuple(round(cosine, 2) for cosine in orientation(facts))
        found.append(
            Found(
                Entry(_name(leaf, "frame", frame, file.frames), at, read),
                "DICOM",
                (file.series, turn, int(facts.Rows), int(facts.Columns), at is None),
                (at or 0.0, number),
                f"{file.instance} {frame}" if file.instance else "",
            )
        )
    return found


def _single(leaf: Leaf, limits: Limits) -> Callable[[], Slice]:
    return lambda: guarded(lambda: DicomFile(leaf.load(limits), limits).read())


def _framed(file: DicomFile, frame: int) -> Callable[[], Slice]:
    return lambda: guarded(lambda: file.read(frame))


def _in_nifti(leaf: Leaf, data: bytes, limits: Limits) -> list[Found | SetAside]:
    volume = NiftiVolume(data, limits)

    def found(number: int) -> Found:
        at = volume.position(number)
        entry = Entry(_name(leaf, "slice", number, volume.slices), at, lambda: guarded(lambda: volume.read(number)))
        return Found(entry, "NIfTI", leaf, (at,))

    return [found(number) for number in range(volume.slices)]


def _in_raster(leaf: Leaf, data: bytes, limits: Limits) -> list[Found | SetAside]:
    pages = count_pages(data, limits)

    def found(page: int) -> Found:
        entry = Entry(
            _name(leaf, "page", page, pages),
            None,
            lambda: guarded(lambda: read_raster(leaf.load(limits), limits, page)),
        )
        return Found(entry, "raster", leaf if pages > 1 else "pictures", (page if pages > 1 else 0,))

    return [found(page) for page in range(pages)]


def _name(leaf: Leaf, part: str, number: int, count: int) -> str:
    if count == 1:
        return leaf.source
    return Text(PARTS[part], file=leaf.source, number=number + 1)
