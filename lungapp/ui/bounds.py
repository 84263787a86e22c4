"""What a request may cost before it is worked on: bytes and time of its body, and how many one client has open.

A body is read here, whole, before anything inside hears of the request: nobody holds a place, a thread or a folder with
half a body. Uploads alone go on to the disk as they come.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lungapp.routes import HEARTBEAT, UPLOAD
from lungapp.settings import Settings
from lungapp.texts import mark
from lungapp.ui.language import say
from lungapp.ui.shares import address_of
from lungapp.ui.traffic import traffic

SMALLEST = 2**10
"""Bytes of a body that nothing here expects."""

PAUSE_SECONDS = 10.0
"""How long the next part of a body may be on its way."""

FREE_SECONDS, BYTES_PER_SECOND = 20.0, 2**14
"""A body may take so long, and as many seconds more as it has brought so many bytes."""

BUFFERED, BUFFERED_OF_ONE = 2**28, 2**26
"""Bytes of bodies held in memory, and those of one client among them."""

OPEN_OF_ONE = 0.25
"""Of all connections, what the requests of one client may have open; a page that is looked at has one or two."""

UPLOADS_OF_ONE = 16
"""Uploads of one client at a time."""

TOO_LARGE = mark("Expected a request of at most {most} bytes. Received: a larger one.")
TOO_SLOW = mark("Expected the whole request within its time. Received: a part of it.")
TOO_MANY = mark("Expected fewer requests at once. Received: one more. Please try again in a moment.")
ENDING = mark("Expected a server that goes on. Received: one that is about to end. Please try again in a moment.")


class _Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class _Left(Exception):
    """The client has, before its body was there."""


class Bounds:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._most_open = max(1, int(settings.connections * OPEN_OF_ONE))
        self._open: Counter[tuple[str, str]] = Counter()
        self._buffered: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._admit(scope, receive, noting)
        except _Left:
            return
        except _Refused as refused:
            traffic.refused[refused.status] += 1
            if not started:
                await _answer(scope["lungapp.path"], refused)(scope, receive, send)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        address, rule = address_of(scope), scope["lungapp.rule"]
        name = rule.name if rule else ""
        if scope["method"] == "POST" and traffic.ending.is_set():
            raise _Refused(503, say(ENDING))
        names = ((address, ""), (address, UPLOAD)) if name == UPLOAD else ((address, ""),)
        if any(self._open[name] >= most for name, most in zip(names, (self._most_open, UPLOADS_OF_ONE), strict=False)):
            raise _Refused(429, say(TOO_MANY))
        self._open.update(names)
        try:
            await self._with_body(name, address, scope, receive, send)
        finally:
            self._open.subtract(names)
            for name in names:
                if not self._open[name]:
                    del self._open[name]

    async def _with_body(self, name: str, address: str, scope: Scope, receive: Receive, send: Send) -> None:
        rule, headers = scope["lungapp.rule"], dict(scope["headers"])
        most = max(SMALLEST, rule.body_limit) if rule else SMALLEST
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared[:20]) > most:
            raise _Refused(413, say(TOO_LARGE, most=most))
        if declared in (b"", b"0") and b"transfer-encoding" not in headers:
            await self._hand_on("wait" if name == HEARTBEAT else "other", scope, receive, send)
            return
        timed = _timed(receive, most)
        if name == UPLOAD:
            await self._hand_on("work", scope, timed, send)
            return
        body, size = bytearray(), 0
        try:
            while True:
                message = await timed()
                if message["type"] != "http.request":
                    raise _Left
                part = message.get("body", b"")
                self._reserve(address, len(part))
                size += len(part)
                body += part
                if not message.get("more_body"):
                    break
            await self._hand_on("work", scope, _replay(bytes(body), receive), send)
        finally:
            self._buffered[address] -= size
            if not self._buffered[address]:
                del self._buffered[address]

    def _reserve(self, address: str, count: int) -> None:
        if self._buffered[address] + count > BUFFERED_OF_ONE or self._buffered.total() + count > BUFFERED:
            raise _Refused(503, say(TOO_MANY))
        self._buffered[address] += count

    async def _hand_on(self, kind: str, scope: Scope, receive: Receive, send: Send) -> None:
        traffic.open[kind] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            traffic.open[kind] -= 1


def _timed(receive: Receive, most: int) -> Receive:
    """``receive`` of a body of at most ``most`` bytes, which raises `_Refused` where it is larger, or too slow."""
    loop, received, more = asyncio.get_running_loop(), 0, True
    start = loop.time()

    async def receiving() -> Message:
        nonlocal received, more
        if not more:  # whoever asks now waits for the client to leave
            return await receive()
        last = start + FREE_SECONDS + received / BYTES_PER_SECOND
        try:
            async with asyncio.timeout_at(min(loop.time() + PAUSE_SECONDS, last)):
                message = await receive()
        except TimeoutError:
            raise _Refused(408, say(TOO_SLOW)) from None
        received += len(message.get("body", b""))
        if received > most:
            raise _Refused(413, say(TOO_LARGE, most=most))
        more = bool(message.get("more_body"))
        return message

    return receiving


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again


def _answer(path: str, refused: _Refused) -> Response:
    headers = {"connection": "close"} if refused.status == 408 else {}
    if refused.status in (429, 503):
        headers["retry-after"] = "1"
    if path.startswith("/api/"):
        return JSONResponse({"error": refused.text}, refused.status, headers)
    return PlainTextResponse(refused.text, refused.status, headers)
