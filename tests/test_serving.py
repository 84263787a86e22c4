"""Starting and being probed: ports, health, headers, the log; each fault with a message that names it."""

from __future__ import annotations

import inspect
import io
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file

from lungapp import __version__
from lungapp.errors import InvalidSetting
from lungapp.routes import find, table
from lungapp.settings import Settings
from lungapp.startup import place, without_stubs
from lungapp.ui import EXAMPLES, record
from lungapp.ui.guard import COOKIE
from lungapp.ui.record import Recorded
from tests.fakes import SERVER_WARNINGS, FakeEngine, serve

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

ROOT = EXAMPLES.parent
PHANTOM = EXAMPLES / "phantom-mass.png"


class Engine(FakeEngine):
    """One whose models are as a test says."""

    def __init__(self, *states: tuple[str, str]) -> None:
        super().__init__()
        self._states = dict(zip(("basic_cnn", "resnet50", "advanced_cnn"), states, strict=True))

    def states(self) -> dict[str, tuple[str, str]]:
        return self._states


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serve(FakeEngine()) as url:
        yield url


def start(environment: dict[str, str], code: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code] if code else [sys.executable, "app.py"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )


@pytest.mark.parametrize(
    ("states", "status", "code"),
    [
        ([("loading", "")] * 3, "loading", 200),
        ([("ready", "")] * 3, "ok", 200),
        ([("ready", ""), ("failed", "Expected a. Received: b."), ("ready", "")], "degraded", 200),
        ([("failed", "Expected a. Received: b.")] * 3, "unusable", 503),
    ],
)
def test_health(states: list[tuple[str, str]], status: str, code: int) -> None:
    with serve(Engine(*states)) as url:
        answer = httpx.get(f"{url}/health")
        assert httpx.head(f"{url}/health").status_code == code
    assert answer.status_code == code
    told = answer.json()
    assert (told["status"], told["version"]) == (status, __version__)
    assert [model["state"] for model in told["models"].values()] == [state for state, _ in states]
    messages = [model.get("message", "") for model in told["models"].values()]
    assert messages == [message for _, message in states]
    assert COOKIE not in str(answer.headers)


def test_every_answer_has_the_headers(address: str) -> None:
    for path in ("/", "/health", "/config", "/theme.css", "/gradio_api/file=/etc/passwd", "/gradio_api/token", "/none"):
        headers = httpx.get(address + path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "camera=()" in headers["permissions-policy"]
        assert headers["cache-control"] == "no-store"
        policy = headers["content-security-policy"]
        assert "object-src 'none'" in policy and "connect-src 'self'" in policy
        assert "frame-ancestors 'self' https://huggingface.co" in policy
        assert "x-frame-options" not in headers, "a Space is shown inside a frame"


def test_the_cookie_is_closed_to_scripts_and_works_in_a_frame(address: str) -> None:
    plain = httpx.get(address).headers["set-cookie"]
    assert re.match(rf"{COOKIE}=[0-9a-f]{{32}}; Path=/; HttpOnly; SameSite=Lax", plain)
    behind = httpx.get(address, headers={"x-forwarded-proto": "https"}).headers["set-cookie"]
    assert behind.endswith("SameSite=None; Secure; Partitioned")


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidSetting, match=rf"port {port} on 127\.0\.0\.1"):
            place({"GRADIO_SERVER_PORT": str(port)})
        done = start({"GRADIO_SERVER_PORT": str(port)})
    assert done.returncode == 1
    assert f"LungApp cannot start. Expected port {port} on 127.0.0.1 to be free" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "٧٨٦٠", "7" * 400])
def test_odd_ports_are_refused(text: str) -> None:
    with pytest.raises(InvalidSetting, match=r"GRADIO_SERVER_PORT.*from 1 to 65535.*Received: "):
        place({"GRADIO_SERVER_PORT": text})


@pytest.mark.parametrize(
    ("name", "value"),
    [("LUNGAPP_MAX_PIXELS", "9" * 12), ("LUNGAPP_LOG", "all"), ("LUNGAPP_USERS", "ada:secret")],
)
def test_settings_out_of_range_end_the_start_with_their_name(name: str, value: str) -> None:
    done = start({name: value})
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith(f"LungApp cannot start. Expected {name}")
    assert "Traceback" not in done.stderr and "secret" not in done.stderr


def test_no_folder_to_write_to_ends_the_start_with_words() -> None:
    code = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc']; import app"
    done = start({}, code)
    assert done.returncode == 1
    assert "LungApp cannot start. Expected a temporary folder" in done.stderr
    assert "Traceback" not in done.stderr


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    root, ours = logging.getLogger(), logging.getLogger("lungapp")
    before = list(root.handlers), root.level, list(ours.handlers), ours.propagate, ours.level
    for module, name in (
        (sys, "excepthook"),
        (sys, "unraisablehook"),
        (threading, "excepthook"),
        (traceback, "print_exc"),
        (warnings, "showwarning"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    stream = io.StringIO()
    record.start_log("requests", stream)
    yield stream
    root.handlers, ours.handlers, ours.propagate = before[0], before[2], before[3]
    root.setLevel(before[1])
    ours.setLevel(before[4])


def test_the_log_has_a_line_of_json_an_analysis_and_a_request(stream: io.StringIO, tmp_path: Path) -> None:
    named = tmp_path / "Mustermann_8675309.png"
    named.write_bytes(PHANTOM.read_bytes())
    with serve(Recorded(FakeEngine()), Settings(log="requests")) as url:  # type: ignore[arg-type]
        client = Client(url, verbose=False)
        client.predict(file=handle_file(str(named)), model="resnet50", api_name="/analyse")
        with pytest.raises(Exception, match="Expected a model name"):
            client.predict(file=handle_file(str(named)), model="Mustermann", api_name="/analyse")
    told = lines(stream)
    analyses = [line for line in told if line["event"] == "analysis"]
    assert [line["model"] for line in analyses] == ["resnet50", "unknown"]
    assert set(analyses[0]) == {"time", "level", "event", "model", "verdict", "status", "ms"}
    assert (analyses[1]["status"], analyses[1]["error"]) == ("refused", "UnknownModel")
    requests = [line for line in told if line["event"] == "request"]
    assert {"/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/file"} <= {line["route"] for line in requests}
    assert all(set(line) == {"time", "level", "event", "method", "route", "status", "ms"} for line in requests)
    for word in ("Mustermann", "8675309", str(tmp_path), "own-", "127.0.0.1", "session"):
        assert word not in stream.getvalue()


def test_a_route_keeps_nothing_that_a_visitor_chose() -> None:
    def name(path: str) -> str:
        rule, _ = find(table(1), path, "GET")
        return rule.name if rule else "other"

    assert name("/") == "/"
    assert name("/gradio_api/file=/tmp/own-1/Mustermann.png") == "/gradio_api/file"
    assert name("/gradio_api/heartbeat/s3ss10n") == "/gradio_api/heartbeat"
    assert name("/gradio_api/call/analyse/0123") == "/gradio_api/call"
    assert name("/Mustermann") == "other"


def test_nothing_is_logged_unless_asked_for(stream: io.StringIO) -> None:
    record.start_log("off", stream)
    with serve(Recorded(FakeEngine())) as url:  # type: ignore[arg-type]
        httpx.post(f"{url}/api/analyse", content=PHANTOM.read_bytes())
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("held", "ends"), [("without_stubs()", "image.py"), ("nullcontext()", "parsed")])
def test_gradio_parses_none_of_its_own_source_while_it_is_imported(held: str, ends: str) -> None:
    done = start(
        {},
        f"""
import ast, inspect, sys
from contextlib import nullcontext
from lungapp.startup import without_stubs

ast.get_source_segment = lambda *_: sys.exit("parsed")  # nothing else asks for one
with {held}:
    import gradio
print(inspect.getfile(gradio.Image))
""",
    )
    assert (done.stdout + done.stderr).strip().endswith(ends)


def test_files_are_told_again_after_an_import_that_failed() -> None:
    before = inspect.getfile
    with pytest.raises(ImportError), without_stubs():
        raise ImportError
    assert inspect.getfile is before
