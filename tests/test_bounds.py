"""What one stranger can stop with connections and bodies: each attack, and an honest visitor beside it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from lungapp import connections
from lungapp.routes import find, table
from lungapp.settings import Settings
from lungapp.ui import EXAMPLES, bounds, direct
from lungapp.users import hash_password
from tests.fakes import SERVER_WARNINGS, FakeEngine, serve
from tests.hostile import HOST, Wire, until

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

PHANTOM = (EXAMPLES / "phantom-mass.png").read_bytes()
PASSWORD = "a long enough pass phrase"
ROOT = "/radiology/lung"
OTHER = "127.0.0.2"

WAYS = ("open", "login", "stripped", "kept")
"""Without and with a login; under a path, which a proxy takes away or leaves."""


@contextmanager
def served(way: str, **settings: int) -> Iterator[str]:
    """The address of a page served that ``way``, with the path that a proxy leaves."""
    users = {"ada": hash_password(PASSWORD)} if way == "login" else {}
    root_path = ROOT if way in ("stripped", "kept") else ""
    with serve(FakeEngine(), Settings(users=users, root_path=root_path, **settings)) as url:  # type: ignore[arg-type]
        yield url + (ROOT if way == "kept" else "")


def path_of(address: str, path: str) -> str:
    return (ROOT if address.endswith(ROOT) else "") + path


@contextmanager
def honest(address: str, login: bool) -> Iterator[httpx.Client]:
    """A visitor at another address than the attacker's."""
    transport = httpx.HTTPTransport(local_address=OTHER)
    with httpx.Client(base_url=address, timeout=60, transport=transport) as client:
        if login:
            assert client.post("/login", data={"username": "ada", "password": PASSWORD}).status_code == 200
        yield client


def login_of(address: str) -> str:
    """The cookies of somebody who has logged in, at the attacker's address."""
    answer = httpx.post(f"{address}/login", data={"username": "ada", "password": PASSWORD})
    return "; ".join(f"{name}={value}" for name, value in answer.cookies.items())


def analysed(client: httpx.Client) -> int:
    return client.post(direct.PATH, content=PHANTOM).status_code


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return request.param


def test_half_open_heads_are_closed(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    with served(way) as address:
        silent, begun = Wire(address), Wire(address)
        begun.send(b"GET / HTTP/1.1\r\n" + HOST)
        dripping = Wire(address)
        until(lambda: not dripping.send(b"X-Drip: 1\r\n") or dripping.has_answer)
        assert (silent.status(), begun.status()) == (0, 0)


def test_a_connection_that_was_answered_is_no_way_around_that(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    with served(way) as address:
        wire = Wire(address).head("GET", path_of(address, "/health"))
        assert wire.status() == 200
        until(
            lambda: (
                not wire.send(b"GET / HTTP/1.1\r\n" if wire.has_answer else b"X-Drip: 1\r\n")
                or not wire.socket.recv(4096)
            )
        )


def test_connections_without_requests_keep_nobody_out(way: str) -> None:
    """The default's head time is long beside this test: room is made, nobody waits for it."""
    with served(way, connections=16) as address:
        wires = [Wire(address) for _ in range(100)]
        for wire in wires:
            wire.send(b"GET / HTTP/1.1\r\n" + HOST)
        until(lambda: sum(not wire.has_answer for wire in wires) <= 16)
        with honest(address, way == "login") as visitor:
            assert visitor.get("/health").status_code == 200
            assert analysed(visitor) == 200
        for wire in wires:
            wire.close()


def test_a_head_without_end_is_cut_off(way: str) -> None:
    with served(way) as address:
        wire = Wire(address)
        wire.send(b"GET / HTTP/1.1\r\n" + HOST)
        sent = 0
        while wire.send(b"X-Long: " + b"x" * 2**13 + b"\r\n") and not wire.has_answer:
            sent += 2**13
            assert sent < 2**25


def test_who_takes_no_answer_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "STALL_SECONDS", 0.5)
    size = 2**25
    with serve(FakeEngine()) as address:
        client = httpx.Client(base_url=address, timeout=60)
        client.get("/")
        (path,) = client.post("/gradio_api/upload", files={"files": ("a.bin", bytes(size))}).json()
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        wire = Wire(address, receive_buffer=2**12)
        wire.head("GET", f"/gradio_api/file={path}", None, f"Cookie: {cookie}")
        assert wire.socket.recv(12) == b"HTTP/1.1 200"
        until(lambda: client.get("/health").status_code == 200 and _is_reset(wire))


def _is_reset(wire: Wire) -> bool:
    return bool(wire.socket.getsockopt(1, 4)) or not wire.send(b"x")  # SOL_SOCKET, SO_ERROR


def largest(way: str) -> list[tuple[str, int]]:
    """Addresses, and how large a request to each may be: those of the table, with the least that is read anyway."""
    rules = table(2**20, login=way == "login")
    paths = ("/login", "/login/", "/gradio_api/reset", "/", "/config", "/nowhere", "/ready", "/gradio_api/heartbeat/a")
    paths += ("/gradio_api/queue/join", "/gradio_api/call/analyse", "/gradio_api/run/analyse", direct.PATH)
    posted = [(path, find(rules, path, "POST")[0]) for path in paths]
    return [(path, max(bounds.SMALLEST, rule.body_limit if rule else 0)) for path, rule in posted]


def test_no_route_reads_a_large_body(way: str) -> None:
    """300 MiB, announced and in chunks; what is read beyond the bound is less than the system holds on its way."""
    with served(way) as address:
        for path, most in largest(way):
            for method in ("POST", "GET", "PUT", "DELETE"):
                announced = Wire(address).head(method, path_of(address, path), most + 1)
                assert announced.status() == 413, (method, path)
                announced.close()
            streamed, sent = Wire(address).head("POST", path_of(address, path), -1), 0
            while not streamed.has_answer and streamed.chunk(bytes(2**16)):
                sent += 2**16
                assert sent < most + 2**25
            assert streamed.status() == 413, path
            streamed.close()


def test_an_upload_has_a_bound_and_leaves_nothing() -> None:
    from lungapp.reading import Limits
    from lungapp.ui.uploads import cache_folder

    limits = Limits(max_bytes=2**16, max_total_bytes=2**18)
    with serve(FakeEngine(), Settings(limits=limits)) as address:
        before = set(cache_folder().rglob("*"))
        wire = Wire(address).head("POST", "/gradio_api/upload", -1, "Content-Type: multipart/form-data; boundary=b")
        wire.chunk(b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n')
        while not wire.has_answer and wire.chunk(bytes(2**14)):
            pass
        assert wire.status() == 413
        until(lambda: not {path for path in set(cache_folder().rglob("*")) - before if path.is_file()})


@pytest.mark.parametrize("path", [direct.PATH, "/login", "/gradio_api/upload", "/gradio_api/queue/join"])
def test_half_open_bodies_keep_nobody_out_and_are_ended(path: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(way) as address:
        form = "Content-Type: multipart/form-data; boundary=b"
        wires = [Wire(address).head("POST", path_of(address, path), 1000, form) for _ in range(68)]
        for wire in wires:
            wire.send(b"--b\r\n")
        with honest(address, way == "login") as visitor:
            assert analysed(visitor) == 200
        monkeypatch.setattr(bounds, "PAUSE_SECONDS", 0.2)
        late = Wire(address).head("POST", path_of(address, direct.PATH), 1000)
        assert late.status() == 408
        for wire in [*wires, late]:
            wire.close()


def test_a_body_that_drips_is_ended(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "FREE_SECONDS", 1.0)
    with served(way) as address:
        wire = Wire(address).head("POST", path_of(address, direct.PATH), 2**20)
        until(lambda: wire.has_answer or not wire.send(b"x"))
        assert wire.status() == 408


def test_an_upload_that_stops_half_way_is_ended_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from lungapp.ui.uploads import cache_folder

    monkeypatch.setattr(bounds, "PAUSE_SECONDS", 0.3)
    with serve(FakeEngine()) as address:
        before = set(cache_folder().rglob("*"))
        wire = Wire(address).head("POST", "/gradio_api/upload", 2**20, "Content-Type: multipart/form-data; boundary=b")
        wire.send(b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + bytes(2**16))
        assert wire.status() == 408
        until(lambda: set(cache_folder().rglob("*")) <= before)


def test_one_client_has_a_share_of_the_open_requests(way: str) -> None:
    with served(way, connections=32) as address:
        beat = path_of(address, f"/gradio_api/heartbeat/{way}")
        cookies = login_of(address) if way == "login" else ""
        wires = [Wire(address).head("GET", beat, None, f"Cookie: {cookies}") for _ in range(8)]
        assert {wire.status() for wire in wires} == {200}
        assert Wire(address).head("GET", path_of(address, "/")).status() == 429
        with honest(address, way == "login") as visitor:
            assert analysed(visitor) == 200
        wires.pop().close()
        until(lambda: Wire(address).head("GET", path_of(address, "/health")).status() == 200)
        for wire in wires:
            wire.close()


def test_one_client_has_a_share_of_the_uploads() -> None:
    with serve(FakeEngine()) as address:
        form = "Content-Type: multipart/form-data; boundary=b"
        wires = [Wire(address).head("POST", "/gradio_api/upload", 1000, form) for _ in range(bounds.UPLOADS_OF_ONE + 1)]
        until(lambda: any(wire.has_answer for wire in wires))
        assert [wire.status() for wire in wires if wire.has_answer] == [429]
        with honest(address, login=False) as visitor:
            assert visitor.post("/gradio_api/upload", files={"files": ("a.png", PHANTOM)}).status_code == 200
        for wire in wires:
            wire.close()


def test_one_client_has_a_share_of_the_memory_for_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "BUFFERED_OF_ONE", 2**20)
    with serve(FakeEngine()) as address:
        half = Wire(address).head("POST", direct.PATH, 2**20)
        half.send(bytes(900_000))
        other = Wire(address).head("POST", direct.PATH, 2**20)
        other.send(bytes(900_000))
        until(lambda: half.has_answer or other.has_answer)
        refused = half if half.has_answer else other
        assert refused.status() == 503
        with honest(address, login=False) as visitor:
            assert analysed(visitor) == 200
        half.close()
        other.close()
        until(lambda: httpx.post(address + direct.PATH, content=bytes(900_000)).status_code == 422)


def test_refusals_are_sentences_in_the_visitors_language() -> None:
    with serve(FakeEngine()) as address:
        plain = httpx.post(f"{address}/nowhere", content=bytes(2000), headers={"accept-language": "fr"})
        assert plain.text.startswith("Une requête") or "octets" in plain.text
        program = httpx.post(address + direct.PATH, content=bytes(direct.MOST_BYTES + 1))
        assert program.json()["error"].startswith("Expected a request of at most 16777216 bytes.")


def test_many_honest_visitors_are_not_in_each_others_way() -> None:
    """As many as there are at one address in a hospital, each with a page open."""
    with serve(FakeEngine()) as address, ThreadPoolExecutor(32) as pool:
        pages = [Wire(address).head("GET", f"/gradio_api/heartbeat/{number}") for number in range(40)]
        with httpx.Client(base_url=address, timeout=60) as client:
            codes = list(pool.map(lambda _: client.post(direct.PATH, content=PHANTOM).status_code, range(24)))
        assert set(codes) == {200}
        for page in pages:
            page.close()
