"""What comes before the page is built: a port, a folder to write to, how memory is kept, no uploads of others, and a
quick import of Gradio.

Nothing slow is imported here.
"""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from lungapp.errors import InvalidSetting, StorageUnavailable

PORT = 7860

PREFIX = "lungapp-upload-"
"""Of the names of folders with uploads; the number of the process that made one follows."""

ARCHIVE_PREFIX = "lungapp-archive-"
"""The same of folders into which an archive's workers bring files over."""

MIB = 2**20
MEMORY = {
    "M_TRIM_THRESHOLD": (-1, 256 * MIB),
    "M_TOP_PAD": (-2, 16 * MIB),
    "M_MMAP_THRESHOLD": (-3, 32 * MIB),
    "M_ARENA_MAX": (-8, 2),
}
"""glibc's settings (malloc.h), their numbers and values: see `keep_memory`."""


def place(environ: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Host and port to serve on. Raises `InvalidSetting` where the port is no number, or taken."""
    host = environ.get("GRADIO_SERVER_NAME", "").strip() or "127.0.0.1"
    text = environ.get("GRADIO_SERVER_PORT", "").strip() or str(PORT)
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 65535):
        raise InvalidSetting(f"Expected GRADIO_SERVER_PORT to be a number from 1 to 65535. Received: {text[:40]!r}")
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(text), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise InvalidSetting(
            f"Expected port {text} on {host} to be free and open to this user. Received: {error.strerror}. Stop the "
            "program that uses it (another LungApp?), or name another port in GRADIO_SERVER_PORT."
        ) from error
    return host, int(text)


def require_temporary_folder() -> str:
    """The system's temporary folder. Raises `StorageUnavailable` where none can be written to."""
    try:
        return tempfile.gettempdir()
    except OSError as error:  # FileNotFoundError is Python's word for it
        raise StorageUnavailable(
            "Expected a temporary folder that can be written to, where uploads are kept for a while. Received: none. "
            "Name one in TMPDIR, or give the container a tmpfs on /tmp."
        ) from error


def keep_private() -> None:
    """Have whatever this process writes be readable by its own user alone, folders that are made anew included."""
    os.umask(0o077)


def sweep(prefix: str = PREFIX) -> None:
    """Delete this process's uploads, and what one that was killed has left: before the first upload, or at the end."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        process = folder.name.removeprefix(prefix).partition("-")[0]
        if not process.isdigit() or int(process) == os.getpid() or not _alive(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def leave() -> NoReturn:
    """End the process now, and its uploads with it; no thread is waited for, since a model's load may never be done."""
    sweep()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def keep_memory() -> None:
    """Have freed memory kept for the next request, in two pools that all threads share.

    Pictures are megabytes that come and go many times in a request. By default glibc gives each back to the system at
    once and takes it anew, zeroed page by page; and it keeps a pool for every few threads, each of which grows. Other
    C libraries are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        tune = ctypes.CDLL(None).mallopt
        for number, value in MEMORY.values():
            tune(number, value)


@contextlib.contextmanager
def without_stubs() -> Iterator[None]:
    """To be held while Gradio is imported: keeps it from writing stubs for editors, which takes a third of that time.

    It parses its own source for each component and writes into its own folder, except where it cannot tell the file of
    a class; so it is not told.
    """
    getfile = inspect.getfile

    def untold(thing: Any) -> str:
        if str(getattr(thing, "__module__", "")).startswith("gradio."):
            raise OSError("Expected no stubs.")
        return getfile(thing)

    inspect.getfile = untold  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = getfile
