"""What must be there before the page is built, a port and a folder to write to, and what must not: others' uploads.

Nothing slow is imported here.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

from lungapp.errors import InvalidSetting, StorageUnavailable

PORT = 7860

PREFIX = "lungapp-upload-"
"""Of the names of folders with uploads; the number of the process that made one follows."""


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


def sweep() -> None:
    """Delete this process's uploads, and what one that was killed has left: before the first upload, or at the end."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        process = folder.name.removeprefix(PREFIX).partition("-")[0]
        if not process.isdigit() or int(process) == os.getpid() or not _alive(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
