"""One client's calls beside another's: shares of every queue, turns, and no work for who has left."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import httpx
import pytest

from lungapp.batching import SERIES_AT_ONCE
from lungapp.results import Analysis, SeriesRow
from lungapp.settings import Settings
from lungapp.ui import EXAMPLES, direct, fair_queue
from lungapp.ui.fair_queue import CALLS_OF_ADDRESS, CALLS_OF_VISITOR, FairQueue, queue_of
from lungapp.ui.guard import PROGRAM
from lungapp.ui.shares import Shares, address_of, client_of
from lungapp.users import hash_password
from tests.fakes import SERVER_WARNINGS, FakeEngine, serve_page
from tests.hostile import until

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

PHANTOM = (EXAMPLES / "phantom-mass.png").read_bytes()
PASSWORD = "a long enough pass phrase"
OTHER = "127.0.0.2"
SERIES = 65


class Gate(FakeEngine):
    """Lets nobody through before it is opened; counts slices and series."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.inside, self.begun, self.most, self.rows, self.closed = 0, 0, 0, 0, 0
        self._lock = threading.Lock()

    def analyse(self, *args: Any, **options: Any) -> Analysis:
        with self._lock:
            self.inside += 1
            self.begun += 1
            self.most = max(self.most, self.inside)
        try:
            assert self.open.wait(60)
            return super().analyse(*args, **options)
        finally:
            with self._lock:
                self.inside -= 1

    def analyse_series(self, *args: Any, **options: Any) -> Iterator[SeriesRow]:
        self.begun += 1
        return self._told(super().analyse_series(*args, **options))

    def _told(self, rows: Iterator[SeriesRow]) -> Iterator[SeriesRow]:
        try:
            for row in rows:
                self.open.wait(60)
                self.rows += 1
                yield row
        finally:
            self.closed += 1


@dataclass
class Served:
    """A page, its address and its queue."""

    url: str
    demo: gr.Blocks
    login: bool
    visitors: list[httpx.Client] = field(default_factory=list)

    @property
    def queue(self) -> FairQueue:
        return queue_of(self.demo)

    def visitor(self, address: str = "127.0.0.1", name: str = "ada") -> httpx.Client:
        client = httpx.Client(base_url=self.url, timeout=60, transport=httpx.HTTPTransport(local_address=address))
        if self.login:
            assert client.post("/login", data={"username": name, "password": PASSWORD}).status_code == 200
        client.get("/")
        self.visitors.append(client)
        return client


@pytest.fixture
def gate() -> Iterator[Gate]:
    engine = Gate()
    yield engine
    engine.open.set()


@pytest.fixture(params=[False, True], ids=["open", "login"])
def served(request: pytest.FixtureRequest, gate: Gate) -> Iterator[Served]:
    users = {name: hash_password(PASSWORD) for name in ("ada", "bob")} if request.param else {}
    with serve_page(gate, Settings(users=users)) as (url, demo):  # type: ignore[arg-type]
        page = Served(url, demo, request.param)
        yield page
        gate.open.set()
        for visitor in page.visitors:
            visitor.close()


def put(client: httpx.Client, count: int = 1) -> list[dict[str, Any]]:
    files = [("files", (f"{number}.png", PHANTOM)) for number in range(count)]
    paths = client.post("/gradio_api/upload", files=files).json()
    return [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths]


def ask_series(client: httpx.Client, files: list[dict[str, Any]], **more: Any) -> httpx.Response:
    return client.post("/gradio_api/call/analyse_series", json={"data": [files, "resnet50", True], **more})


def ask(client: httpx.Client, file: dict[str, Any], **more: Any) -> httpx.Response:
    data = [file, "resnet50", "predicted", "gradcam", False, 0, False, False]
    return client.post("/gradio_api/call/analyse", json={"data": data, **more})


def hear(client: httpx.Client, function: str, asked: httpx.Response) -> str:
    return client.get(f"/gradio_api/call/{function}/{asked.json()['event_id']}").text


def test_one_visitor_cannot_fill_the_queue(served: Served, gate: Gate) -> None:
    """65 series at once, and nobody else waits for them, neither for a slice nor for a series."""
    stranger, honest = served.visitor(), served.visitor(OTHER, "bob")
    files = put(stranger, 2)
    codes = [ask_series(stranger, files).status_code for _ in range(SERIES)]
    assert codes.count(200) == CALLS_OF_VISITOR and set(codes) == {200, 503}
    refused = ask_series(stranger, files)
    assert refused.json()["detail"].startswith(f"Expected fewer than {CALLS_OF_VISITOR} calls of yours")
    until(lambda: gate.begun == 1)
    mine = ask_series(honest, put(honest, 2))
    until(lambda: gate.begun == 2)
    gate.open.set()
    assert "event: complete" in hear(honest, "analyse_series", mine)
    assert "event: complete" in hear(honest, "analyse", ask(honest, put(honest)[0]))


@pytest.mark.parametrize("served", [False], indirect=True, ids=["open"])  # names are given, not made
def test_new_cookies_do_not_make_a_client_many(served: Served, gate: Gate) -> None:
    """One address, as many visitors as it likes: its share of the calls, and not every place."""
    strangers = [served.visitor() for _ in range(CALLS_OF_ADDRESS // CALLS_OF_VISITOR + 1)]
    codes = [ask_series(one, files).status_code for one in strangers for files in [put(one)] for _ in range(20)]
    assert codes.count(200) == CALLS_OF_ADDRESS
    until(lambda: gate.begun == SERIES_AT_ONCE - 1)
    honest = served.visitor(OTHER)
    mine = ask_series(honest, put(honest))
    until(lambda: gate.begun == SERIES_AT_ONCE)
    gate.open.set()
    assert "event: complete" in hear(honest, "analyse_series", mine)


def test_the_direct_way_is_shared_too(served: Served, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """One client asks for all places and all of the waiting room; another is served next, and before those who wait."""
    stranger, honest = served.visitor(), served.visitor(OTHER, "bob")
    with ThreadPoolExecutor(40) as pool:
        waiting = [pool.submit(stranger.post, direct.PATH, content=PHANTOM) for _ in range(30)]
        until(lambda: gate.inside >= 1)
        before = gate.inside
        mine = pool.submit(honest.post, direct.PATH, content=PHANTOM)
        until(lambda: gate.inside > before or gate.inside == direct.PLACES)
        assert gate.inside <= direct.PLACES
        gate.open.set()
        assert mine.result().status_code == 200
        assert {one.result().status_code for one in waiting} == {200}


def test_there_is_no_way_past_the_queue(served: Served, gate: Gate) -> None:
    visitor = served.visitor()
    for path in ("/gradio_api/run/analyse", "/gradio_api/api/analyse", "/gradio_api/run/analyse/"):
        data = [put(visitor)[0], "resnet50", "predicted", "gradcam", False, 0, False, False]
        assert visitor.post(path, json={"data": data}).status_code == 404
    assert gate.begun == 0


def test_nothing_is_done_for_whoever_never_listens(served: Served, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = served.visitor()
    files = put(visitor)
    for _ in range(8):
        assert ask_series(visitor, files).status_code == 200
    until(lambda: gate.begun == 1)
    monkeypatch.setattr(fair_queue, "LISTEN_SECONDS", 0.0)
    gate.open.set()
    until(lambda: not served.queue.is_busy)
    assert gate.begun == 1, "those that waited were dropped"
    monkeypatch.undo()
    assert "event: complete" in hear(visitor, "analyse_series", ask_series(visitor, files))


def test_a_series_ends_when_its_listener_leaves(served: Served, gate: Gate) -> None:
    visitor = served.visitor()
    asked = ask_series(visitor, put(visitor, 40))
    with visitor.stream("GET", f"/gradio_api/call/analyse_series/{asked.json()['event_id']}"):
        until(lambda: gate.begun == 1)
    visitor.close()
    until(lambda: not any(event.alive for event in served.queue.event_ids_to_events.values()))
    gate.open.set()
    until(lambda: gate.closed == 1)
    assert gate.rows < 40


def test_a_call_that_waits_goes_when_its_listener_leaves(served: Served, gate: Gate) -> None:
    first, second = served.visitor(), served.visitor()
    files = put(first)
    running = ask_series(first, files)
    until(lambda: gate.begun == 1)
    if not served.login:
        files = put(second)
    waiting = [ask_series(second, files) for _ in range(4)]
    number = waiting[-1].json()["event_id"]
    with second.stream("GET", f"/gradio_api/call/analyse_series/{number}"):
        assert number in served.queue.event_ids_to_events
    second.close()
    until(lambda: number not in served.queue.event_ids_to_events)
    assert running.status_code == 200


def test_nothing_is_kept_of_calls_that_are_over(served: Served, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.open.set()
    visitor, queue = served.visitor(), served.queue
    for _ in range(3):
        assert "event: complete" in hear(visitor, "models", visitor.post("/gradio_api/call/models", json={"data": []}))
    for _ in range(3):
        visitor.post("/gradio_api/call/models", json={"data": []})  # and never listens
    until(lambda: not queue.is_busy)
    monkeypatch.setattr(fair_queue, "LISTEN_SECONDS", 0.0)
    visitor.post("/gradio_api/call/models", json={"data": []})
    assert len(queue._calls) == len(queue.pending_messages_per_session) == len(queue.pending_event_ids_session) == 1


def test_a_sessions_name_has_an_end(served: Served, gate: Gate) -> None:
    visitor = served.visitor()
    refused = visitor.post("/gradio_api/call/models", json={"data": [], "session_hash": "x" * 5000})
    assert refused.status_code in (403, 503)
    assert not served.queue.pending_messages_per_session


def test_the_page_reads_an_answer_in_its_own_stream(served: Served, gate: Gate) -> None:
    """As the page does: one stream a session, for several calls."""
    gate.open.set()
    visitor, session = served.visitor(), uuid.uuid4().hex
    ids = {
        visitor.post("/gradio_api/call/models", json={"data": [], "session_hash": session}).json()["event_id"]
        for _ in range(3)
    }
    done = set()
    with visitor.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data: ")) if line else {}
            if message.get("msg") == "process_completed":
                done.add(message["event_id"])
    assert done == ids


def test_turns_go_to_whoever_had_fewest() -> None:
    shares = Shares(8)
    often, seldom, other = ("a", "1"), ("a", "2"), ("b",)
    for _ in range(4):
        assert shares.allows(often)
        shares.take(often)
    assert not shares.allows(often), "half of the places"
    assert shares.allows(seldom) and shares.allows(other)
    assert shares.rank(other) < shares.rank(seldom) < shares.rank(often)
    for _ in range(2):
        shares.take(seldom)
    assert not shares.allows(seldom), "three quarters for all at an address"
    assert shares.allows(other)
    for client in [often] * 4 + [seldom] * 2:
        shares.give_back(client)
    assert len(shares) == 0
    assert shares.rank(other) < shares.rank(often) < shares.rank(seldom), "who was served last is last"


def test_a_single_place_is_for_everybody() -> None:
    shares = Shares(1)
    assert shares.allows(("a",))
    shares.take(("a",))
    assert not shares.allows(("b",))


def test_a_client_is_an_address_and_a_visitor() -> None:
    def scope(address: str, visitor: str = "") -> dict[str, Any]:
        return {"client": (address, 1), "lungapp.visitor": visitor}

    assert client_of(scope("192.0.2.1")) == client_of(scope("192.0.2.1", PROGRAM)) == ("192.0.2.1",)
    assert client_of(scope("192.0.2.1", "user ada")) == ("192.0.2.1", "user ada")
    assert address_of(scope("2001:db8:1:2::3")) == address_of(scope("2001:db8:1:2:ffff::9"))
    assert address_of(scope("2001:db8:1:2::3")) != address_of(scope("2001:db8:1:3::3"))
    assert address_of({"client": None}) == ""
    assert address_of(scope("a socket")) == "a socket"
