"""Archives → the files in them. Nothing is unpacked onto a disk, and no name out of an archive is kept."""

from __future__ import annotations

import gzip
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from lungapp.errors import LungAppError, UnreadableInput, UnsupportedInput
from lungapp.reading.limits import Limits
from lungapp.reading.room import need_room, unpacked
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

DIRECTORY_END, LARGE_DIRECTORY_END = b"PK\x05\x06", b"PK\x06\x06"
TAIL_BYTES = 22 + 2**16 + 76
"""At an archive's end: the record of its directory with the longest comment, and the one before it of a large one."""

ENTRY_BYTES = 1024
"""What an entry of a ZIP's directory may take on average: 46 bytes and a name, mostly below 300."""


@dataclass(frozen=True)
class Leaf:
    """A file: where it lies in what was handed in, and the way to its bytes. It can be sent to another process.

    Attributes
    ----------
    source : what to call it in words.
    origin : the path, or the bytes, of the file that was handed in; None where the bytes were sent before.
    token : tells that one from every other.
    way : from there to this file: the places of members in archives, None for what a gzip file holds.
    """

    source: str = field(compare=False)
    origin: Path | bytes | None = field(compare=False, repr=False)
    token: int
    way: tuple[int | None, ...] = ()

    def into(self, step: int | None, source: str | None = None) -> Leaf:
        """The file one step further inside this one."""
        return replace(self, way=(*self.way, step), source=self.source if source is None else source)

    def without_bytes(self) -> Leaf:
        """The same for a process that was sent the bytes before."""
        return replace(self, origin=None) if isinstance(self.origin, bytes) else self

    def load(self, limits: Limits) -> bytes:
        """All bytes; never more than the limit allows. Raises `InputTooLarge` and `UnreadableInput`."""
        with opened(self, limits) as stream:
            return read_all(stream, limits)


class Forgotten(Exception):
    """The bytes that were handed in are needed again."""


class _Sent:
    """The bytes that were handed in last, for all files in them."""

    token: int | None = None
    data: bytes = b""


_sent = _Sent()


@contextmanager
def opened(leaf: Leaf, limits: Limits) -> Iterator[BinaryIO]:
    """A stream of the bytes of ``leaf``. Raises `InputTooLarge`, and `UnreadableInput` whatever is wrong with it."""
    try:
        with _stream(leaf, limits) as stream:
            yield stream
    except (OSError, ValueError, EOFError, IndexError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        # ValueError: a path that no file system takes. RuntimeError: a compression or a lock that zipfile cannot open.
        raise UnreadableInput(
            "Expected {expected}. Received: a file or an archive that cannot be opened.", expected=EXPECTED
        ) from error


def read_all(stream: BinaryIO, limits: Limits) -> bytes:
    """All bytes of ``stream``, from its start. Raises `InputTooLarge` and, where there are none, `UnreadableInput`."""
    size = stream.seek(0, os.SEEK_END)
    limits.check_bytes(size)
    need_room(size)
    stream.seek(0)
    data = stream.read(limits.max_bytes + 1)
    limits.check_bytes(len(data))  # it may have grown
    if not data:
        raise UnreadableInput("Expected {expected}. Received: an empty file.", expected=EXPECTED)
    return data


def gunzip(stream: BinaryIO, limits: Limits) -> bytes:
    """What a gzip file holds. Raises `InputTooLarge`."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    with gzip.GzipFile(fileobj=stream) as file:
        return unpacked(file.read, size, limits)


def _stream(leaf: Leaf, limits: Limits) -> BinaryIO:
    if not leaf.way:
        if leaf.origin is None or isinstance(leaf.origin, bytes):
            if leaf.origin is not None:
                _sent.token, _sent.data = leaf.token, leaf.origin
            if leaf.token != _sent.token:
                raise Forgotten
            return BytesIO(_sent.data)
        if not leaf.origin.is_file():
            raise UnreadableInput("Expected {expected}. Received: no such file.", expected=EXPECTED)
        return leaf.origin.open("rb")
    outer, step = replace(leaf, way=leaf.way[:-1]), leaf.way[-1]
    if step is None:
        with opened(outer, limits) as stream:
            return BytesIO(gunzip(stream, limits))
    archive = _archive(outer, limits)
    item = archive.infolist()[step]
    limits.check_bytes(item.file_size)
    limits.check_ratio(item.file_size, item.compress_size)
    need_room(item.file_size)
    with archive.open(item) as member:
        # The header may lie about the size; what is read is bounded all the same.
        return BytesIO(member.read(limits.max_bytes + 1))


@lru_cache(maxsize=2)
def _archive(leaf: Leaf, limits: Limits) -> zipfile.ZipFile:
    """The archive at ``leaf``, opened once for all its members: its directory may list thousands."""
    stream = _stream(leaf, limits)
    _check_directory(stream, limits)
    return zipfile.ZipFile(stream)


def forget_origins() -> None:
    """Hold nothing of what was handed in."""
    _archive.cache_clear()
    _sent.token, _sent.data = None, b""


def _check_directory(stream: BinaryIO, limits: Limits) -> None:
    """Raise `InputTooLarge` where a ZIP's directory is longer than that of as many files as are accepted.

    zipfile makes objects of all of it before it says how many there are.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - TAIL_BYTES))
    tail = stream.read()
    at = tail.rfind(DIRECTORY_END)
    if at < 0 or len(tail) < at + 16:
        return  # zipfile finds none either
    (length,) = struct.unpack_from("<L", tail, at + 12)
    large = tail.rfind(LARGE_DIRECTORY_END, 0, at)
    if length == 2**32 - 1 and large >= 0 and len(tail) >= large + 48:
        (length,) = struct.unpack_from("<Q", tail, large + 40)
    if length > ENTRY_BYTES * limits.max_files:
        limits.check_files(max(limits.max_files + 1, length // ENTRY_BYTES))


def members(leaf: Leaf, limits: Limits) -> list[Leaf | SetAside]:
    """The files in the ZIP archive at ``leaf``; a member that is no file to read is set aside with its reason."""
    archive = _archive(leaf, limits)
    files = [(place, item) for place, item in enumerate(archive.infolist()) if _is_file(item.filename)]
    if any(item.filename == OFFICE_MEMBER for _, item in files):
        raise UnsupportedInput("Expected {expected}. Received: an office document.", expected=EXPECTED)
    if not files:
        raise UnsupportedInput("Expected {expected}. Received: an archive without files.", expected=EXPECTED)
    limits.check_files(len(files))
    assert archive.fp is not None
    if sum(item.compress_size for _, item in files) > archive.fp.seek(0, os.SEEK_END):
        raise UnreadableInput("Expected {expected}. Received: an archive whose files overlap.", expected=EXPECTED)
    return [
        _member(leaf.into(place, Text("{file}, item {number}", file=leaf.source, number=number)), item, limits)
        for number, (place, item) in enumerate(files, start=1)
    ]


def _is_file(name: str) -> bool:
    return not name.endswith("/") and not is_litter(name)


def _member(leaf: Leaf, item: zipfile.ZipInfo, limits: Limits) -> Leaf | SetAside:
    try:
        if item.flag_bits & ENCRYPTED:
            raise UnsupportedInput("Expected an archive that is not encrypted. Received: an encrypted file in it.")
        limits.check_bytes(item.file_size)
        limits.check_ratio(item.file_size, item.compress_size)
    except LungAppError as error:
        return SetAside(leaf.source, str(error))
    return leaf


def is_litter(name: str) -> bool:
    """Whether an operating system put the file of this name, a path, there unasked."""
    path = PurePosixPath(name)
    return path.name in LITTER or path.name.startswith("._") or "__MACOSX" in path.parts
