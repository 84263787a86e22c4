"""Two replicas behind Ray Serve on this machine, in processes of their own."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from lungapp.startup import PREFIX
from lungapp.users import hash_password

ROOT = Path(__file__).parents[2]
MISSING = [name for name in ("ray", "aiohttp", "mmh3") if importlib.util.find_spec(name) is None]

USERS = ("ada", "bob")
PASSWORD = "a long enough pass phrase"


@pytest.fixture(scope="session")
def needs_serve() -> None:
    """Skipped on a machine without what replicas need; where the project is checked that is a failure."""
    if MISSING:
        told = f"needs {', '.join(MISSING)}: pip install -r requirements-replicas.txt"
        pytest.fail(told) if os.environ.get("CI") else pytest.skip(told)


@contextmanager
def replicas(arguments: Sequence[str] = ("--replicas", "2", "--cpus", "0.5"), **environment: str) -> Iterator[str]:
    """Yields their address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    temporary = tempfile.mkdtemp(prefix="la-")  # short: Ray has sockets below it
    own = {
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": "",
        "TMPDIR": temporary,
        **environment,
    }
    command = [sys.executable, "-m", "tests.replicas.server", *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **own}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout
        said = process.stdout.readline()
        assert said.startswith(f"LungApp is on http://127.0.0.1:{port}"), f"it said {said!r} and ended"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=120)  # a slow machine
        with warnings.catch_warnings():  # visitors' connections that nobody closed
            warnings.simplefilter("ignore")
            gc.collect()
    left = list(Path(temporary).glob(f"{PREFIX}*"))
    shutil.rmtree(temporary, ignore_errors=True)
    assert left == [], "no upload outlives the replicas, killed ones' included"
    # Ray says on the error output when a replica was killed.
    assert process.returncode == 0 and "Traceback" not in said and "SIGTERM" not in said


@pytest.fixture(scope="package")
def address(needs_serve) -> Iterator[str]:
    with replicas() as url:
        yield url


@pytest.fixture(scope="module")
def guarded(needs_serve) -> Iterator[str]:
    """With a login for two."""
    with replicas(LUNGAPP_USERS=" ".join(f"{name}:{hash_password(PASSWORD)}" for name in USERS)) as url:
        yield url
