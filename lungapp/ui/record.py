"""The log, if there is to be one: a line of JSON an analysis and a request, with nothing that names anybody.

No file name, no address, no user, no session, no query, no score: what was asked of which model, how it went, and how
long it took.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lungapp.errors import LungAppError
from lungapp.registry import MODELS

if TYPE_CHECKING:
    from lungapp.engine import Engine
    from lungapp.results import Analysis, SeriesRow
    from lungapp.slices import Entry, Slice

logger = logging.getLogger("lungapp.record")

ROUTES = re.compile(
    r"/(gradio_api/(upload|file|heartbeat|cancel|reset|info|queue/(join|data|status)|call|run|upload_progress)"
    r"|api/analyse|config|health|ready|metrics|login|logout|theme\.css|manifest\.json|favicon\.ico|assets|static)\b"
)
MODEL_NAMES = {spec.name for spec in MODELS} | {"all"}


class Line(logging.Formatter):
    """One record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        told = getattr(record, "told", None) or {"event": "message", "text": record.getMessage()}
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"time": moment, "level": record.levelname.lower(), **told})


def start_log(kind: str, stream: Any = None) -> None:
    """Write the application's own records as JSON lines to ``stream``, the error output; "off" leaves all as it is."""
    if kind == "off":
        return
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Line())
    ours = logging.getLogger("lungapp")
    ours.handlers, ours.propagate = [handler], False
    ours.setLevel(logging.INFO)


def tell(event: str, **facts: Any) -> None:
    logger.info(event, extra={"told": {"event": event, **facts}})


class Recorded:
    """An engine whose analyses are told to the log; all else is the engine's own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def analyse(self, item: Slice, model: str = "", *rest: Any, **options: Any) -> Analysis:
        start = time.perf_counter()
        facts = {"model": model if model in MODEL_NAMES else "unknown"}
        try:
            asked = (model,) if model else ()
            analysis = self._engine.analyse(item, *asked, *rest, **options)
        except Exception as error:
            known = isinstance(error, LungAppError)
            tell("analysis", **facts, status="refused" if known else "failed", error=type(error).__name__, **_ms(start))
            raise
        tell("analysis", **facts, verdict=analysis.quality.verdict, status=analysis.status, **_ms(start))
        return analysis

    def analyse_series(self, entries: Sequence[Entry], model: str, *rest: Any, **options: Any) -> Iterator[SeriesRow]:
        """As the engine's; told when the last row is out, or the reader has had enough."""
        start, rows = time.perf_counter(), 0
        told = self._engine.analyse_series(entries, model, *rest, **options)

        def counted() -> Iterator[SeriesRow]:
            nonlocal rows
            try:
                for row in told:
                    rows += 1
                    yield row
            finally:
                getattr(told, "close", lambda: None)()
                name = model if model in MODEL_NAMES else "unknown"
                tell("series", model=name, slices=len(entries), scored_or_refused=rows, **_ms(start))

        return counted()


class Requests:
    """ASGI middleware: one line a request, by its route alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            tell("request", method=scope["method"], route=route_of(scope["path"]), status=status, **_ms(start))


def route_of(path: str) -> str:
    """The route of ``path`` without anything that a visitor chose."""
    found = ROUTES.match(path)
    return "/" if path == "/" else found[0] if found else "other"


def _ms(start: float) -> dict[str, float]:
    return {"ms": round((time.perf_counter() - start) * 1000, 1)}
