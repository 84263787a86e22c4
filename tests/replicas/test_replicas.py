"""Two replicas of the page: a visitor stays with theirs, gets nothing of another's, and is told when it has ended."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file

from lungapp.methods import DEFAULT_METHOD
from lungapp.replicas.door import COOKIE
from lungapp.replicas.stay import GONE
from tests.fakes import SERVER_WARNINGS
from tests.replicas.conftest import PASSWORD
from tests.test_isolation import API, PHANTOM, analyse, browser, file_data, log_in, put, result_path

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

VISITORS = 12
"""All of them with one of two replicas by chance: once in two thousand times."""


@pytest.fixture
def pair(address: str) -> tuple[httpx.Client, httpx.Client]:
    """Two visitors who came to different replicas."""
    found: dict[str, httpx.Client] = {}
    deadline = time.monotonic() + 300  # after a replica was killed, another has to come up
    while len(found) < 2 and time.monotonic() < deadline:
        client = browser(address)
        found.setdefault(client.cookies[COOKIE], client)
    first, second = found.values()
    return first, second


def process_of(client: httpx.Client) -> int:
    """The process that answers ``client``."""
    (told,) = {model["message"] for model in client.get("/health").json()["models"].values()}
    return int(told)


@pytest.mark.usefixtures("pair")
def test_visitors_are_spread_and_each_stays(address: str) -> None:
    visitors = [browser(address) for _ in range(VISITORS)]
    names = [visitor.cookies[COOKIE] for visitor in visitors]
    assert len(set(names)) == 2
    processes = {name: process_of(visitor) for name, visitor in zip(names, visitors, strict=True)}
    assert len(set(processes.values())) == 2
    for name, visitor in zip(names, visitors, strict=True):
        assert Counter(process_of(visitor) for _ in range(5)) == {processes[name]: 5}
        visitor.get("/")
        assert visitor.cookies[COOKIE] == name, "coming back changes nothing"


def test_upload_analysis_and_overlay_are_one_replicas(pair: tuple[httpx.Client, httpx.Client]) -> None:
    for visitor in pair * 5:
        told = analyse(visitor, file_data(put(visitor)))[1]
        overlay = visitor.get(f"{API}/file={result_path(told)}")
        assert overlay.headers["content-type"] == "image/png"


def test_nobody_gets_anothers_file(pair: tuple[httpx.Client, httpx.Client], address: str) -> None:
    mine, theirs = pair
    path = put(mine)
    beside = next(b for b in iter(lambda: browser(address), None) if b.cookies[COOKIE] == mine.cookies[COOKIE])
    for other in (theirs, beside, httpx.Client(base_url=address)):
        assert other.get(f"{API}/file={path}").status_code == 403
        assert analyse(other, file_data(path))[0] == 403
    stolen = httpx.Client(base_url=address, cookies={COOKIE: mine.cookies[COOKIE]})
    assert stolen.get(f"{API}/file={path}").status_code == 403, "the replica's name opens nothing"
    assert mine.get(f"{API}/file={path}").content == PHANTOM.read_bytes()


def test_a_program_stays_by_its_cookie(address: str) -> None:
    names = set()
    for _ in range(4):
        client = Client(address, verbose=False)
        report, overlay = client.predict(file=handle_file(str(PHANTOM)), model="resnet50", api_name="/analyse")
        assert report["label"] and Path(overlay).stat().st_size > 1000
        names.add(client.cookies[COOKIE])
    assert len(names) <= 2


def test_a_program_without_cookies_stays_by_its_address(address: str) -> None:
    """Each request on a connection of its own, as from a shell."""
    for sender in range(4):
        headers = {"x-forwarded-for": f"192.0.2.{sender}", "x-session-id": "chosen by whoever asks"}
        post = {"files": {"files": ("a.png", PHANTOM.read_bytes())}, "headers": headers}
        (path,) = httpx.post(f"{address}{API}/upload", **post).json()  # type: ignore[arg-type]
        data = [file_data(path), "resnet50", "predicted", DEFAULT_METHOD, False, 0, False, False]
        asked = httpx.post(f"{address}{API}/call/analyse", json={"data": data}, headers=headers)
        told = httpx.get(f"{address}{API}/call/analyse/{asked.json()['event_id']}", headers=headers).text
        assert "event: complete" in told
        assert httpx.get(f"{address}{API}/file={result_path(told)}", headers=headers).status_code == 200


def test_a_replica_that_dies_takes_only_its_own_visitors_sessions(pair: tuple[httpx.Client, httpx.Client]) -> None:
    lost, kept = pair
    left_behind, safe = put(lost), put(kept)
    program = httpx.Client(base_url=lost.base_url, cookies=dict(lost.cookies), timeout=120)
    before = lost.get(f"{API}/app_id").json()
    os.kill(process_of(lost), signal.SIGKILL)
    refused = lost.post(f"{API}/call/analyse", json={"data": [file_data(left_behind)]})
    assert (refused.status_code, refused.json()) == (409, {"detail": GONE})
    join = lost.post(f"{API}/queue/join", json={"data": [], "fn_index": 0, "session_hash": "a"})
    assert (join.status_code, join.json()) == (409, {"detail": GONE})
    upload = lost.post(f"{API}/upload", files={"files": ("a.png", PHANTOM.read_bytes())})
    assert (upload.status_code, upload.text) == (409, GONE)
    assert lost.get(f"{API}/app_id").json() != before, "by which an open page knows that it has to load itself anew"
    assert "complete" in analyse(kept, file_data(safe))[1], "the others go on"
    assert lost.get("/").status_code == 200
    assert lost.cookies[COOKIE] != program.cookies[COOKIE]
    assert "complete" in analyse(lost, file_data(put(lost)))[1], "whoever loads the page anew goes on elsewhere"
    new = browser(str(kept.base_url))
    assert "complete" in analyse(new, file_data(put(new)))[1]


def test_a_replica_that_died_is_replaced(pair: tuple[httpx.Client, httpx.Client]) -> None:
    first, second = pair
    assert process_of(first) != process_of(second)


def test_a_login_holds_at_its_replica(guarded: str) -> None:
    for name, other in (("ada", "bob"), ("bob", "ada")) * 2:
        visitor, stranger = log_in(guarded, name), log_in(guarded, other)
        told = analyse(visitor, file_data(path := put(visitor)))[1]
        assert visitor.get(f"{API}/file={result_path(told)}").status_code == 200
        assert stranger.get(f"{API}/file={path}").status_code == 403
        assert httpx.get(f"{guarded}{API}/file={path}").status_code in (401, 403)
    assert httpx.post(f"{guarded}{API}/call/models", json={"data": []}).status_code == 401
    program = Client(guarded, auth=("ada", PASSWORD), verbose=False)
    report, _ = program.predict(file=handle_file(str(PHANTOM)), model="resnet50", api_name="/analyse")
    assert report["label"]
