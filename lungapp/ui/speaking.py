"""The middleware that settles a request's language, and marks the page with it for the browser and for Gradio."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lungapp.cookies import header, read_cookies, set_cookie
from lungapp.locale import RIGHT_TO_LEFT
from lungapp.routes import LOGIN, PAGE
from lungapp.ui import labels
from lungapp.ui.language import COOKIE, PARAMETER, _current, negotiate

YEAR = 365 * 24 * 3600
OPENING = re.compile(rb'<html\s+lang="en"')


class Speaking:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        query = scope.get("query_string", b"").decode("latin-1")
        language = negotiate(query, read_cookies(scope), header(scope, b"accept-language"))
        scope["lungapp.language"] = language
        token = _current.set(language)
        try:
            if scope["lungapp.path"] in (PAGE, LOGIN):
                chosen = language if PARAMETER in parse_qs(query) else ""
                await _Marked(scope, send, language, chosen).serve(self._app, receive)
            else:
                await self._app(scope, receive, send)
        finally:
            _current.reset(token)


class _Marked:
    """The page's HTML on its way out, with its language named in it, and the choice kept where one was made."""

    def __init__(self, scope: Scope, send: Send, language: str, chosen: str) -> None:
        self._scope, self._send, self._language, self._chosen = scope, send, language, chosen
        self._start: Message | None = None
        self._body = bytearray()

    async def serve(self, app: ASGIApp, receive: Receive) -> None:
        await app(self._scope, receive, self._take)

    async def _take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        if message["type"] != "http.response.body" or self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        body = self._mark(bytes(self._body))
        own = [(b"vary", b"accept-language, cookie")]
        if self._chosen:
            own.append(set_cookie(self._scope, COOKIE, self._chosen, YEAR))
        if dict(self._start["headers"]).get(b"content-length") != b"0" and self._scope["method"] != "HEAD":
            own.append((b"content-length", str(len(body)).encode()))
            self._start["headers"] = [pair for pair in self._start["headers"] if pair[0] != b"content-length"]
        self._start["headers"] = [*self._start["headers"], *own]
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": body})

    def _mark(self, body: bytes) -> bytes:
        direction = "rtl" if self._language in RIGHT_TO_LEFT else "ltr"
        opening = f'<html lang="{self._language}" dir="{direction}"'.encode()
        # Gradio picks its own words (the upload area, waiting, errors) by what the browser says of itself.
        own = f'Object.defineProperty(navigator,"language",{{get:()=>"{self._language}"}});'
        script = f"<script>{own}\n{labels.script(self._language)}</script>"
        body = OPENING.sub(opening, body, count=1)
        return body.replace(b"<head>", b"<head>" + script.encode(), 1)
