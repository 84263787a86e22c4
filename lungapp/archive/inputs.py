"""What there is to score: the files of a folder tree, here or at any address that fsspec knows."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from lungapp.errors import InvalidSetting, LungAppError, UnreadableInput, UnsupportedInput
from lungapp.reading.containers import is_litter

STAMPS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")
"""What file systems call the mark that changes with a file's content, the surest first."""

CHUNK_INPUTS = 32
CHUNK_BYTES = 256 * 2**20
"""What a worker is handed at once, at most; a larger input goes alone."""


@dataclass(frozen=True)
class Input:
    """One file or archive: its path below the source, size in bytes, and what says that it has changed."""

    path: str
    size: int
    stamp: str

    @property
    def label(self) -> str:
        """The path as text; bytes that are no UTF-8 are written out."""
        return os.fsencode(self.path).decode("utf-8", "backslashreplace")

    @property
    def key(self) -> str:
        """Names this content at this place; another once the file changes."""
        return digest(f"{self.label}\0{self.size}\0{self.stamp}")


def digest(text: str) -> str:
    """32 hexadecimal digits that stand for ``text``."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True)
class Source:
    """A folder, a single file, or an fsspec address of either."""

    address: str

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        try:
            return fsspec.url_to_fs(self.address)
        except (ImportError, ValueError) as error:
            # fsspec says which package reads this kind of address.
            raise InvalidSetting(f"Expected a folder, a file or an fsspec address. Received: {error}") from error

    def inputs(self, leave_out: Path | None = None) -> tuple[list[Input], int]:
        """Every file, by path, and how many folders could not be looked into.

        Parameters
        ----------
        leave_out : a folder here whose files are none of the archive's: the results, where they lie inside it.

        Raises
        ------
        UnsupportedInput : there is nothing at the address, or it does not answer.
        """
        files, root = self._opened
        closed: list[OSError] = []
        try:
            if files.isfile(root):
                return [_input(Path(root).name, files.info(root))], 0
            if not files.isdir(root):
                raise UnsupportedInput("Expected a folder or a file to score. Received: an address with nothing there.")
            found = {name: info for name, info in _walk(files, root, closed) if not is_litter(name)}
        except LungAppError:
            raise
        except Exception as error:  # each kind of storage has errors of its own
            raise UnsupportedInput(
                f"Expected a source that can be listed. Received: {type(error).__name__} from it."
            ) from error
        if leave_out and isinstance(files, LocalFileSystem):
            away = f"{os.path.relpath(leave_out.resolve(), Path(root).resolve())}{os.sep}"
            found = {name: info for name, info in found.items() if not name.startswith(away)}
        return [_input(name, found[name]) for name in sorted(found)], len(closed)

    def fetch(self, item: Input, folder: Path) -> Path:
        """Where the file lies on this machine, brought into ``folder`` where it did not; its name is not kept.

        Raises `UnreadableInput`.
        """
        files, root = self._opened
        place = root if files.isfile(root) else f"{root.rstrip('/')}/{item.path}"
        if isinstance(files, LocalFileSystem):
            return Path(place)
        copy = folder / item.key
        try:
            files.get_file(place, str(copy))
        except Exception as error:
            raise UnreadableInput(
                f"Expected a file that can be fetched. Received: {type(error).__name__} from its storage."
            ) from error
        return copy


def _walk(files: Any, root: str, closed: list[OSError]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path below ``root`` and facts of every file; what keeps a folder from being read goes to ``closed``.

    Not fsspec's own ``walk`` and ``find``, which say nothing of folders they could not read.
    """
    here = isinstance(files, LocalFileSystem)
    start, seen, waiting = len(root.rstrip("/")) + 1, set[str](), [root]
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder) if here else folder
        if real in seen:  # links may lead in circles
            continue
        seen.add(real)
        try:
            found = sorted(files.ls(folder, detail=True), key=lambda info: info["name"])
        except OSError as error:
            closed.append(error)
            continue
        for info in found:
            name = info["name"].rstrip("/")
            if info["type"] == "directory" or (here and info.get("islink") and Path(name).is_dir()):
                waiting.append(name)
            elif name != folder.rstrip("/"):  # some storages list a folder as an empty file in itself
                yield name[start:], info


def _input(path: str, info: dict[str, Any]) -> Input:
    stamp = next((str(info[name]) for name in STAMPS if info.get(name)), "")
    return Input(path, int(info.get("size") or 0), stamp)


def chunks(inputs: Sequence[Input], most: int = CHUNK_INPUTS) -> Iterator[list[Input]]:
    """``inputs`` in their order, at most ``most`` and at most `CHUNK_BYTES` at once."""
    chunk: list[Input] = []
    for item in inputs:
        if chunk and (len(chunk) == most or sum(one.size for one in chunk) + item.size > CHUNK_BYTES):
            yield chunk
            chunk = []
        chunk.append(item)
    if chunk:
        yield chunk
