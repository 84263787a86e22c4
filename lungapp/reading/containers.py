"""Archives → the files in them. Nothing is unpacked onto a disk, and no name out of an archive is kept."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from lungapp.errors import LungAppError, UnreadableInput, UnsupportedInput
from lungapp.reading.limits import Limits
from lungapp.slices import SetAside
from lungapp.texts import Text, mark

ZIP_MAGIC, GZIP_MAGIC = b"PK\x03\x04", b"\x1f\x8b"
EMPTY_ZIP_MAGIC = b"PK\x05\x06"

OFFICE_MEMBER = "[Content_Types].xml"
"""In every office document, all of which are ZIP archives."""

LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}
"""What operating systems put into archives unasked."""

EXPECTED = mark("an image, a DICOM or NIfTI file, or a ZIP archive of them")
ENCRYPTED = 0x1


@dataclass(frozen=True, eq=False)
class Leaf:
    """A file: where it lies in what was handed in, and a stream of its bytes."""

    source: str
    open: Callable[[], BinaryIO]

    def load(self, limits: Limits) -> bytes:
        """All bytes; never more than the limit allows. Raises `InputTooLarge` and `UnreadableInput`."""
        try:
            with self.open() as stream:
                data = stream.read(limits.max_bytes + 1)
        except (OSError, ValueError) as error:
            raise UnreadableInput(
                "Expected {expected}. Received: a file that cannot be opened.", expected=EXPECTED
            ) from error
        limits.check_bytes(len(data))
        if not data:
            raise UnreadableInput("Expected {expected}. Received: an empty file.", expected=EXPECTED)
        return data


def _as_leaf(source: str | Path | bytes, name: str) -> Leaf:
    """``source``, a path or the bytes themselves, as a file called ``name``."""
    if isinstance(source, bytes):
        return Leaf(name, lambda: BytesIO(source))

    def stream() -> BinaryIO:
        path = Path(source)
        if not path.is_file():
            raise UnreadableInput("Expected {expected}. Received: no such file.", expected=EXPECTED)
        return path.open("rb")

    return Leaf(name, stream)


def unpack(sources: Sequence[str | Path | bytes], limits: Limits, strict: bool = False) -> Iterator[Leaf | SetAside]:
    """The files in ``sources``, with archives opened; what cannot be opened is set aside.

    Raises
    ------
    InputTooLarge
        More files, or more bytes together, than the limits.
    LungAppError
        With ``strict`` also whatever is wrong with one of ``sources`` itself.
    """
    limits.check_files(len(sources))
    budget = _Budget(limits)
    for number, source in enumerate(sources, start=1):
        yield from _opened(_as_leaf(source, Text("file {number}", number=number)), budget, 1, strict)


class _Budget:
    """What was found so far, against the limits on everything together."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._files = self._bytes = 0

    def spend(self, size: int) -> None:
        self._files, self._bytes = self._files + 1, self._bytes + size
        self.limits.check_files(self._files)
        self.limits.check_total(self._bytes)


def _opened(leaf: Leaf, budget: _Budget, depth: int, strict: bool = False) -> Iterator[Leaf | SetAside]:
    try:
        members = _members(leaf, budget.limits, depth)
    except LungAppError as error:
        if strict:
            raise
        yield SetAside(leaf.source, str(error))
        return
    if isinstance(members, int):
        budget.spend(members)
        yield leaf
        return
    for member in members:
        yield from [member] if isinstance(member, SetAside) else _opened(member, budget, depth + 1)


def _members(leaf: Leaf, limits: Limits, depth: int) -> list[Leaf | SetAside] | int:
    """The files in an archive; of any other file its size in bytes."""
    try:
        with leaf.open() as stream:
            magic = stream.read(4)
            size = stream.seek(0, 2)
            if not magic.startswith((ZIP_MAGIC, EMPTY_ZIP_MAGIC, GZIP_MAGIC)):
                limits.check_bytes(size)
                return size
            limits.check_nesting(depth)
            stream.seek(0)
            if magic.startswith(GZIP_MAGIC):
                data = _gunzip(stream, size, limits)
                return [Leaf(leaf.source, lambda: BytesIO(data))]
            return _zipped(leaf, stream, limits)
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        # ValueError: a path that no file system takes. RuntimeError: a compression or a lock that zipfile cannot open.
        raise UnreadableInput(
            "Expected {expected}. Received: a file or an archive that cannot be opened.", expected=EXPECTED
        ) from error


def _zipped(leaf: Leaf, stream: BinaryIO, limits: Limits) -> list[Leaf | SetAside]:
    with zipfile.ZipFile(stream) as archive:
        members = [item for item in archive.infolist() if not item.is_dir() and not is_litter(item.filename)]
    if any(item.filename == OFFICE_MEMBER for item in members):
        raise UnsupportedInput("Expected {expected}. Received: an office document.", expected=EXPECTED)
    if not members:
        raise UnsupportedInput("Expected {expected}. Received: an archive without files.", expected=EXPECTED)
    limits.check_files(len(members))
    return [
        _member(leaf, item, Text("{file}, item {number}", file=leaf.source, number=n), limits)
        for n, item in enumerate(members, start=1)
    ]


def _member(leaf: Leaf, item: zipfile.ZipInfo, name: str, limits: Limits) -> Leaf | SetAside:
    try:
        if item.flag_bits & ENCRYPTED:
            raise UnsupportedInput("Expected an archive that is not encrypted. Received: an encrypted file in it.")
        limits.check_bytes(item.file_size)
        limits.check_ratio(item.file_size, item.compress_size)
    except LungAppError as error:
        return SetAside(name, str(error))
    return Leaf(name, lambda: _from_zip(leaf, item, limits))


def _from_zip(leaf: Leaf, item: zipfile.ZipInfo, limits: Limits) -> BinaryIO:
    with leaf.open() as stream, zipfile.ZipFile(stream) as archive, archive.open(item) as member:
        # The header may lie about the size; what is read is bounded all the same.
        return BytesIO(member.read(limits.max_bytes + 1))


def _gunzip(stream: BinaryIO, size: int, limits: Limits) -> bytes:
    with gzip.GzipFile(fileobj=stream) as unpacked:
        data = unpacked.read(limits.max_bytes + 1)
    limits.check_bytes(len(data))
    limits.check_ratio(len(data), size)
    return data


def is_litter(name: str) -> bool:
    """Whether an operating system put the file of this name, a path, there unasked."""
    path = PurePosixPath(name)
    return path.name in LITTER or path.name.startswith("._") or "__MACOSX" in path.parts
