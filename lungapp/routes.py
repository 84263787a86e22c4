"""Every address that is answered: its pattern, who may ask for it, how large a request may be, its name in the log.

What is not in the table is 404. `Routing` stands before everything else and settles a request's path once; guard, log,
headers, language and the replicas' door read what it has settled, and Gradio's router is handed the same path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

ANYBODY, USER = "anybody", "user"
"""Who may ask: everybody, or, where a login is set, who has logged in."""

READ, WRITE = ("GET", "HEAD"), ("POST",)

KIB, MIB = 2**10, 2**20

PAGE, LOGIN, LOGOUT, CONFIG = "/", "/login", "/logout", "/config"
HEALTH, READY, METRICS = "/health", "/ready", "/metrics"
ANALYSE = "/api/analyse"
API = "/gradio_api"
UPLOAD, FILE, INFO, APP_ID = f"{API}/upload", f"{API}/file", f"{API}/info", f"{API}/app_id"
HEARTBEAT = f"{API}/heartbeat"

ANALYSE_BYTES = 16 * MIB
"""Of a slice sent directly, which is held in memory: a slice many times over. Larger files go through the upload."""

JSON_BYTES = MIB
"""Of a request that is no upload: names and numbers, never a file."""

IDENTIFIER = r"[A-Za-z0-9_-]{1,64}"
"""Of a session, an event or an endpoint: what Gradio and its clients make is shorter."""


@dataclass(frozen=True)
class Rule:
    """One row of the table.

    Attributes
    ----------
    name : stands for the address in the log, and nothing that a visitor chose does.
    pattern : of the whole path, without what a proxy puts before it. Groups: a ``session``, an ``event``, a ``file``.
    methods : that are answered.
    who : `ANYBODY` or `USER`.
    body_limit : bytes that a request may have.
    cacheable : whether a browser may keep the answer; any other may show a patient's slice.
    """

    name: str
    pattern: re.Pattern[str]
    methods: tuple[str, ...] = READ
    who: str = USER
    body_limit: int = 0
    cacheable: bool = False


def _read(name: str, rest: str = "", who: str = USER, cacheable: bool = False) -> Rule:
    return Rule(name, re.compile(re.escape(name) + rest, re.DOTALL), READ, who, 0, cacheable)


def _write(name: str, rest: str = "", body_limit: int = JSON_BYTES, who: str = USER) -> Rule:
    return Rule(name, re.compile(re.escape(name) + rest), WRITE, who, body_limit)


ASSET = r"/[A-Za-z0-9_.@+-]+(/[A-Za-z0-9_.@+-]+)*"

RULES = (
    _read(PAGE, who=ANYBODY),  # who has not logged in gets the form for it
    _read(HEALTH, who=ANYBODY),
    _read(READY, who=ANYBODY),
    _write(ANALYSE, body_limit=ANALYSE_BYTES),
    _read(CONFIG),
    _read("/assets", ASSET, ANYBODY, cacheable=True),
    _read("/static", ASSET, ANYBODY, cacheable=True),
    _read("/favicon.ico", who=ANYBODY, cacheable=True),
    _read("/theme.css", who=ANYBODY),
    _read("/manifest.json", who=ANYBODY),
    _read("/robots.txt", who=ANYBODY),
    _read(APP_ID, who=ANYBODY),
    _read(INFO, "/?"),
    _read(FILE, r"=(?P<file>/.+)"),
    _write(UPLOAD),
    _read(f"{API}/upload_progress"),
    _read(HEARTBEAT, f"/(?P<session>{IDENTIFIER})"),
    _write(f"{API}/queue/join"),
    _read(f"{API}/queue/data"),
    _read(f"{API}/queue/status"),
    _write(f"{API}/cancel"),
    _write(f"{API}/reset"),
    _write(f"{API}/run", f"/{IDENTIFIER}/?"),
    _write(f"{API}/call", f"(/v2)?/{IDENTIFIER}/?"),
    _read(f"{API}/call", f"(/v2)?/{IDENTIFIER}/(?P<event>{IDENTIFIER})"),
)

LOGIN_RULES = (
    _read(LOGIN, who=ANYBODY),
    _write(LOGIN, body_limit=4 * KIB, who=ANYBODY),
    _write(LOGOUT, body_limit=4 * KIB, who=ANYBODY),
)

MCP_RULES = (
    Rule(f"{API}/mcp", re.compile(f"{API}/mcp(/(http/?|sse|schema)?)?"), (*READ, "POST", "DELETE"), USER, JSON_BYTES),
    _write(f"{API}/mcp", "/messages/?"),
)


METRICS_RULES = (_read(METRICS, who=ANYBODY),)  # whoever has the token, which the route itself asks for


def table(upload_bytes: int, login: bool = False, mcp: bool = False, metrics: bool = False) -> tuple[Rule, ...]:
    """All rows, with ``upload_bytes`` the largest upload in all; those of a login, MCP and figures where there are."""
    rules = (replace(rule, body_limit=upload_bytes) if rule.name == UPLOAD else rule for rule in RULES)
    return (*rules, *(LOGIN_RULES if login else ()), *(MCP_RULES if mcp else ()), *(METRICS_RULES if metrics else ()))


FIRST_SEGMENTS = {rule.name.split("/")[1] for rule in (*RULES, *LOGIN_RULES, *METRICS_RULES)} - {""}
"""What a prefix may not begin with: it could not be told from an address of ours."""


def without_prefix(path: str, prefix: str) -> str:
    """``path`` with ``prefix`` taken off, once, where a proxy has left it there; empty for the prefix alone."""
    return path[len(prefix) :] if path == prefix or path.startswith(prefix + "/") else path


def find(rules: tuple[Rule, ...], path: str, method: str) -> tuple[Rule | None, re.Match[str] | None]:
    """The row for ``path``, one that answers ``method`` where several stand for it; none where it is not answered."""
    match, rule = None, None
    if not any(segment in (".", "..") for segment in path.split("/")):
        for candidate in rules:
            if (hit := candidate.pattern.fullmatch(path)) and (rule is None or method in candidate.methods):
                rule, match = candidate, hit
    return rule, match


class Routing:
    """ASGI middleware, the first of all. Downstream a scope has ``lungapp.path``, ``lungapp.rule`` and
    ``lungapp.match``; the last two are None where the table has no such address.

    Parameters
    ----------
    rules : the table.
    prefix : under which a proxy puts the page, such as "/lungapp"; taken off the proxy's requests or not.
    origin : of the page as browsers see it, such as "https://ct.example", where the header Host does not say it.
    """

    def __init__(self, app: ASGIApp, rules: tuple[Rule, ...], prefix: str = "", origin: str = "") -> None:
        self._app, self._rules, self._prefix = app, rules, prefix
        self._origin = urlsplit(origin)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # nothing here speaks it
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http":
            path = without_prefix(scope["path"], self._prefix)
            rule, match = find(self._rules, path, scope["method"])
            scope = {
                **scope,
                "path": self._prefix + path,
                "raw_path": quote(self._prefix + path).encode("ascii"),
                "root_path": self._prefix,
                "headers": self._believed(scope["headers"]),
                "lungapp.path": path,
                "lungapp.rule": rule,
                "lungapp.match": match,
            }
        await self._app(scope, receive, send)

    def _believed(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """``headers`` without those in which anybody may name the host that links of the page then lead to."""
        replaced = {b"x-forwarded-host", b"x-gradio-server"}
        own: list[tuple[bytes, bytes]] = []
        if self._origin.netloc:
            own = [
                (b"host", self._origin.netloc.encode("ascii")),
                (b"x-forwarded-proto", self._origin.scheme.encode("ascii")),
            ]
        replaced |= {name for name, _ in own}
        return [*(pair for pair in headers if pair[0].lower() not in replaced), *own]
