"""What pages keep: within a budget together, gone soon after a page was closed, and bounded for each visitor."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from gradio.state_holder import StateHolder

from lungapp import routes
from lungapp.errors import UnreadableInput
from lungapp.reading import Limits, read_slice
from lungapp.settings import Settings
from lungapp.ui import EXAMPLES, presence, shelf, vault
from lungapp.ui.downloads import FORMS, Ready, link_to
from lungapp.ui.opened import close, open_upload
from lungapp.ui.shelf import Shelf
from lungapp.ui.vault import Vault
from tests.fakes import SERVER_WARNINGS, FakeEngine, serve

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]
PHANTOM = EXAMPLES / "phantom-mass.png"


class Thing:
    def __init__(self) -> None:
        self.is_gone = False

    def let_go(self) -> None:
        self.is_gone = True


def test_the_oldest_idle_thing_goes_first_and_the_newest_stays():
    kept = Shelf(100)
    first, second, third, large = (Thing() for _ in range(4))
    kept.put(first, 40)
    kept.put(second, 40)
    kept.use(first)
    kept.put(third, 40)
    assert [thing.is_gone for thing in (first, second, third)] == [False, True, False]
    assert kept.used == 80
    kept.put(large, 1000)
    assert [thing.is_gone for thing in (first, third, large)] == [True, True, False]
    kept.remove(large)
    assert kept.used == 0


def test_what_nobody_refers_to_is_not_counted():
    kept = Shelf(100)
    thing = Thing()
    kept.put(thing, 40)
    del thing
    gc.collect()
    assert kept.used == 0


def analysis():
    return FakeEngine().analyse(read_slice(PHANTOM), "resnet50")


def test_a_result_that_had_to_go_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shelf, "results", Shelf(3 * 2**20))
    first = Ready(analysis())
    assert shelf.results.used >= 2 * 2**20, "the slice and its map"
    second = Ready(analysis())
    assert "no longer in memory" in link_to(FORMS[1], first, [])
    assert not hasattr(first, "analysis"), "nothing of it is held"
    assert "data:application/json" in link_to(FORMS[1], second, [])


def test_an_upload_that_had_to_go_says_so_and_its_files_are_deleted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shelf, "files", Shelf(PHANTOM.stat().st_size))
    first = open_upload([PHANTOM], Limits())
    lent = first.lend(1)
    assert first.read(1).rows
    second = open_upload([PHANTOM], Limits())
    assert not first.upload.files[0].exists()
    for gone in (first, lent):
        with pytest.raises(UnreadableInput, match="others needed the room"):
            gone.read(1)
    assert second.read(1).rows
    close(second)
    assert shelf.files.used == 0


def test_the_budgets_are_settings(monkeypatch: pytest.MonkeyPatch):
    from lungapp.ui import build_demo

    settings = Settings.from_env({"LUNGAPP_MAX_KEPT_MEMORY": "2097152", "LUNGAPP_MAX_KEPT_FILES": "3145728"})
    monkeypatch.setattr(shelf, "results", Shelf(1))
    monkeypatch.setattr(shelf, "files", Shelf(1))
    build_demo(FakeEngine(), settings)
    assert (shelf.results.budget, shelf.files.budget) == (2097152, 3145728)


def call(url: str, session: str) -> None:
    """Upload a slice into the page's own file field, as a browser does."""
    path = httpx.post(f"{url}/gradio_api/upload", files={"files": ("a.png", PHANTOM.read_bytes())}).json()[0]
    config = httpx.get(f"{url}/config").json()
    field = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "la-file")
    number = next(dep["id"] for dep in config["dependencies"] if [field, "change"] in dep["targets"])
    data = [[{"path": path, "meta": {"_type": "gradio.FileData"}}], None]
    body = {"data": data, "fn_index": number, "session_hash": session, "trigger_id": field, "event_data": None}
    assert httpx.post(f"{url}/gradio_api/queue/join", json=body).status_code == 200
    with httpx.stream("GET", f"{url}/gradio_api/queue/data?session_hash={session}", timeout=60) as stream:
        assert any("process_completed" in line for line in stream.iter_lines())


def until(true, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def test_a_page_that_was_closed_lets_go(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(presence, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(shelf, "files", Shelf(2**30))
    with serve(FakeEngine()) as url:
        with httpx.stream("GET", f"{url}/gradio_api/heartbeat/page1", timeout=60) as beat:
            lines = beat.iter_lines()  # the connection is closed with it
            next(lines)
            call(url, "page1")
            assert shelf.files.used == PHANTOM.stat().st_size
        assert until(lambda: shelf.files.used == 0)


def test_a_page_that_is_back_in_time_keeps_what_it_had(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(presence, "GRACE_SECONDS", 0.05)

    async def connections() -> list[bool]:
        ends = [asyncio.Event(), asyncio.Event()]
        waiting = iter(ends)

        async def page(*_: object) -> None:
            await next(waiting).wait()

        holder = StateHolder()
        holder.session_data["page"] = SimpleNamespace(is_closed=True, state_components=[])
        rule, match = routes.find(routes.RULES, "/gradio_api/heartbeat/page", "GET")
        scope = {"type": "http", "lungapp.rule": rule, "lungapp.match": match}
        middleware = presence.Presence(page, SimpleNamespace(state_holder=holder))
        first, second = (asyncio.create_task(middleware(scope, None, None)) for _ in ends)
        await asyncio.sleep(0)
        ends[0].set()
        await first
        await asyncio.sleep(0.2)
        there = ["page" in holder.session_data and not holder.session_data["page"].is_closed]
        ends[1].set()
        await second
        while middleware._leaving:
            await asyncio.sleep(0.01)
        return [*there, "page" in holder.session_data]

    assert asyncio.run(connections()) == [True, False]


def test_one_visitors_folders_and_sessions_push_out_only_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(vault, "EACH", 5)
    own = Vault()
    honest = own.folder("ada") / "file"
    assert own.owns("session of ada", "ada")
    greedy = [own.folder("bob") / "file" for _ in range(20)]
    for number in range(20):
        own.owns(f"session {number}", "bob")
    assert own.allows(str(honest), "ada")
    assert own.owns("session of ada", "ada")
    assert [own.allows(str(file), "bob") for file in greedy] == [False] * 15 + [True] * 5


def test_an_empty_upload_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with serve(FakeEngine()) as url:
        before = set(tmp_path.iterdir())
        for _ in range(3):
            answer = httpx.post(
                f"{url}/gradio_api/upload",
                content=b"--x--\r\n",
                headers={"content-type": "multipart/form-data; boundary=x"},
            )
            assert answer.status_code < 500
        assert set(tmp_path.iterdir()) == before
        remembered = len(vault.vault._owners)
        httpx.post(
            f"{url}/gradio_api/upload",
            content=b"--x--\r\n",
            headers={"content-type": "multipart/form-data; boundary=x"},
        )
        assert len(vault.vault._owners) == remembered
