"""What a request may ask for: nothing of another visitor, no path of the server's, no address for it to fetch.

Gradio serves a cached file, a session's answers and its memory to whoever knows their name, fetches addresses that
stand where a file is expected, and has routes that this page does not use. All of that is decided here, before it, by
the row of `lungapp.routes` that `Routing` has settled.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lungapp import routes
from lungapp.cookies import header, read_cookies, with_cookie
from lungapp.routes import ANALYSE, API, CONFIG, IDENTIFIER, INFO, PAGE, USER, Rule
from lungapp.texts import mark
from lungapp.ui import sign_in
from lungapp.ui.bodies import declared_bytes, read_body, replay
from lungapp.ui.language import say
from lungapp.ui.logins import Logins, TooManyTries
from lungapp.ui.origins import is_foreign
from lungapp.ui.vault import vault

COOKIE = "lungapp-visitor"
VISITOR = re.compile(r"[0-9a-f]{32}")
"""What the cookie may hold: 128 random bits. Whatever else a client sends there is nobody's name."""

PROGRAM = "program"
"""All who keep no cookie and have not logged in: what they have is kept apart by its random names alone."""

NOT_YOURS = mark("Expected a file or session of your own. Received: one that is not, or is no longer there.")
NO_ADDRESS = mark(
    "Expected an uploaded file. Received: an address or a path; the server fetches and opens nothing by name."
)
TOO_LARGE = mark("Expected a request of at most {most} bytes. Received: a larger one.")
FOREIGN = mark("Expected a request of this page or of a program. Received: one that another site sent.")
NO_LOGIN = mark(
    "Expected a login. Received: none, or one that has ended. Load the page anew to log in; programs send name and "
    "password with each request (HTTP Basic)."
)


class Guard:
    """ASGI middleware.

    Parameters
    ----------
    public : a folder that anybody may read.
    logins : who may log in; None where nobody has to.
    origins : other sites that may send requests.
    prefix : under which a proxy puts the page.
    """

    def __init__(
        self,
        app: ASGIApp,
        public: Path,
        logins: Logins | None = None,
        origins: Collection[str] = (),
        prefix: str = "",
    ) -> None:
        self._app, self._public, self._logins, self._origins = app, public.resolve(), logins, origins
        self._cookie = sign_in.cookie_name(prefix)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        rule: Rule | None = scope["lungapp.rule"]
        response = self._refuses_address(scope, rule)
        if response is None and rule:
            if scope["lungapp.path"] in (PAGE, CONFIG) and _browser_of(scope) is None:
                send = with_cookie(scope, send, COOKIE, secrets.token_hex(16))
            response = await self._refuses_visitor(scope, rule)
        if response is None and rule:
            response, receive = await self._refuses_request(scope, rule, receive)
        if response is not None:
            await response(scope, receive, send)
            return
        if rule and rule.name == INFO:
            scope["query_string"] = _uncached(scope["query_string"])
        await self._app(scope, receive, _noting_event(scope, send))

    def _refuses_address(self, scope: Scope, rule: Rule | None) -> Response | None:
        """An answer in place of the application's, by the address alone."""
        if not scope["lungapp.path"]:
            query = scope["query_string"].decode("latin-1")
            return RedirectResponse(f"{scope['root_path']}/" + (f"?{query}" if query else ""), 308)
        if rule is None:
            return PlainTextResponse(say("Not found."), 404)
        if is_foreign(scope, self._origins):
            return sign_in.refusal(say(FOREIGN), 403)
        if scope["method"] not in rule.methods:
            return PlainTextResponse(say("Not found."), 405, {"allow": ", ".join(rule.methods)})
        return None

    async def _refuses_visitor(self, scope: Scope, rule: Rule) -> Response | None:
        """Settles who asks: ``lungapp.user``, a name or nothing, and ``lungapp.visitor``, what belongs to whom.

        Neither is ever taken from what the client says of itself: a name stands in the server's own session.
        """
        user = ""
        if self._logins:
            user = self._logins.sessions.user_of(read_cookies(scope).get(self._cookie, ""))
            if not user and rule.who == USER and (pair := _basic(scope)):
                try:
                    user = await self._logins.user_by_header((scope.get("client") or ("",))[0], *pair)
                except TooManyTries:
                    return sign_in.refusal(say(sign_in.TOO_MANY), 429)
        scope["lungapp.user"] = user
        scope["lungapp.visitor"] = f"user {user}" if user else _browser_of(scope) or PROGRAM
        if self._logins and not user and rule.name == PAGE:
            return HTMLResponse(sign_in.form())
        if self._logins and not user and rule.who == USER:
            response = sign_in.refusal(say(NO_LOGIN), 401)
            if rule.name == ANALYSE:  # elsewhere a browser would ask for the password by itself
                response.headers["www-authenticate"] = 'Basic realm="LungApp"'
            return response
        return None

    async def _refuses_request(self, scope: Scope, rule: Rule, receive: Receive) -> tuple[Response | None, Receive]:
        """By what is asked for, and by the body where it is no file; the body is handed on."""
        visitor = scope["lungapp.visitor"]
        if refusal := self._refuses_names(scope, visitor):
            return PlainTextResponse(say(refusal), 403), receive
        too_large = PlainTextResponse(say(TOO_LARGE, most=rule.body_limit), 413)
        if declared_bytes(scope) > rule.body_limit:
            return too_large, receive
        if scope["method"] == "POST" and scope["lungapp.path"].startswith(f"{API}/") and rule.name != routes.UPLOAD:
            body = await read_body(receive, rule.body_limit)
            if body is None:
                return too_large, receive
            if refusal := _refuses_body(body, visitor):
                return PlainTextResponse(say(refusal), 403), receive
            receive = replay(body, receive)
        return None, receive

    def _refuses_names(self, scope: Scope, visitor: str) -> str:
        """Why a file, session or event that the address names is not to be served, or nothing."""
        names = scope["lungapp.match"].groupdict()
        if (file := names.get("file")) and not self._may_read(file, visitor):
            return NOT_YOURS
        if (event := names.get("event")) and not vault.owns_event(event, visitor):
            return NOT_YOURS
        query = parse_qs(scope["query_string"].decode("latin-1"))
        sessions = [*query.get("session_hash", []), *filter(None, [names.get("session")])]
        sessions += [f"upload {name}" for name in query.get("upload_id", [])]
        return "" if all(_owns(session, visitor) for session in sessions) else NOT_YOURS

    def _may_read(self, path: str, visitor: str) -> bool:
        if os.path.normpath(path) != path:  # of "..", "//" and links there is one reading, and it is ours
            return False
        return vault.allows(path, visitor) or self._is_public(path)

    def _is_public(self, path: str) -> bool:
        try:
            return Path(path).resolve().is_relative_to(self._public)
        except (ValueError, OSError):
            return False


def _browser_of(scope: Scope) -> str | None:
    """The visitor whose browser keeps our cookie."""
    value = read_cookies(scope).get(COOKIE, "")
    return f"browser {value}" if VISITOR.fullmatch(value) else None


def _basic(scope: Scope) -> tuple[str, str] | None:
    """Name and password of the header ``Authorization`` (RFC 7617)."""
    scheme, _, text = header(scope, b"authorization").partition(" ")
    if scheme.lower() != "basic" or len(text) > 2048:
        return None
    try:
        name, colon, password = base64.b64decode(text.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None


def _owns(session: str, visitor: str) -> bool:
    name = session.removeprefix("upload ")
    return re.fullmatch(IDENTIFIER, name) is not None and vault.owns(session, visitor)


def _uncached(query: bytes) -> bytes:
    """The query of Gradio's description of the endpoints, such that Gradio does not keep the answer: it holds links to
    the host that was asked for, which then everybody would get.
    """
    everything = any(parse_qs(query.decode("latin-1")).get("all_endpoints", []))
    return urlencode({"all_endpoints": True} if everything else {"page": ""}).encode("ascii")


def _noting_event(scope: Scope, send: Send) -> Send:
    """``send`` that remembers whose the event is that the answer to a call names."""
    if scope["lungapp.path"].rpartition("/")[0] == "" or scope["method"] != "POST":
        return send
    if scope["lungapp.rule"].name not in (f"{API}/call", f"{API}/queue/join"):
        return send
    whole = bytearray()

    async def noting(message: Message) -> None:
        if message["type"] == "http.response.body" and len(whole) < 4096:
            whole.extend(message.get("body", b""))
            if not message.get("more_body"):
                vault.note_event(_event_in(bytes(whole)), scope["lungapp.visitor"])
        await send(message)

    return noting


def _event_in(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["event_id"])
    except (ValueError, TypeError, KeyError):
        return ""


def _refuses_body(body: bytes, visitor: str) -> str:
    """Why a request's JSON is not to be acted on, or nothing; what is no JSON is left to Gradio to refuse."""
    try:
        data = json.loads(body or b"null")
    except ValueError:
        return ""
    except RecursionError:
        return NO_ADDRESS
    names = data if isinstance(data, dict) else {}
    session, event = names.get("session_hash"), names.get("event_id")
    if session is not None and not (isinstance(session, str) and _owns(session, visitor)):
        return NOT_YOURS
    if event is not None and not (isinstance(event, str) and vault.owns_event(event, visitor)):
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
