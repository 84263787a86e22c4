"""What a request may ask for: nothing of another visitor, no path of the server's, no address for it to fetch.

Gradio serves a cached file, a session's answers and its memory to whoever knows their name, fetches addresses that
stand where a file is expected, and has routes that this page does not use. All of that is decided here, before it.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lungapp.cookies import read_cookies, with_cookie
from lungapp.texts import mark
from lungapp.ui import direct
from lungapp.ui.language import say
from lungapp.ui.vault import vault

COOKIE = "lungapp-visitor"
API = "/gradio_api"
MOST_BYTES = 2**20
"""Of a request that is no upload: names and numbers, never a file."""

CLOSED = re.compile(
    r"/(gradio_api/(proxy=|process_recording|dev/|deep_link|token|component_server|stream/|vibe-|undo-vibe|profiling"
    r"|run-history|runs)|monitoring|custom_component/|svelte/)"
)
"""Routes of Gradio's that this page has no use for."""

FILE = re.compile(r"/gradio_api/file[=/](?P<path>.*)", re.DOTALL)
HEARTBEAT = re.compile(r"/gradio_api/heartbeat/(?P<session>[^/]*)")
NOT_YOURS = mark("Expected a file or session of your own. Received: one that is not, or is no longer there.")
NO_ADDRESS = mark(
    "Expected an uploaded file. Received: an address or a path; the server fetches and opens nothing by name."
)
TOO_LARGE = mark("Expected a request of at most {most} bytes. Received: a larger one.")


class Guard:
    """ASGI middleware. ``public`` is a folder that anybody may read, ``most_bytes`` the largest upload in all, ``mcp``
    whether programs may use the MCP server.
    """

    def __init__(self, app: ASGIApp, public: Path, most_bytes: int, mcp: bool = False) -> None:
        self._app, self._public, self._most_bytes, self._mcp = app, public.resolve(), most_bytes, mcp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if CLOSED.match(path) or (path.startswith(f"{API}/mcp") and not self._mcp):
            await PlainTextResponse(say("Not found."), 404)(scope, receive, send)
            return
        given = read_cookies(scope)
        visitor = scope["lungapp.visitor"] = _user(scope, given) or given.get(COOKIE, "")
        if refusal := self._refuses(scope, path, visitor):
            await PlainTextResponse(say(refusal), 403)(scope, receive, send)
            return
        most = self._most_bytes if path.rstrip("/") == f"{API}/upload" else MOST_BYTES
        if path == direct.PATH:
            most = direct.MOST_BYTES
        if _declared(scope) > most:
            await PlainTextResponse(say(TOO_LARGE, most=most), 413)(scope, receive, send)
            return
        if scope["method"] == "POST" and path.startswith(f"{API}/") and most == MOST_BYTES:
            body = await _read(receive, most)
            if body is None:
                await PlainTextResponse(say(TOO_LARGE, most=most), 413)(scope, receive, send)
                return
            if refusal := _refuses_body(body, visitor):
                await PlainTextResponse(say(refusal), 403)(scope, receive, send)
                return
            receive = _replay(body, receive)
        if path == "/" and COOKIE not in given:
            send = with_cookie(scope, send, COOKIE, secrets.token_hex(16))
        await self._app(scope, receive, send)

    def _refuses(self, scope: Scope, path: str, visitor: str) -> str:
        """Why the address is not to be served, or nothing."""
        if found := FILE.match(path):
            wanted = found["path"]
            if not (vault.allows(wanted, visitor) or self._is_public(wanted)):
                return NOT_YOURS
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        sessions = query.get("session_hash", [])
        if beat := HEARTBEAT.match(path):
            sessions = [*sessions, beat["session"]]
        return "" if all(vault.owns(session, visitor) for session in sessions) else NOT_YOURS

    def _is_public(self, path: str) -> bool:
        try:
            return Path(path).is_absolute() and Path(path).resolve().is_relative_to(self._public)
        except (ValueError, OSError):
            return False


def _refuses_body(body: bytes, visitor: str) -> str:
    """Why a request's JSON is not to be acted on, or nothing; what is no JSON is left to Gradio to refuse."""
    try:
        data = json.loads(body or b"null")
    except (ValueError, RecursionError):
        return ""
    session = data.get("session_hash") if isinstance(data, dict) else None
    if session is not None and not (isinstance(session, str) and vault.owns(session, visitor)):
        return NOT_YOURS
    for path in _paths(data):
        if not (isinstance(path, str) and vault.allows(path, visitor)):
            return NO_ADDRESS
    return ""


def _paths(data: Any) -> Iterator[Any]:
    """Every value in ``data`` that Gradio could take for a file's place."""
    waiting = [data]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if item.get("path") is not None:
                yield item["path"]
            elif "path" in item and item.get("url") is not None:
                yield item["url"]
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _user(scope: Scope, given: dict[str, str]) -> str:
    """The name that this request's visitor has logged in with, if any; Gradio keeps it beside its own cookie."""
    app = scope["app"]
    for kind in ("access-token", "access-token-unsecure"):
        if user := app.tokens.get(given.get(f"{kind}-{app.cookie_id}")):
            return f"user {user}"
    return ""


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


async def _read(receive: Receive, most: int) -> bytes | None:
    """The whole body, or None where it is larger than ``most`` bytes."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > most:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again
