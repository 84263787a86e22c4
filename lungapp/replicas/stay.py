"""What stands around the page in each replica: it names the replica to its visitors, and knows those of another."""

from __future__ import annotations

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lungapp.cookies import read_cookies, with_cookie
from lungapp.replicas.door import COOKIE, PAGES, PASSED, VALUE, VARIABLE
from lungapp.routes import API, APP_ID, HEALTH, INFO, METRICS, READY, UPLOAD

PROBES = (HEALTH, READY, METRICS)
"""Asked by machines of any replica, also past the door."""

FREE = (APP_ID, INFO)
"""What hangs on no session; by the first the page finds out that it has to load itself anew."""

GONE = (
    "Expected the replica of the application that this page came from. Received: it has ended, and with it what you "
    "had opened. Load the page anew, and open your file again."
)
NO_DOOR = (
    f"Expected {VARIABLE}={VALUE} wherever Ray is started, so that visitors stay with their replica. "
    "Received: a request that did not come through it."
)


class Stay:
    """ASGI middleware. ``name`` is the replica's own, as the router knows it."""

    def __init__(self, app: ASGIApp, name: str) -> None:
        self._app, self._name = app, name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path, given = scope["lungapp.path"], read_cookies(scope).get(COOKIE, "")
            if refusal := self._refuses(scope, path, given):
                await refusal(scope, receive, send)
                return
            if given != self._name and (path in PAGES if given else path not in PROBES):
                send = with_cookie(scope, send, COOKIE, self._name)
        await self._app(scope, receive, send)

    def _refuses(self, scope: Scope, path: str, given: str) -> Response | None:
        if path in PROBES:
            return None
        if PASSED not in dict(scope["headers"]):
            return PlainTextResponse(NO_DOOR, 503)
        if given in ("", self._name) or not path.startswith(f"{API}/") or path in FREE:
            return None
        # The page shows an upload's refusal as it is, and of any other its "detail".
        return PlainTextResponse(GONE, 409) if path == UPLOAD else JSONResponse({"detail": GONE}, 409)
