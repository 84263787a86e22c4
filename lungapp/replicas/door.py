"""What stands in each of Serve's proxies: it tells the router where a request belongs.

Ray asks for it by the name in `VARIABLE`, which must be set wherever Ray is started.
"""

from __future__ import annotations

import hashlib
import re

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from lungapp.connections import bound_connections
from lungapp.cookies import read_cookies
from lungapp.routes import CONFIG, PAGE, without_prefix
from lungapp.settings import Settings

VARIABLE, VALUE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", "lungapp.replicas.door.middlewares"

COOKIE = "lungapp-replica"
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

KEY, PASSED = b"x-session-id", b"x-lungapp-door"
"""Headers that the door writes, over whatever a visitor sent: for Serve's router, and for the replica to see it."""

PAGES = (PAGE, CONFIG)
"""What a new visitor asks first, of any replica; the cookie holds them there."""


def middlewares() -> list[Middleware]:
    """For Ray Serve to put around each of its proxies, before it starts the server, whose connections have bounds."""
    settings = Settings.from_env()
    bound_connections(settings.connections)
    return [Middleware(Door, prefix=settings.root_path)]


class Door:
    """ASGI middleware of a proxy."""

    def __init__(self, app: ASGIApp, prefix: str = "") -> None:
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            kept = [pair for pair in scope["headers"] if pair[0].lower().replace(b"_", b"-") not in (KEY, PASSED)]
            key = key_of(scope, self._prefix)
            scope = {**scope, "headers": [*kept, (PASSED, b"1"), *([(KEY, key.encode("ascii"))] if key else [])]}
        await self._app(scope, receive, send)


def key_of(scope: Scope, prefix: str = "") -> str:
    """The replica that a visitor's cookie names, or a digest of their address, or nothing for whoever is new.

    A program that keeps no cookie is known by its address alone: all such programs at one address share a replica.
    """
    name = read_cookies(scope).get(COOKIE, "")
    if NAME.fullmatch(name):
        return name
    if without_prefix(scope["path"], prefix) in PAGES:
        return ""
    forwarded = dict(scope["headers"]).get(b"x-forwarded-for", b"").decode("latin-1").split(",")[0].strip()
    address = forwarded or (scope.get("client") or ("",))[0]
    return "address-" + hashlib.sha256(address.encode("utf-8")).hexdigest()[:16]
