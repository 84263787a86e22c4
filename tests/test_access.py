"""Attacks on who may do what, over HTTP against a started application: with and without a login, and under a path."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from lungapp.cookies import read_cookies
from lungapp.errors import InvalidSetting
from lungapp.routes import FIRST_SEGMENTS, find, table
from lungapp.settings import Settings
from lungapp.ui import EXAMPLES, logins
from lungapp.ui.guard import COOKIE
from lungapp.ui.logins import Logins, Sessions, TooManyTries, client_of
from lungapp.ui.sign_in import cookie_name
from lungapp.users import hash_password
from tests.fakes import SERVER_WARNINGS, FakeEngine, serve
from tests.test_isolation import API, PASSWORD, PHANTOM, analyse, file_data, put, result_path

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

USERS = {"ada": hash_password(PASSWORD), "bob": hash_password(PASSWORD)}
PREFIX = "/lungapp"


@dataclass(frozen=True)
class Site:
    """Where a page is, as a proxy asks for it, and whether one has to log in."""

    url: str
    login: bool

    @property
    def path(self) -> str:
        """What a proxy that takes nothing off sends before an address."""
        return PREFIX if self.url.endswith(PREFIX) else ""

    def client(self, **options: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, **options)  # type: ignore[arg-type]

    def visitor(self, name: str = "ada") -> httpx.Client:
        client = self.client()
        assert client.get("/").status_code == 200
        if self.login:
            assert client.post("/login", data={"username": name, "password": PASSWORD}).status_code == 200
        return client


@pytest.fixture(
    scope="module",
    params=[(login, path) for login in (False, True) for path in ("none", "taken off", "left")],
    ids=lambda case: f"{'login' if case[0] else 'no login'}, prefix {case[1]}",
)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    login, path = request.param
    settings = Settings(users=USERS if login else {}, root_path="" if path == "none" else PREFIX)
    with serve(FakeEngine(), settings) as url:
        yield Site(url + (PREFIX if path == "left" else ""), login)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Site]:
    with serve(FakeEngine(), Settings(users=USERS)) as url:
        yield Site(url, True)


@pytest.fixture(scope="module")
def open_site() -> Iterator[Site]:
    with serve(FakeEngine()) as url:
        yield Site(url, False)


def raw(url: str, path: str, head: str = "", method: str = "GET") -> tuple[int, str]:
    """Status and answer to a request whose address is sent as it stands."""
    host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n{head}\r\n".encode())
        answer = b"".join(iter(lambda: line.recv(65536), b"")).decode("latin-1")
    return int(answer.split()[1]), answer


def cookies_of(client: httpx.Client) -> str:
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


# --- the page works, under a path too


def test_everything_works_under_every_path(site: Site) -> None:
    client = site.visitor()
    page = client.get("/", params={"lang": "fr"})
    assert '<html lang="fr"' in page.text and "lungapp-language" in client.cookies
    assert COOKIE in client.cookies
    assert "complete" in analyse(client, file_data(put(client)))[1]
    body = PHANTOM.read_bytes() + bytes(3 * 2**20)  # more than a call may have, less than a slice may
    assert client.post("/api/analyse", content=body, params={"model": "resnet50"}).status_code == 200
    assert client.post(f"{API}/upload", files={"files": ("a.png", body)}).status_code == 200
    assert client.get("/health").status_code == 200
    assert client.get("/theme.css").headers["cache-control"] == "no-store"


def test_the_prefix_alone_leads_to_the_page(site: Site) -> None:
    if site.url.endswith(PREFIX):
        status, answer = raw(site.url, PREFIX + "?lang=fr")
        assert status == 308 and f"location: {PREFIX}/?lang=fr\r\n" in answer


# --- identity


FORGED = (
    '"user ada"',
    "user ada",
    "user%20ada",
    "browser",
    "program",
    "",
    "ada",
)


def test_no_cookie_is_a_name(site: Site) -> None:
    path = put(site.visitor("ada"))
    for value in FORGED:
        names = (COOKIE, cookie_name(""), cookie_name(PREFIX), "access-token", "access-token-unsecure")
        forged = site.client(headers={"cookie": "; ".join(f"{name}={value}" for name in names)})
        assert forged.get(f"{API}/file={path}").status_code == (401 if site.login else 403)
        if site.login:
            assert forged.post("/api/analyse", content=PHANTOM.read_bytes()).status_code == 401
            assert forged.post(f"{API}/upload", files={"files": ("a.png", b"x")}).status_code == 401
            assert forged.get("/config").status_code == 401


def test_a_header_is_no_login(guarded: Site) -> None:
    for header in ("x-forwarded-user", "remote-user", "x-gradio-user", "x-auth-request-user"):
        assert guarded.client(headers={header: "ada"}).get("/config").status_code == 401
    for value in ("Basic", "Basic !", "Basic YWRh", "Bearer ada", "Basic " + "A" * 5000):
        assert guarded.client(headers={"authorization": value}).get("/config").status_code == 401


BROKEN = ('prefs={"a": "b, c; d"}', "a b=c d; e", "theme=dark mode", "=x; ;;", '"="', "x=[1,2]; y")


def test_a_broken_foreign_cookie_makes_nobody_anybody_else(site: Site) -> None:
    clients = [site.visitor("ada"), site.visitor("bob")]
    path, given = put(clients[0]), [cookies_of(client) for client in clients]
    for broken in BROKEN:
        for cookies, status in zip(given, (200, 403), strict=True):
            asked = site.client(headers={"cookie": f"{broken}; {cookies}"}).get(f"{API}/file={path}")
            assert asked.status_code == status, broken


def test_cookies_are_read_each_on_its_own() -> None:
    scope = {"headers": [(b"cookie", b'a={"x": 1; "y"}; b c=d; e="f"'), (b"cookie", b"e=g; h = i ")]}
    cookies = read_cookies(scope)
    assert (cookies["e"], cookies["h"]) == ("f", "i")


def test_a_program_with_cookies_is_a_visitor_of_its_own(open_site: Site) -> None:
    first, second = open_site.client(), open_site.client()
    for client in (first, second):
        client.get("/config")
    assert first.cookies[COOKIE] != second.cookies[COOKIE]
    assert second.get(f"{API}/file={put(first)}").status_code == 403


# --- one path for guard and router


CLOSED = (
    "token",
    "dev/reload",
    "deep_link?session_hash=a",
    "proxy=http://x.hf.space/a",
    "component_server",
    "vibe-code",
    "run-history/records",
    "openapi.json",
    "mcp/",
    "mcp/schema",
    "user",
    "login_check",
    "startup-events",
    "stream/a/b/1/playlist.m3u8",
)


def test_no_way_of_writing_an_address_opens_a_closed_route(site: Site) -> None:
    head = f"Cookie: {cookies_of(site.visitor())}\r\n"
    others = ("/monitoring", "/openapi.json", "/docs", "/svelte/a", f"{API}/file//etc/passwd")
    for route in (*(f"{API}/{name}" for name in CLOSED), *others):
        for method in ("GET", "POST"):
            assert raw(site.url, site.path + route, head, method)[0] == 404, route
    for before in (PREFIX, PREFIX * 2, "/.", "/x/..", "/", "//" + PREFIX, PREFIX + "/"):
        for route in (
            f"{API}/token",
            f"{API}/openapi.json",
            f"{API}/proxy=http://x.hf.space/a",
            "/monitoring",
            "/docs",
        ):
            assert raw(site.url, site.path + before + route, head)[0] == 404, before + route


def test_no_way_of_writing_an_address_gives_anothers_file(site: Site) -> None:
    path = put(site.visitor("ada"))
    head = f"Cookie: {cookies_of(site.visitor('bob'))}\r\n"
    encoded = path.replace("/", "%2f")
    forms = [
        f"{API}/file={path}",
        f"{API}/file={encoded}",
        f"{API}/file=/tmp/..{path}",
        f"{API}/file=/{path}",
        f"{API}//file={path}",
        f"/.{API}/file={path}",
        f"/x/..{API}/file={path}",
        f"/assets/..{API}/file={path}",
        f"/assets/%2e%2e{API}/file={path}",
        f"/assets%2f..%2fgradio_api%2ffile={encoded}",
        f"{API}/file={path};a",
        f"{API};a/file={path}",
        f"{API}/file={path}/",
        f"{API}/file={path}%00",
        f"{API}/file={path}?x",
        f"{API.upper()}/FILE={path}",
        f"{API}\\file={path}",
        f"%2fgradio_api/file={path}",
    ]
    for before, written in (("", forms), (PREFIX, forms), (PREFIX * 2, forms[:2]), (PREFIX * 3, forms[:2])):
        for form in written:
            status, answer = raw(site.url, site.path + before + form, head)
            assert status in (400, 403, 404) and "PNG" not in answer, before + form


def test_what_is_not_in_the_table_is_not_found(site: Site) -> None:
    client = site.visitor()
    for path in ("/none", "/api", "/api/analyse/", "/health/", "/health/x", "/config/x", f"{API}/", f"{API}/run/a/b"):
        assert client.get(path).status_code == 404
    assert client.post("/health").status_code == 405
    assert client.request("DELETE", "/config").status_code == 405


def test_every_address_of_the_table_is_in_it_by_one_reading() -> None:
    rules = table(1, login=True, mcp=True)
    for rule in rules:
        assert rule.who in ("anybody", "user") and rule.body_limit >= 0
        assert rule.body_limit > 0 or "POST" not in rule.methods
    for path in (
        "/assets/../config",
        "/assets/a/./b",
        "/config/",
        "/CONFIG",
        "//config",
        "/config;a",
        "/config\n",
        "config",
    ):
        assert find(rules, path, "GET")[0] is None, path
    assert "gradio_api" in FIRST_SEGMENTS


# --- sessions and events


def test_a_sessions_name_in_a_path_gives_nothing(site: Site) -> None:
    ada, bob, session = site.visitor("ada"), site.visitor("bob"), secrets.token_hex(8)
    data = [file_data(put(ada)), "resnet50", "predicted", "gradcam", False, 0, False, False]
    event = ada.post(f"{API}/call/analyse", json={"data": data}).json()["event_id"]
    join = {"data": data, "fn_index": 10_000, "session_hash": session}
    ada.post(f"{API}/queue/join", json=join)
    for name in (event, session):
        for route in (
            f"call/analyse/{name}",
            f"call/v2/analyse/{name}",
            f"call/x/{name}",
            f"queue/data?session_hash={name}",
        ):
            if name == event and route.startswith("queue"):
                continue
            assert bob.get(f"{API}/{route}").status_code == 403, route
    assert bob.post(f"{API}/cancel", json={"session_hash": "bobs", "fn_index": 0, "event_id": event}).status_code == 403
    assert bob.get(f"{API}/upload_progress", params={"upload_id": session}).status_code == 404
    assert ada.get(f"{API}/upload_progress", params={"upload_id": session}).status_code == 403
    told = ada.get(f"{API}/call/analyse/{event}").text
    assert ada.get(f"{API}/file={result_path(told)}").status_code == 200
    assert ada.get(f"{API}/call/analyse/{session}").status_code == 403, "not even one's own: it is no event"


def test_a_call_of_no_function_is_refused(site: Site) -> None:
    call = {"data": [], "fn_index": 10_000, "session_hash": secrets.token_hex(8)}
    assert site.visitor().post(f"{API}/queue/join", json=call).status_code == 400


@pytest.mark.parametrize("name", ["a" * 65, "a b", "a/b", "", "a\n", "é"])
def test_an_odd_or_endless_session_name_is_refused(open_site: Site, name: str) -> None:
    client = open_site.visitor()
    assert client.post(f"{API}/queue/join", json={"data": [], "fn_index": 0, "session_hash": name}).status_code == 403
    assert client.post(f"{API}/reset", json={"event_id": name or "x"}).status_code == 403


# --- logging in and out


def test_a_login_can_be_ended(guarded: Site) -> None:
    client = guarded.visitor()
    other = guarded.visitor()
    stolen = dict(client.cookies)
    assert 'action="./logout"' in client.get("/config").text.replace("\\", "")
    assert client.get("/logout").status_code == 405, "a link or a picture of another site must not end it"
    assert client.get("/config").status_code == 200
    assert client.post("/logout").status_code == 200
    assert cookie_name("") not in client.cookies
    assert guarded.client(cookies=stolen).get("/config").status_code == 401
    assert 'action="./login"' in client.get("/").text
    assert other.get("/config").status_code == 200, "elsewhere the same user goes on"


def test_a_browser_is_led_back_to_the_page_without_naming_a_host(guarded: Site) -> None:
    headers = {"accept": "text/html", "x-forwarded-host": "evil.example"}
    client = guarded.client(headers=headers)
    wrong = client.post("/login", data={"username": "ada", "password": "x"})
    assert wrong.status_code == 401 and 'role="alert"' in wrong.text
    right = client.post("/login", data={"username": "ada", "password": PASSWORD})
    out = client.post("/logout")
    assert (right.status_code, right.headers["location"]) == (out.status_code, out.headers["location"]) == (303, "./")


def test_the_logins_cookie_is_closed_to_scripts_and_other_sites(guarded: Site) -> None:
    pair = {"username": "ada", "password": PASSWORD}
    plain = guarded.client().post("/login", data=pair).headers["set-cookie"]
    assert re.fullmatch(rf"{cookie_name('')}=[\w-]{{43}}; Path=/; HttpOnly; SameSite=Lax", plain)
    behind = guarded.client(headers={"x-forwarded-proto": "https"}).post("/login", data=pair).headers["set-cookie"]
    assert behind.endswith("HttpOnly; SameSite=None; Secure; Partitioned")


def test_a_session_ends_by_itself() -> None:
    now = 0.0
    sessions = Sessions(60.0, 100.0, lambda: now)
    unused, used = sessions.begin("ada"), sessions.begin("bob")
    now = 50.0
    assert sessions.user_of(used) == "bob"
    now = 61.0
    assert (sessions.user_of(unused), sessions.user_of(used)) == ("", "bob")
    now = 101.0
    assert sessions.user_of(used) == "", "however much it is used"
    assert not sessions._entries


def test_sessions_take_no_more_memory_than_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "CAPACITY", 3)
    sessions = Sessions(60.0, 60.0)
    tokens = [sessions.begin("ada") for _ in range(5)]
    assert [sessions.user_of(token) for token in tokens] == ["", "", "ada", "ada", "ada"]


def test_a_login_of_any_length_is_not_read(guarded: Site) -> None:
    def endless() -> Iterator[bytes]:
        yield f"username=ada&password={PASSWORD}&more=".encode()
        for _ in range(64):
            yield b"x" * 1024

    assert guarded.client().post("/login", content=b"x" * 5000).status_code == 413
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert guarded.client().post("/login", content=endless(), headers=kind).status_code == 413


def test_an_ended_login_is_said_in_words() -> None:
    with serve(FakeEngine(), Settings(users=USERS, login_idle=-1.0)) as url:
        client = Site(url, True).visitor()
        for answer in (
            client.post(f"{API}/queue/join", json={"data": [], "fn_index": 0, "session_hash": "a"}),
            client.post(f"{API}/upload", files={"files": ("a.png", b"x")}),
            client.get(f"{API}/queue/data", params={"session_hash": "a"}),
            client.post("/api/analyse", content=b"x"),
        ):
            assert answer.status_code == 401
            assert "Load the page anew to log in" in answer.json()["detail"] == answer.json()["error"]


def test_name_and_password_with_each_request(site: Site) -> None:
    body = PHANTOM.read_bytes()
    if not site.login:
        assert site.client(auth=("ada", "anything")).post("/api/analyse", content=body).status_code == 200
        return
    refused = site.client().post("/api/analyse", content=body)
    assert refused.headers["www-authenticate"] == 'Basic realm="LungApp"'
    assert site.client(auth=("ada", PASSWORD)).post("/api/analyse", content=body).status_code == 200
    for pair in (("ada", PASSWORD + "x"), ("bob ", PASSWORD), ("", "")):
        assert site.client(auth=pair).post("/api/analyse", content=body).status_code == 401
    program = site.client(auth=("ada", PASSWORD))
    path = put(program)
    assert program.get(f"{API}/file={path}").status_code == 200
    assert site.client(auth=("bob", PASSWORD)).get(f"{API}/file={path}").status_code == 403
    assert site.visitor("ada").get(f"{API}/file={path}").status_code == 200


def test_a_password_sent_with_each_request_is_not_tried_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr(logins, "verify", lambda _, name, password: tried.append(name) or password == "right")
    now = 0.0
    tries = Logins({}, Sessions(10.0, 100.0, lambda: now))
    assert asyncio.run(tries.user_by_header("a", "ada", "right")) == "ada"
    assert asyncio.run(tries.user_by_header("a", "ada", "right")) == "ada"
    assert tried == ["ada"]
    now = 11.0
    assert asyncio.run(tries.user_by_header("a", "ada", "right")) == "ada"
    assert tried == ["ada", "ada"]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What wrong logins were made to wait, without waiting; "right" is every name's password."""
    waited: list[float] = []

    async def note(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(logins, "sleep", note)
    monkeypatch.setattr(logins, "verify", lambda _, name, password: password == "right")
    return waited


def test_wrong_logins_wait_longer_each_time_by_client_and_by_name(pauses: list[float]) -> None:
    now = 0.0
    tries = Logins({}, Sessions(60.0, 60.0), lambda: now)

    def attempt(client: str, name: str, password: str = "wrong") -> bool:
        return asyncio.run(tries.try_password(client, name, password))

    for number in range(6):
        assert not attempt("192.0.2.1", f"name {number}"), "one client, many names"
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 16.0]
    pauses.clear()
    for number in range(3):
        assert not attempt(f"192.0.2.{number + 10}", "ada"), "many clients, one name"
    assert pauses == [1.0, 2.0, 4.0]
    pauses.clear()
    assert attempt("192.0.2.99", "ada", "right") and attempt("192.0.2.1", "bob", "right")
    assert pauses == [], "a right one waits for nothing, whatever was tried before"
    now = logins.FORGET_SECONDS + 1
    assert not attempt("192.0.2.1", "name 0")
    assert pauses == [1.0]


def test_tries_take_no_more_memory_than_stated(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "CAPACITY", 8)
    tries = Logins({}, Sessions(60.0, 60.0))
    for number in range(40):
        asyncio.run(tries.try_password(f"192.0.2.{number}", f"name {number}" * 1000, "wrong"))
    assert len(tries._clients._counts) == len(tries._names._counts) == 8
    assert max(map(len, tries._names._counts)) <= 64
    assert not tries._pending


def test_a_flood_of_wrong_logins_keeps_no_other_client_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "verify", lambda _, name, password: password == "right")

    async def flood() -> None:
        tries = Logins({}, Sessions(60.0, 60.0))
        wrong = [asyncio.create_task(tries.try_password("192.0.2.1", "ada", "x")) for _ in range(logins.MOST_PENDING)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyTries):
            await tries.try_password("192.0.2.1", "ada", "x")
        assert await tries.try_password("192.0.2.2", "ada", "right")
        for task in wrong:
            task.cancel()
        await asyncio.gather(*wrong, return_exceptions=True)
        assert await tries.try_password("192.0.2.1", "ada", "right")

    asyncio.run(flood())


def test_one_subscribers_addresses_are_one_client() -> None:
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:1") != client_of("2001:db8:0:1::1")
    assert client_of("192.0.2.1") != client_of("192.0.2.2")
    assert client_of("testclient") == "testclient"


# --- other sites


CROSS = (
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    {"sec-fetch-site": "same-site"},
    {"origin": "http://127.0.0.1:1"},
)


def test_another_site_can_neither_act_nor_read(site: Site) -> None:
    client = site.visitor()
    addresses = [
        ("POST", "/api/analyse"),
        ("POST", f"{API}/upload"),
        ("POST", f"{API}/call/models"),
        ("POST", f"{API}/cancel"),
        ("GET", "/config"),
        ("GET", f"{API}/heartbeat/a"),
        *((("POST", "/logout"), ("POST", "/login")) if site.login else ()),
    ]
    for headers in CROSS:
        for method, path in addresses:
            answer = client.request(method, path, headers=headers, content=b"" if method == "POST" else None)
            assert answer.status_code == 403, path
            assert "access-control-allow-origin" not in answer.headers
            assert "access-control-allow-credentials" not in answer.headers
    ask = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    before = client.options("/api/analyse", headers=ask)
    assert before.status_code == 400 and "access-control-allow-origin" not in before.headers
    assert "access-control-allow-credentials" not in before.headers
    assert client.get("/config").status_code == 200, "the login is still there"


def test_the_page_itself_and_a_link_are_let_in(site: Site) -> None:
    client = site.visitor()
    origin = "http://" + site.url.removeprefix("http://").partition("/")[0]
    assert client.post(f"{API}/call/models", json={"data": []}, headers={"origin": origin}).status_code == 200
    own = {"sec-fetch-site": "same-origin", "origin": "https://public.example"}  # a proxy that changes Host
    assert client.post(f"{API}/call/models", json={"data": []}, headers=own).status_code == 200
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200
    assert client.post("/api/analyse", headers=link, content=b"x").status_code == 403


def test_a_named_site_is_let_in_without_the_visitors_cookies() -> None:
    friend, headers = "https://pacs.example", {"origin": "https://pacs.example", "sec-fetch-site": "cross-site"}
    with serve(FakeEngine(), Settings(origins=(friend,), users=USERS)) as url:
        site = Site(url, True)
        ask = {**headers, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        before = site.client().options("/api/analyse", headers=ask)
        assert before.headers["access-control-allow-origin"] == friend
        assert "access-control-allow-credentials" not in before.headers
        sent = site.client(auth=("ada", PASSWORD)).post("/api/analyse", content=PHANTOM.read_bytes(), headers=headers)
        assert (sent.status_code, sent.headers["access-control-allow-origin"]) == (200, friend)
        assert "access-control-allow-credentials" not in sent.headers
        other = site.client().post("/api/analyse", headers={"origin": "https://pacs.example.evil.example"})
        assert other.status_code == 403


# --- descriptions and hosts


def test_descriptions_are_behind_the_login(guarded: Site) -> None:
    stranger = guarded.client()
    for path in (f"{API}/info", "/config", f"{API}/queue/status", f"{API}/upload_progress?upload_id=a"):
        assert stranger.get(path).status_code == 401, path
    for path in ("/openapi.json", f"{API}/openapi.json", "/docs", "/redoc", f"{API}/mcp/schema", f"{API}/mcp"):
        assert stranger.get(path).status_code == 404, path


@pytest.mark.parametrize("path", ["", "/", "/http", "/http/", "/sse", "/schema", "/messages", "/messages/"])
def test_mcp_is_behind_the_login(path: str) -> None:
    """By the table, which the guard goes by: Gradio's server for MCP needs a package that is not always there."""
    rules = table(1, login=True, mcp=True)
    of_mcp = [find(rules, f"{API}/mcp{path}", method)[0] for method in ("GET", "HEAD", "POST", "DELETE")]
    assert {rule and rule.who for rule in of_mcp} == {"user"}


@pytest.mark.parametrize("name", ["x-forwarded-host", "x-gradio-server"])
def test_a_poisoned_host_is_neither_cached_nor_followed(site: Site, name: str) -> None:
    client = site.visitor()
    poison = {name: "http://evil.example" if name == "x-gradio-server" else "evil.example"}
    for path in ("/", "/config", f"{API}/info", f"{API}/info?page=none", f"{API}/info?all_endpoints="):
        assert "evil.example" not in client.get(path, headers=poison).text
        by_host = client.get(path, headers={"host": "evil.example"})
        assert by_host.status_code == 200
        assert "evil.example" not in client.get(path).text, f"{path}: kept for others"
    answer = client.post(f"{API}/call/v2/models", json={}, headers={"host": "evil.example"})
    assert answer.status_code == 200
    assert "evil.example" not in client.get(f"{API}/info").text


def test_links_lead_where_the_setting_says() -> None:
    settings = replace(Settings(), root_path=PREFIX, public_origin="https://ct.example")
    with serve(FakeEngine(), settings) as url:
        client = Site(url, False).visitor()
        assert client.get("/config").json()["root"] == f"https://ct.example{PREFIX}"
        assert "Secure" in httpx.get(url).headers["set-cookie"]


def test_addresses_in_settings() -> None:
    read = Settings.from_env
    assert read({"GRADIO_ROOT_PATH": "/lungapp/"}).root_path == "/lungapp"
    whole = read({"GRADIO_ROOT_PATH": "https://h.example:8443/a/b/"})
    assert (whole.public_origin, whole.root_path) == ("https://h.example:8443", "/a/b")
    space = read({"SPACE_HOST": "owner-name.hf.space"})
    assert (space.public_origin, space.root_path) == ("https://owner-name.hf.space", "")
    assert read({"LUNGAPP_ORIGINS": "https://a.example, http://b.example:8080"}).origins == (
        "https://a.example",
        "http://b.example:8080",
    )
    assert (read({"LUNGAPP_LOGIN_MINUTES": "5"}).login_idle, read({"LUNGAPP_LOGIN_HOURS": "1"}).login_longest) == (
        300,
        3600,
    )
    for name, value in (
        ("GRADIO_ROOT_PATH", "/gradio_api"),
        ("GRADIO_ROOT_PATH", "/api/x"),
        ("GRADIO_ROOT_PATH", "/a/../b"),
        ("GRADIO_ROOT_PATH", "/a b"),
        ("LUNGAPP_ORIGINS", "*"),
        ("LUNGAPP_ORIGINS", "https://a.example/path"),
        ("LUNGAPP_LOGIN_MINUTES", "0"),
        ("LUNGAPP_LOGIN_HOURS", "many"),
    ):
        with pytest.raises(InvalidSetting, match=name):
            read({name: value})


# --- the log


@pytest.mark.parametrize("log", ["off", "analyses", "requests"])
def test_no_line_is_forged_and_none_holds_a_name(log: str, tmp_path: Path) -> None:
    """The application as it is started, with calls that fail inside Gradio and inside the server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "LUNGAPP_LOG": log, "TMPDIR": str(tmp_path)}
    environment["LUNGAPP_ORIGINS"] = environment["GRADIO_ROOT_PATH"] = ""
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=EXAMPLES.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            try:
                httpx.get(f"{url}/health")
                break
            except httpx.TransportError:
                time.sleep(0.2)
        client = Site(url, False).visitor()
        path = put(client, "Mustermann.png")
        for data in (
            [file_data(path), 1, {}, [], "x", "y", None],
            [file_data(path)] * 7,
            [{"path": path, "orig_name": "Mustermann.png", "is_stream": True}],
            [file_data(path + "Mustermann"), "resnet50"],
        ):
            analyse(client, data[0])
            event = client.post(f"{API}/call/analyse", json={"data": data}).json().get("event_id")
            client.get(f"{API}/call/analyse/{event}")
            client.post(f"{API}/run/analyse", json={"data": data})
        forged = '%0a{"event":"Mustermann"}'
        raw(url, f"/Mustermann{forged}")
        raw(url, f"{API}/file=/Mustermann{forged}")
        raw(url, "/config", "", "MUSTERMANN")
        raw(url, "/static/Mustermann%0a")
        raw(url, f"{API}/call/Mustermann", "Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{}", "POST")
    finally:
        process.terminate()
        _, said = process.communicate(timeout=60)
    lines = [json.loads(line) for line in said.splitlines()]
    assert "mustermann" not in said.lower()
    assert str(tmp_path) not in said
    assert [line for line in lines if line["event"] == "fault"], "what went wrong is still said"
    assert {line["event"] for line in lines} <= {"fault", "analysis", "request", "warning", "message"}
