"""What replicas are made of, without Ray: whose request goes where, what is refused, and what the command says."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from lungapp.cookies import read_cookies
from lungapp.errors import InvalidSetting, LungAppError
from lungapp.registry import MODELS
from lungapp.replicas import app
from lungapp.replicas.__main__ import NOT_THERE, main
from lungapp.replicas.deployment import Scale
from lungapp.replicas.door import COOKIE, KEY, Door, key_of
from lungapp.replicas.page import Page
from lungapp.replicas.stay import GONE, NO_DOOR, Stay
from lungapp.routes import Routing, table
from tests.replicas.conftest import ROOT

NAMES = [spec.name for spec in MODELS]


def scope(path: str = "/gradio_api/upload", client: str = "192.0.2.7", **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "path": path, "headers": pairs, "client": (client, 1), "scheme": "http"}


def test_a_key_is_the_cookies_replica_or_the_address() -> None:
    assert key_of(scope(cookie=f"a=b; {COOKIE}=bkt0ljb4")) == "bkt0ljb4"
    assert key_of(scope("/")) == key_of(scope("/config")) == "", "a new visitor may go to any"
    assert key_of(scope(client="192.0.2.7")) == key_of(scope("/gradio_api/queue/join", client="192.0.2.7"))
    assert key_of(scope(client="192.0.2.7")) != key_of(scope(client="192.0.2.8"))
    assert key_of(scope(x_forwarded_for="192.0.2.9, 192.0.2.1")) == key_of(scope(client="192.0.2.9"))
    assert "192.0.2.7" not in key_of(scope(client="192.0.2.7")), "no address gets into Ray's logs"
    assert key_of(scope("/", cookie=f"{COOKIE}=" + "x" * 65)) == ""
    assert key_of(scope("/", cookie=f"{COOKIE}=\xff\n")) == ""


def test_nobody_writes_a_key_past_the_door() -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def inner(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.extend(scope["headers"])
        await PlainTextResponse("ok")(scope, receive, send)

    client = TestClient(Door(inner))
    client.get("/gradio_api/info", headers={"x-session-id": "a", "x_session_id": "b", "X-LungApp-Door": "0"})
    ours = [value for name, value in seen if name.replace(b"_", b"-") == KEY]
    assert len(ours) == 1 and ours[0].startswith(b"address-")
    assert [value for name, value in seen if name == b"x-lungapp-door"] == [b"1"]


@pytest.fixture
def replica() -> TestClient:
    """One called "mine", behind its door, of a page that answers everything."""

    async def inner(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await PlainTextResponse(read_cookies(scope).get(COOKIE, "none"))(scope, receive, send)

    return TestClient(Door(Routing(Stay(inner, "mine"), table(1))))


@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/upload", "/gradio_api/call/analyse"])
def test_a_new_visitor_is_given_the_replicas_name(replica: TestClient, path: str) -> None:
    assert replica.get(path).cookies[COOKIE] == "mine"
    assert COOKIE not in replica.get(path).cookies, "once is enough"


def test_a_visitor_of_another_replica_is_told_and_a_page_loaded_anew_stays(replica: TestClient) -> None:
    replica.cookies.set(COOKIE, "gone")
    for path in ("/gradio_api/queue/join", "/gradio_api/call/analyse", "/gradio_api/heartbeat/a"):
        answer = replica.get(path)
        assert (answer.status_code, answer.json()) == (409, {"detail": GONE})
    assert replica.get("/gradio_api/upload").text == GONE
    for path in ("/gradio_api/app_id", "/assets/a.js", "/health", "/ready"):
        answer = replica.get(path)
        assert answer.status_code == 200 and "set-cookie" not in answer.headers
    assert replica.get("/").cookies[COOKIE] == "mine"


def test_a_probe_is_given_nothing(replica: TestClient) -> None:
    assert "set-cookie" not in replica.get("/health").headers


def test_a_proxy_without_its_door_is_found_out() -> None:
    async def inner(*_: Any) -> None:
        raise AssertionError("not to be reached")

    answer = TestClient(Routing(Stay(inner, "mine"), table(1))).get("/")
    assert (answer.status_code, answer.text) == (503, NO_DOOR)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"replicas": "0"}, "Expected replicas to be a whole number from 1 to 10000. Received: '0'"),
        ({"replicas": "٢"}, "Received: '٢'"),
        ({"replicas": "9" * 400}, "Expected replicas"),
        ({"cpus": "nan"}, "Expected cpus to be a number from 0.01 to 1024. Received: 'nan'"),
        ({"cpus": "many"}, "Received: 'many'"),
        ({"replicas": "3", "most": "2"}, "Expected most to be at least replicas, 3. Received: 2"),
        ({"workers": "2"}, "Expected arguments out of: replicas, most, pages, cpus. Received: 'workers'"),
    ],
)
def test_odd_arguments_are_refused(arguments: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        Scale.read(arguments)
    assert said in str(refused.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own, of pydantic
def test_replicas_can_be_added_but_not_taken_away_at_once(needs_serve) -> None:
    fixed = app({"replicas": "3"})._bound_deployment
    assert fixed.num_replicas == 3 and fixed._deployment_config.autoscaling_config is None
    growing = app({"replicas": "2", "most": "8", "pages": "40"})._bound_deployment._deployment_config.autoscaling_config
    assert (growing.min_replicas, growing.max_replicas, growing.target_ongoing_requests) == (2, 8, 40)
    assert growing.downscale_delay_s >= 3600


@pytest.mark.parametrize(
    ("states", "healthy"),
    [
        ([("loading", "")] * 3, True),
        ([("ready", ""), ("failed", "Expected a. Received: b."), ("ready", "")], True),
        ([("failed", "Expected a. Received: b.")] * 3, False),
        ([("stuck", "Expected a.")] * 3, False),
    ],
)
def test_serve_replaces_a_replica_with_no_model_left(states: list[tuple[str, str]], healthy: bool) -> None:
    page = SimpleNamespace(_watch=SimpleNamespace(states=lambda: dict(zip(NAMES, states, strict=True))))
    if healthy:
        Page.check_health(page)  # type: ignore[arg-type]
        return
    with pytest.raises(LungAppError, match="Expected a"):
        Page.check_health(page)  # type: ignore[arg-type]


def test_the_command_says_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert main(["--replicas", "none"]) == 1
    assert "LungApp cannot start. Expected replicas" in capsys.readouterr().err
    monkeypatch.setenv("GRADIO_SERVER_PORT", "http")
    assert main([]) == 1
    assert "LungApp cannot start. Expected GRADIO_SERVER_PORT" in capsys.readouterr().err
    monkeypatch.setenv("LUNGAPP_LOG", "all")
    assert main([]) == 1
    assert "LungApp cannot start. Expected LUNGAPP_LOG" in capsys.readouterr().err


def test_without_ray_serve_the_message_names_what_to_install() -> None:
    code = "import sys; sys.modules['ray.serve'] = None\nfrom lungapp.replicas.__main__ import main; sys.exit(main([]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == f"LungApp cannot start. {NOT_THERE}"
