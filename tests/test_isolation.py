"""One visitor gets nothing of another's, nobody gets a file of the server's, and the server fetches no address."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file

from lungapp.methods import DEFAULT_METHOD
from lungapp.reading import Limits
from lungapp.settings import Settings
from lungapp.ui import EXAMPLES
from lungapp.ui.upload_route import forget_gone
from lungapp.ui.uploads import cache_folder
from lungapp.ui.vault import Vault, vault
from lungapp.users import hash_password
from tests.fakes import SERVER_WARNINGS, FakeEngine, serve

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

PHANTOM = EXAMPLES / "phantom-mass.png"
API = "/gradio_api"
PASSWORD = "a long enough pass phrase"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serve(FakeEngine()) as url:
        yield url


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """With a login for two."""
    users = {"ada": hash_password(PASSWORD), "bob": hash_password(PASSWORD)}
    with serve(FakeEngine(), Settings(users=users)) as url:
        yield url


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine that notes what it is asked, for the page to be lured to."""
    asked: list[str] = []

    class Note(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PHANTOM.read_bytes())

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Note)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def browser(address: str) -> httpx.Client:
    """A visitor who keeps cookies, as a browser does."""
    client = httpx.Client(base_url=address, timeout=120)
    client.get("/")
    assert "lungapp-visitor" in client.cookies
    return client


def put(client: httpx.Client, name: str = "Mustermann.png") -> str:
    (path,) = client.post(f"{API}/upload", files={"files": (name, PHANTOM.read_bytes())}).json()
    return path


def file_data(path: str, **rest: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **rest}


def analyse(client: httpx.Client, file: Any) -> tuple[int, str]:
    """Status and body of the call, and of its answer where it was let in."""
    data = [file, "resnet50", "predicted", DEFAULT_METHOD, False, 0, False, False]
    answer = client.post(f"{API}/call/analyse", json={"data": data})
    if answer.status_code != 200:
        return answer.status_code, answer.text
    event = answer.json()["event_id"]
    return 200, client.get(f"{API}/call/analyse/{event}").text


def result_path(told: str) -> str:
    (line,) = [line for line in told.splitlines() if line.startswith("data: [")]
    return json.loads(line[6:])[1]["path"]


def test_an_upload_is_its_uploaders_alone(address: str) -> None:
    mine, theirs, program = browser(address), browser(address), httpx.Client(base_url=address)
    path = put(mine)
    assert mine.get(f"{API}/file={path}").content == PHANTOM.read_bytes()
    for other in (theirs, program):
        assert other.get(f"{API}/file={path}").status_code == 403
        assert other.head(f"{API}/file={path}").status_code == 403
        assert other.get(f"{API}/file/{path}").status_code == 404
        assert analyse(other, file_data(path))[0] == 403
    assert "complete" in analyse(mine, file_data(path))[1]


def test_a_result_is_its_askers_alone(address: str) -> None:
    mine, theirs = browser(address), browser(address)
    path = result_path(analyse(mine, file_data(put(mine)))[1])
    assert mine.get(f"{API}/file={path}").headers["content-type"] == "image/png"
    assert theirs.get(f"{API}/file={path}").status_code == 403
    assert httpx.get(f"{address}{API}/file={path}").status_code == 403


def test_the_table_of_a_series_is_its_askers_alone(address: str) -> None:
    mine, theirs = browser(address), browser(address)
    asked = mine.post(f"{API}/call/analyse_series", json={"data": [[file_data(put(mine))], "resnet50", False]})
    told = mine.get(f"{API}/call/analyse_series/{asked.json()['event_id']}").text
    path = result_path(told)
    assert mine.get(f"{API}/file={path}").status_code == 200
    assert theirs.get(f"{API}/file={path}").status_code == 403


def test_the_same_file_of_two_visitors_lies_in_two_places_that_cannot_be_guessed(address: str) -> None:
    paths = [put(browser(address)), put(browser(address))]
    names = [Path(path).relative_to(cache_folder()).parts[0] for path in paths]
    assert len(set(names)) == 2
    assert all(len(name.removeprefix("own-")) == 32 for name in names)
    program = httpx.Client(base_url=address)
    left = put(program)
    assert browser(address).get(f"{API}/file={left}").status_code == 403, "not even of one without a cookie"


def test_a_session_is_its_first_users_alone(address: str) -> None:
    mine, theirs = browser(address), browser(address)
    join = {"data": [None], "fn_index": 10_000, "session_hash": "s3ss10n"}
    mine.post(f"{API}/queue/join", json=join)
    for answer in (
        theirs.post(f"{API}/queue/join", json=join),
        theirs.get(f"{API}/queue/data", params={"session_hash": "s3ss10n"}),
        theirs.get(f"{API}/heartbeat/s3ss10n"),
        theirs.post(f"{API}/cancel", json={"session_hash": "s3ss10n", "fn_index": 0, "event_id": "x"}),
    ):
        assert answer.status_code == 403
    assert mine.post(f"{API}/queue/join", json=join).status_code != 403


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "/proc/self/environ",
        "file:///etc/passwd",
        "{cache}/../../../etc/passwd",
        "{cache}/own-00000000000000000000000000000000/x.png",
        "{cache}",
        "{root}/app.py",
        "{root}/examples/../weights/basic_cnn.json",
        "{root}/.git/config",
        "a\0b",
    ],
)
def test_no_path_of_the_server_can_be_had(address: str, path: str) -> None:
    path = path.format(cache=cache_folder(), root=EXAMPLES.parent)
    client = browser(address)
    served = client.build_request("GET", f"{address}{API}/file=x")
    served.url = served.url.copy_with(raw_path=f"{API}/file={path}".replace("\0", "%00").encode())
    assert client.send(served).status_code in (400, 403, 404)
    for form in (file_data(path), {"path": path}, path, [file_data(path)], file_data(path, url=None)):
        status, told = analyse(client, form)
        assert status == 403 or "event: error" in told
        assert "root:" not in told and "import" not in told


def test_the_upload_route_writes_nowhere_else(address: str) -> None:
    client = browser(address)
    for name in ("../../../escaped.png", "/tmp/escaped.png", "..", "a/../../b.png"):
        answer = client.post(f"{API}/upload", files={"files": (name, b"x")})
        if answer.status_code == 200:
            (path,) = answer.json()
            assert vault.allows(path, f"browser {client.cookies['lungapp-visitor']}")
    assert not list(cache_folder().parent.glob("escaped.png"))


def test_no_address_is_fetched(address: str, elsewhere: tuple[str, list[str]]) -> None:
    url, asked = elsewhere
    client = browser(address)
    for form in (
        file_data(f"{url}/a.png"),
        file_data(f"{url}/a.png", url=f"{url}/a.png"),
        {"path": f"{url}/a.png"},
        {"path": None, "url": f"{url}/a.png", "meta": {"_type": "gradio.FileData"}},
        {"url": f"{url}/a.png", "meta": {"_type": "gradio.FileData"}},
        f"{url}/a.png",
    ):
        status, told = analyse(client, form)
        assert status == 403 or "event: error" in told
    for route in (f"file={url}/a.png", f"file/{url}/a.png", f"proxy={url}/a.png"):
        assert client.get(f"{API}/{route}").status_code in (403, 404)
    mine = put(client)
    analyse(client, file_data(mine, url=f"{url}/a.png"))
    assert asked == []


def test_a_client_library_still_works_and_an_address_gets_a_message(address: str, elsewhere) -> None:
    client = Client(address, verbose=False)
    report, overlay = client.predict(file=handle_file(str(PHANTOM)), model="resnet50", api_name="/analyse")
    assert report["label"] and Path(overlay).stat().st_size > 1000
    assert httpx.post(f"{address}{API}/call/analyse", json={"data": [file_data("https://example.org/a.png")]}).text == (
        "Expected an uploaded file. Received: an address or a path; the server fetches and opens nothing by name."
    )


@pytest.mark.parametrize(
    "route",
    [
        "token",
        "dev/reload",
        "deep_link?session_hash=a",
        "component_server",
        "stream/a",
        "vibe-code",
        "run-history/records",
    ],
)
def test_routes_that_the_page_has_no_use_for_are_closed(address: str, route: str) -> None:
    assert httpx.get(f"{address}{API}/{route}").status_code == 404
    assert httpx.post(f"{address}{API}/{route}", json={}).status_code == 404


def test_large_requests_are_refused_before_they_are_read(tmp_path: Path) -> None:
    limits = Limits(max_bytes=2**14, max_total_bytes=2**15)
    with serve(FakeEngine(), Settings(limits=limits)) as url:
        assert httpx.post(f"{url}{API}/call/analyse", content=b" " * (2**20 + 1)).status_code == 413
        many = [("files", (f"{number}.png", b"x" * 2**13)) for number in range(5)]
        assert httpx.post(f"{url}{API}/upload", files=many).status_code == 413

        def unannounced() -> Iterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
            for _ in range(64):
                yield b"x" * 2**10

        kind = {"content-type": "multipart/form-data; boundary=b"}
        assert httpx.post(f"{url}{API}/upload", content=unannounced(), headers=kind).status_code == 413
        one = httpx.post(f"{url}{API}/upload", files={"files": ("a.png", b"x" * 100)})
        assert one.status_code == 200


def test_a_forgotten_folder_is_closed_to_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    small = Vault(capacity=1)
    first, second = small.folder("ada"), small.folder("ada")
    assert not small.allows(str(first / "a.png"), "ada")
    assert small.allows(str(second / "a.png"), "ada")
    assert not small.allows(str(second / "a.png"), "")
    assert not small.allows("own/a.png", "ada")


def test_folders_that_are_empty_for_long_are_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr("lungapp.ui.vault.TIDY_EVERY", 4)
    small = Vault()
    empty, inner, kept = small.folder("ada"), small.folder("ada"), small.folder("ada")
    (inner / "0123").mkdir()
    (kept / "a.png").write_bytes(b"x")
    for folder in (inner / "0123", inner, empty, kept):
        os.utime(folder, (1, 1))
    last = small.folder("ada")
    assert inner in tmp_path.iterdir(), "its time began anew when what was in it went"
    assert set(tmp_path.iterdir()) == {inner, kept, last}
    assert set(small._owners) == {inner.name, kept.name, last.name}, "what is gone takes no memory"
    assert small.allows(str(kept / "a.png"), "ada")
    assert not small.allows(str(empty / "a.png"), "ada")


def test_files_that_are_gone_take_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, gone = tmp_path / "there", tmp_path / "gone"
    there.touch()
    sets = [{str(there), str(gone)}, {str(gone)}, set()]
    forget_gone(sets)
    assert sets == [{str(there)}, set(), set()]

    asked: list[set[str]] = []
    monkeypatch.setattr("lungapp.ui.upload_route.TIDY_EVERY", 2)
    monkeypatch.setattr("lungapp.ui.upload_route.forget_gone", lambda sets: asked.append(set().union(*sets)))
    with serve(FakeEngine()) as url:  # type: ignore[arg-type]
        sent = [httpx.post(f"{url}{API}/upload", files={"files": ("a.png", b"x")}).json()[0] for _ in range(5)]
    assert asked == [set(sent[:2]), set(sent[:4])]


def test_a_visitor_who_leaves_while_uploading_leaves_nothing(address: str) -> None:
    before = set(cache_folder().glob("own-*"))
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        head = (
            "POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            '--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        )
        line.sendall(head.encode() + b"x" * 50_000)
        deadline = time.monotonic() + 60
        while not any(set(cache_folder().glob("own-*/*")) - before) and time.monotonic() < deadline:
            time.sleep(0.05)
    while (left := set(cache_folder().glob("own-*")) - before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == set()


def log_in(address: str, name: str, password: str = PASSWORD) -> httpx.Client:
    client = httpx.Client(base_url=address, timeout=120)
    client.get("/")
    client.post("/login", data={"username": name, "password": password})
    return client


def test_without_a_login_nothing_is_served_but_the_health(guarded: str) -> None:
    stranger = httpx.Client(base_url=guarded)
    assert stranger.get("/health").status_code == 200
    assert 'action="./login"' in stranger.get("/").text
    assert stranger.post(f"{API}/upload", files={"files": ("a.png", b"x")}).status_code == 401
    assert stranger.get("/config").status_code == 401
    assert stranger.post(f"{API}/call/models", json={"data": []}).status_code == 401
    assert stranger.post(f"{API}/queue/join", json={"data": [], "fn_index": 0, "session_hash": "a"}).status_code == 401
    wrong = stranger.post("/login", data={"username": "ada", "password": "wrong"})
    assert wrong.status_code == 401
    assert "set-cookie" not in wrong.headers


def test_users_get_their_own_and_not_each_others(guarded: str) -> None:
    ada, again, bob = log_in(guarded, "ada"), log_in(guarded, "ada"), log_in(guarded, "bob")
    path = put(ada)
    assert again.get(f"{API}/file={path}").status_code == 200, "the same user in another browser"
    assert bob.get(f"{API}/file={path}").status_code == 403
    assert browser(guarded).get(f"{API}/file={path}").status_code == 401
    assert analyse(bob, file_data(path))[0] == 403
    assert "complete" in analyse(ada, file_data(path))[1]


def test_a_program_can_log_in(guarded: str) -> None:
    client = Client(guarded, auth=("ada", PASSWORD), verbose=False)
    report, _ = client.predict(file=handle_file(str(PHANTOM)), model="resnet50", api_name="/analyse")
    assert report["label"]
