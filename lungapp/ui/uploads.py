"""Uploaded files: in a folder of their own as long as a page needs them, then deleted.

What Gradio keeps of an upload is linked into a folder that goes with the session at once, and deleted a little later.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from copy import copy
from pathlib import Path

from lungapp.errors import NO_ROOM, StorageUnavailable, UnreadableInput, is_full
from lungapp.startup import PREFIX
from lungapp.texts import mark
from lungapp.ui import shelf

OWN = "own-"
"""Of the names of folders in Gradio's cache that belong to one visitor each (`lungapp.ui.vault`)."""

EMPTY_FOLDER_SECONDS, EMPTY_FILE_SECONDS = 3600, 60
"""How long such a folder may be empty, and a file that Gradio makes for each it is handed. Its sweep takes neither."""

GRACE_SECONDS = 60.0
"""How long after its last use Gradio's copy is deleted: the same page may be asking for it again just now."""


LET_GO = mark(
    "This upload is no longer on the server: it was not used for a while, and others needed the room. Please upload it "
    "again."
)


class _Folder:
    """A folder with the files of one upload, for all who share it."""

    def __init__(self) -> None:
        self._folder = _own_folder()
        self.path = Path(self._folder.name)
        self.users: set[object] = set()
        self.is_gone = False

    def let_go(self) -> None:
        """Delete the files, whoever may still want them: they are the oldest where others need the room."""
        self.is_gone = True
        self.delete()

    def delete(self) -> None:
        shelf.files.remove(self)
        self._folder.cleanup()


class Upload:
    """The files of one upload, under numbers instead of their names; gone once closed or no longer referred to."""

    def __init__(self, files: Sequence[str | Path]) -> None:
        self._me = object()
        self._folder = _Folder()
        self._folder.users.add(self._me)
        self.files = tuple(self._folder.path / str(number) for number in range(1, len(files) + 1))
        for file, own in zip(files, self.files, strict=True):
            try:
                _link(Path(file), own)
            except OSError as error:  # what is missing is noticed, and said, by whoever reads it
                if is_full(error):
                    self.close()
                    raise StorageUnavailable(NO_ROOM) from error
        shelf.files.put(self._folder, sum(file.stat().st_size for file in self.files if file.is_file()))
        _forget_later([Path(file) for file in files])

    def use(self) -> None:
        """To be called before the files are read. Raises `UnreadableInput` where they had to make room for others."""
        if self._folder.is_gone:
            raise UnreadableInput(LET_GO)
        shelf.files.use(self._folder)

    def share(self) -> Upload:
        """The same files for somebody else, who closes what is given back; they are deleted with the last of all."""
        other = copy(self)
        other._me = object()
        self._folder.users.add(other._me)
        return other

    def close(self) -> None:
        """Delete the files unless they are shared with somebody who needs them; a second call changes nothing."""
        self._folder.users.discard(self._me)
        if not self._folder.users:
            self._folder.delete()

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def private_cache() -> tempfile.TemporaryDirectory[str] | None:
    """Have Gradio keep its files in a folder that goes with this process; to be called before the page is built.

    Returns the folder, which is deleted when no longer referred to; None where ``GRADIO_TEMP_DIR`` names another.
    """
    if os.environ.get("GRADIO_TEMP_DIR"):
        return None
    from gradio import processing_utils

    folder = _own_folder()
    os.environ["GRADIO_TEMP_DIR"] = folder.name
    # What Gradio caches by its content is under a hash that nobody outside can compute.
    processing_utils.hash_seed = secrets.token_bytes(32)
    return folder


def _own_folder() -> tempfile.TemporaryDirectory[str]:
    """Raises `StorageUnavailable`."""
    try:
        return _make_folder()
    except OSError as error:  # FileNotFoundError is Python's word for no folder that can be written to
        raise StorageUnavailable(NO_ROOM) from error


def _make_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", ignore_cleanup_errors=True)


def hand_out(folder: Path, name: str, content: bytes) -> Path:
    """A file called ``name`` for a program to fetch, in ``folder``, which is the visitor's own; it is deleted soon."""
    file = folder / name
    file.write_bytes(content)
    _forget_later([file])
    return file


def _link(file: Path, own: Path) -> None:
    try:
        os.link(file, own)
    except OSError:  # another file system, or one without links
        shutil.copyfile(file, own)


def _forget_later(files: Sequence[Path]) -> None:
    """Delete Gradio's copies when their time is over; files elsewhere, an example of our own say, are left alone."""
    cached = [file for file in files if file.resolve().is_relative_to(cache_folder())]
    if cached:
        _leaving.add(GRACE_SECONDS, cached)


class _Leaving:
    """Files whose time is running out, and one thread for all of them: a thread each would be thousands under load."""

    def __init__(self) -> None:
        self._due: list[tuple[float, float, Sequence[Path]]] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, seconds: float, files: Sequence[Path]) -> None:
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + seconds, time.time(), files))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="lungapp-uploads", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._due or (left := self._due[0][0] - time.monotonic()) > 0:
                    self._changed.wait(left if self._due else None)
                _, used, files = heapq.heappop(self._due)
            _forget(files, used)
            with self._changed:
                idle = not self._due
            if idle:
                tidy()


_leaving = _Leaving()


def _forget(files: Sequence[Path], used: float) -> None:
    """Delete ``files`` but those that were uploaded anew since ``used``, in seconds of the epoch."""
    for file in files:
        with contextlib.suppress(OSError):
            if file.stat().st_mtime <= used:
                file.unlink()
                file.parent.rmdir()
                if file.parents[1].resolve() != cache_folder():
                    file.parents[1].rmdir()


def cache_folder() -> Path:
    """Where Gradio keeps uploads."""
    from gradio.utils import get_upload_folder

    return Path(get_upload_folder()).resolve()


def tidy() -> None:
    """Remove folders in which nothing is left, and the empty file that Gradio makes for every file it is handed."""
    cache, now = cache_folder(), time.time()
    # os.walk, unlike glob, does not mind that others delete folders meanwhile.
    for place, _, files in os.walk(cache, topdown=False):
        folder = Path(place)
        if folder != cache and folder.relative_to(cache).parts[0].startswith(OWN):
            with contextlib.suppress(OSError):  # gone, or with a file in it
                if folder.stat().st_mtime < now - EMPTY_FOLDER_SECONDS:
                    folder.rmdir()
        elif folder == cache:
            for file in (folder / name for name in files if name.startswith("tmp")):
                with contextlib.suppress(OSError):
                    found = file.stat()
                    if not found.st_size and found.st_mtime < now - EMPTY_FILE_SECONDS:
                        file.unlink()
