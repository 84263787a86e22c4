"""``POST /api/analyse``: the same answer as Gradio's endpoint, in one request, within limits, and with nothing kept."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from lungapp.errors import Busy, LungAppError, WeightsMissing
from lungapp.results import Analysis
from lungapp.routes import find, table
from lungapp.settings import Settings
from lungapp.ui import EXAMPLES, direct
from lungapp.ui.direct import PLACES
from lungapp.ui.shares import ADDRESS
from lungapp.ui.uploads import cache_folder
from lungapp.users import hash_password
from tests.fakes import SERVER_WARNINGS, BrokenEngine, FakeEngine, serve

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

PHANTOM = EXAMPLES / "phantom-mass.png"
PASSWORD = "a long enough pass phrase"

MINE = max(1, int(PLACES * ADDRESS))
"""What the callers of one address have of the places."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serve(FakeEngine()) as url:
        yield url


def ask(address: str, body: Any = None, **query: Any) -> httpx.Response:
    content = PHANTOM.read_bytes() if body is None else body
    return httpx.post(address + direct.PATH, content=content, params=query, timeout=120)


def picture_of(answer: httpx.Response) -> np.ndarray:
    head, _, data = answer.json()["overlay"].partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(BytesIO(base64.b64decode(data))))


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key not in ("created", "timings_ms")}


@pytest.mark.parametrize(
    "options",
    [
        {"model": "resnet50"},
        {"model": "all", "target": "benign"},
        {"model": "basic_cnn", "faithfulness": True},
        {"method": "layercam", "faithfulness": True, "failing_maps": True},
    ],
)
def test_the_answer_is_that_of_the_other_endpoint(address: str, options: dict[str, Any]) -> None:
    report, overlay = Client(address, verbose=False).predict(
        file=handle_file(str(PHANTOM)), **options, api_name="/analyse"
    )
    asked = {name: str(value).lower() if isinstance(value, bool) else value for name, value in options.items()}
    answer = ask(address, **asked)
    assert answer.status_code == 200
    assert without_times(answer.json()["report"]) == without_times(report)
    assert np.array_equal(picture_of(answer), np.asarray(Image.open(overlay)))


def test_the_model_of_the_settings_is_asked_where_none_is_named(address: str) -> None:
    assert ask(address).json()["report"]["model"] == Settings().default_model


def test_nothing_is_written_to_the_disk_and_nothing_may_be_kept(address: str) -> None:
    before = set(cache_folder().rglob("*"))
    answer = ask(address)
    assert set(cache_folder().rglob("*")) == before
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"model": "Mustermann"}, "Expected a model name"),
        ({"target": "none"}, "Expected a class out of"),
        ({"method": "none"}, "Expected"),
        ({"override": "yes"}, "Expected override to be true or false. Received: 'yes'"),
        ({"slice_number": "-1"}, "Expected slice_number to be a number from 0. Received: '-1'"),
        ({"slice_number": "٣"}, "Expected slice_number to be a number from 0."),
        ({"file": "/etc/passwd"}, "Expected parameters out of: model, target, method, override"),
    ],
)
def test_odd_parameters_are_refused(address: str, query: dict[str, str], words: str) -> None:
    answer = ask(address, **query)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(words)


@pytest.mark.parametrize(
    ("body", "query", "status"),
    [(b"", {}, 422), (b"<html>", {}, 422), (PHANTOM.read_bytes()[:2000], {}, 422), (None, {"slice_number": "2"}, 422)],
)
def test_what_is_no_slice_is_refused_with_words(address: str, body: bytes | None, query: dict, status: int) -> None:
    answer = ask(address, body, **query)
    assert answer.status_code == status
    assert answer.json()["error"].startswith("Expected ") and "Received: " in answer.json()["error"]


def test_large_bodies_are_refused(address: str) -> None:
    def unannounced() -> Iterator[bytes]:
        for _ in range(17):
            yield b"x" * 2**20

    announced, streamed = ask(address, b"x" * (direct.MOST_BYTES + 1)), ask(address, unannounced())
    assert (announced.status_code, streamed.status_code) == (413, 413)
    assert "Expected a request of at most 16777216 bytes" in streamed.json()["error"]


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (WeightsMissing("Expected a. Received: b."), 503, "Expected a. Received: b."),
        (Busy("Expected c. Received: d."), 503, "Expected c. Received: d."),
        (RuntimeError("Mustermann"), 500, "Something went wrong on our side"),
    ],
)
def test_failures_become_words(error: Exception, status: int, words: str) -> None:
    with serve(BrokenEngine(error)) as url:
        answer = ask(url)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(words)
    assert ("retry-after" in answer.headers) == isinstance(error, Busy)


def test_nobody_is_let_in_without_a_login() -> None:
    with serve(FakeEngine(), Settings(users={"ada": hash_password(PASSWORD)})) as url:
        assert ask(url).status_code == 401
        client = httpx.Client(base_url=url, timeout=120)
        client.post("/login", data={"username": "ada", "password": PASSWORD})
        assert client.post(direct.PATH, content=PHANTOM.read_bytes()).status_code == 200


class Gate(FakeEngine):
    """Lets nobody through before it is opened, and notes how many are inside."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.inside, self.most, self.seen = threading.Event(), 0, 0, 0
        self._lock = threading.Lock()

    def analyse(self, *args: Any, **options: Any) -> Analysis:
        with self._lock:
            self.inside, self.seen = self.inside + 1, self.seen + 1
            self.most = max(self.most, self.inside)
        self.open.wait(120)
        with self._lock:
            self.inside -= 1
        return super().analyse(*args, **options)


def until(true: Any) -> None:
    deadline = time.monotonic() + 60  # for a slow machine
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_some_are_worked_on_some_wait_and_the_rest_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "LONGEST", 4)
    gate, entered = Gate(), int((PLACES + 4) * ADDRESS)
    with serve(gate) as url, ThreadPoolExecutor(PLACES + 8) as callers:
        asked = [callers.submit(ask, url) for _ in range(PLACES + 8)]
        until(lambda: sum(one.done() for one in asked) == PLACES + 8 - entered)
        told = [one.result() for one in asked if one.done()]
        assert {answer.status_code for answer in told} == {503}
        assert told[0].json()["error"].startswith("Expected at most 4 requests to wait")
        assert httpx.get(f"{url}/health").status_code == 200, "the page lives on"
        until(lambda: gate.inside == MINE)
        gate.open.set()
        codes = sorted(one.result().status_code for one in asked)
    assert codes == [200] * entered + [503] * (PLACES + 8 - entered)
    assert gate.most == MINE


def test_nobody_waits_for_slow_explanations_of_others() -> None:
    gate = Gate()
    with serve(gate) as url, ThreadPoolExecutor(PLACES + 2) as callers:
        slow = [callers.submit(ask, url, method="scorecam") for _ in range(MINE + 1)]
        until(lambda: gate.inside == MINE)
        quick = callers.submit(ask, url)
        until(lambda: gate.inside == MINE + 1)
        gate.open.set()
        assert {one.result().status_code for one in [*slow, quick]} == {200}
    assert gate.most == MINE + 1


def test_who_leaves_while_waiting_is_not_worked_for() -> None:
    gate = Gate()
    with serve(gate) as url, ThreadPoolExecutor(PLACES) as callers:
        asked = [callers.submit(ask, url) for _ in range(MINE)]
        until(lambda: gate.inside == MINE)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url + direct.PATH, content=PHANTOM.read_bytes(), timeout=httpx.Timeout(60, read=0.5))
        httpx.get(f"{url}/health")  # The server's loop comes to this after it has come to the closed connection.
        gate.open.set()
        assert {one.result().status_code for one in asked} == {200}
        assert ask(url).status_code == 200
    assert gate.seen == MINE + 1


def test_the_log_names_the_route_alone() -> None:
    rule, _ = find(table(1), direct.PATH, "POST")
    assert rule and rule.name == "/api/analyse"


def test_every_error_has_a_status() -> None:
    assert direct.STATUS[-1][0] is LungAppError, "nothing that is meant for a user ends as a fault of the server"
