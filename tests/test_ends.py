"""Probes that try, figures without anybody in them, and an end that finishes what runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.cold_start import free_port
from lungapp.errors import InvalidSetting
from lungapp.settings import Settings
from lungapp.startup import PREFIX
from lungapp.ui import EXAMPLES, direct, fair_queue, health
from lungapp.ui.fair_queue import FairQueue
from lungapp.users import hash_password
from tests.fakes import SERVER_WARNINGS, FakeEngine, serve
from tests.hostile import PATIENCE, Wire, until

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

ROOT = EXAMPLES.parent
PHANTOM = (EXAMPLES / "phantom-mass.png").read_bytes()
TOKEN = "a-token-for-prometheus"
LONG = "3600"
"""Seconds; nothing that ends before has waited for it."""


class Models(FakeEngine):
    """One whose models are in these states."""

    def __init__(self, *states: str) -> None:
        super().__init__()
        self._states = states

    def states(self) -> dict[str, tuple[str, str]]:
        return {name: (state, "") for name, state in zip(super().states(), self._states, strict=True)}


@contextmanager
def process(folder: Path, *command: str, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A page in a process of its own, and its address; killed where a test fails."""
    port = free_port()
    own = {
        "GRADIO_SERVER_PORT": str(port),
        "TMPDIR": str(folder),
        "GRADIO_TEMP_DIR": "",
        "LUNGAPP_USERS": "",
        **settings,
    }
    started = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, **own}, stdout=subprocess.PIPE, text=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(url) or started.poll() is not None)
        yield started, url
    finally:
        started.kill()
        started.communicate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=PATIENCE).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("command", [("app.py",), ("-m", "tests.slow_page", "0")], ids=["app.py", "ready"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_process_ends_without_its_grace(command: tuple[str, ...], number: int, tmp_path: Path) -> None:
    """With a page open, and in ``app.py`` with its models just being loaded."""
    with process(tmp_path, *command, LUNGAPP_GRACE=LONG) as (started, url):
        page = Wire(url).head("GET", "/gradio_api/heartbeat/a")
        assert page.status() == 200
        started.send_signal(number)
        assert started.wait(PATIENCE) == 0
        page.close()
    assert not list(tmp_path.glob(f"{PREFIX}*")), "its uploads go with it"


def test_what_runs_is_finished_and_nothing_new_is_begun(tmp_path: Path) -> None:
    with (
        process(tmp_path, "-m", "tests.slow_page", "4", LUNGAPP_GRACE=LONG) as (started, url),
        ThreadPoolExecutor() as pool,
    ):
        direct_one = pool.submit(httpx.post, url + direct.PATH, content=PHANTOM, timeout=PATIENCE)
        with httpx.Client(base_url=url, timeout=PATIENCE) as client:
            (path,) = client.post("/gradio_api/upload", files={"files": ("a.png", PHANTOM)}).json()
            file = {"path": path, "meta": {"_type": "gradio.FileData"}}
            data = [file, "resnet50", "predicted", "gradcam", False, 0, False, False]
            asked = client.post("/gradio_api/call/analyse", json={"data": data}).json()
            queued = pool.submit(client.get, f"/gradio_api/call/analyse/{asked['event_id']}")
            assert started.stdout
            begun = filter("begun".__eq__, map(str.strip, iter(started.stdout.readline, "")))
            assert [next(begun), next(begun)] == ["begun", "begun"]
            started.send_signal(signal.SIGTERM)
            until(lambda: _status(url) != 200)
            assert direct_one.result().status_code == 200
            assert "event: complete" in queued.result().text
        assert started.wait(PATIENCE) == 0


def _status(url: str) -> int:
    try:
        answer = httpx.post(url + direct.PATH, content=b"x", timeout=PATIENCE)
    except httpx.TransportError:
        return 0
    return answer.status_code if answer.status_code == 503 else 200


def test_a_grace_has_an_end(tmp_path: Path) -> None:
    with process(tmp_path, "-m", "tests.slow_page", LONG, LUNGAPP_GRACE="1") as (started, url):
        wire = Wire(url).head("POST", direct.PATH, len(PHANTOM))
        wire.send(PHANTOM)
        assert started.stdout and any("begun" in line for line in iter(started.stdout.readline, ""))
        started.send_signal(signal.SIGTERM)
        assert started.wait(PATIENCE) == 0
        wire.close()


@pytest.mark.parametrize(
    ("states", "status", "code"),
    [
        (("loading",) * 3, "stuck", 503),
        (("failed", "loading", "failed"), "stuck", 503),
        (("ready", "loading", "ready"), "degraded", 200),
        (("failed",) * 3, "unusable", 503),
    ],
)
def test_loading_that_does_not_end_is_seen(
    states: tuple[str, ...], status: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LOADING_SECONDS", 0.0)
    with serve(Models(*states)) as url:  # type: ignore[arg-type]
        answer = httpx.get(f"{url}/health")
    assert (answer.status_code, answer.json()["status"]) == (code, status)


@pytest.mark.parametrize("login", [False, True])
def test_readiness_tries(login: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No login is asked for: a probe has none."""
    users = {"ada": hash_password("a long enough pass phrase")} if login else {}
    monkeypatch.setattr(health, "PROBED_SECONDS", 0.0)
    engine = Models("loading", "loading", "failed")

    def told() -> tuple[int, Any]:
        answer = httpx.get(f"{url}/ready", timeout=PATIENCE)
        return answer.status_code, answer.json()["reasons"]

    with serve(engine, Settings(users=users)) as url:  # type: ignore[arg-type]
        assert told() == (503, ["models"])
        engine._states = ("ready", "loading", "failed")
        assert told() == (200, [])
        with monkeypatch.context() as patch:  # as on a disk that takes nothing
            (tmp_path / "file").touch()
            patch.setattr(health, "cache_folder", lambda: tmp_path / "file" / "folder")
            assert told() == (503, ["disk"])
        assert told() == (200, [])
        with monkeypatch.context() as patch:
            patch.setattr(FairQueue, "is_full", True)
            assert told() == (503, ["queue"])
        with monkeypatch.context() as patch:  # as on a network's disk that does not answer
            patch.setattr(health, "PROBE_SECONDS", 0.2)
            patch.setattr(health, "takes_a_file", lambda _: time.sleep(1) or True)
            assert told() == (503, ["disk"])
        until(lambda: told() == (200, []))


def test_a_queue_that_is_full_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "LENGTH", 0)
    with serve(FakeEngine()) as url, httpx.Client(base_url=url) as client:
        assert client.get("/ready").status_code == 200
        client.post("/gradio_api/call/models", json={"data": []})
        assert client.get("/ready").json()["reasons"] == ["queue"]


@pytest.mark.parametrize("token", ["", TOKEN])
def test_figures_are_for_whoever_has_the_token(token: str) -> None:
    with serve(FakeEngine(), Settings(metrics=token)) as url, httpx.Client(base_url=url) as client:
        tries = ("", "Bearer", f"Bearer {TOKEN}x", f"bearer{TOKEN}")
        codes = {client.get("/metrics", headers={"authorization": text}).status_code for text in tries}
        assert codes == ({401} if token else {404})
        answer = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == (200 if token else 404)


def test_figures_name_nobody_and_grow_with_nothing_that_a_stranger_chooses() -> None:
    from prometheus_client.parser import text_string_to_metric_families as parse

    with serve(FakeEngine(), Settings(metrics=TOKEN)) as url, httpx.Client(base_url=url) as client:
        for number in range(20):
            client.request(
                f"ODD{number}", f"/Mustermann/{number}?patient=8675309", headers={"cookie": "lungapp-visitor=c4n4ry"}
            )
        client.post(direct.PATH, content=PHANTOM)
        client.post("/nowhere", content=bytes(5000))
        text = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).text
    samples = [sample for family in parse(text) for sample in family.samples]
    told = {(sample.name, *sorted(sample.labels.values())): sample.value for sample in samples}
    assert told["lungapp_requests_total", "/api/analyse", "200"] == 1
    assert told["lungapp_model", "ready", "resnet50"] == 1
    assert told["lungapp_calls", "series", "waiting"] == 0
    assert any(name[0] == "lungapp_refused_total" and "413" in name for name in told)
    assert len([name for name in told if name[0] == "lungapp_requests_total" and "other" in name]) <= 3
    for word in ("Mustermann", "8675309", "c4n4ry", "127.0.0.1", "ODD"):
        assert word not in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LUNGAPP_METRICS", "short"),
        ("LUNGAPP_METRICS", "has blanks in it, and more"),
        ("LUNGAPP_GRACE", "-1"),
        ("LUNGAPP_GRACE", "3601"),
        ("LUNGAPP_MAX_CONNECTIONS", "15"),
        ("LUNGAPP_MAX_CONNECTIONS", "many"),
    ],
)
def test_odd_settings_are_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=name) as refused:
        Settings.from_env({name: value})
    assert name != "LUNGAPP_METRICS" or not re.search(value, str(refused.value)), "a token is told to nobody"


def test_settings_are_read() -> None:
    read = Settings.from_env({"LUNGAPP_METRICS": TOKEN, "LUNGAPP_GRACE": "0", "LUNGAPP_MAX_CONNECTIONS": "64"})
    assert (read.metrics, read.grace, read.connections) == (TOKEN, 0, 64)
    assert TOKEN not in repr(read)
