"""``POST /api/analyse``: a slice in the request's body, its report and overlay in the answer, and nothing on the disk.

The same analysis as Gradio's ``/analyse``, for programs that have many slices: there it takes four requests and a
queue's events, which cost more than the analysis beside the model does.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from lungapp.batching import LONGEST
from lungapp.errors import Busy, InputError, InputTooLarge, LungAppError, StorageUnavailable, WeightsError, explain
from lungapp.methods import DEFAULT_METHOD, get_method
from lungapp.reading import read_slice
from lungapp.routes import ANALYSE, ANALYSE_BYTES
from lungapp.settings import Settings
from lungapp.ui.answers import analysed
from lungapp.ui.language import PARAMETER, say
from lungapp.ui.shares import Room, client_of

if TYPE_CHECKING:
    from lungapp.engine import Engine

PATH, MOST_BYTES = ANALYSE, ANALYSE_BYTES

PLACES = 2 * (os.cpu_count() or 1)
"""Requests worked on at a time: one is with the model while the next is read or the last is drawn. With more, threads
wait for one another at Python's lock, and a small model serves fewer slices a second (docs/speed.md)."""

STATUS: tuple[tuple[type[LungAppError], int], ...] = (
    (Busy, 503),
    (WeightsError, 503),
    (StorageUnavailable, 503),
    (InputTooLarge, 413),
    (InputError, 422),
    (LungAppError, 400),
)
"""The first that an error is an instance of counts."""

GONE = 499
"""Nobody gets it: the caller has left."""


def analyse_route(engine: Engine, settings: Settings) -> Callable[[Request], Awaitable[Response]]:
    """The route's endpoint. `PLACES` requests are worked on at a time and `LONGEST` more may wait, each client a share
    of them (`lungapp.ui.shares`); as many slow ones again beside them, so that nobody waits for another's slow
    explanation. The body is there before a place is taken: `lungapp.ui.bounds` stands before.
    """
    rooms = {slow: Room(PLACES, LONGEST) for slow in (False, True)}

    async def analyse(request: Request) -> Response:
        try:
            asked = _asked(request.query_params, settings.default_model)
            slow = asked["faithfulness"] or get_method(asked["method"]).slow
        except LungAppError as error:
            return _failure(error)
        try:
            body = await request.body()
            await request.is_disconnected()  # The server stops listening after a large body until it is asked again.
            async with rooms[slow].place(client_of(request.scope)):
                if await request.is_disconnected():
                    return Response(status_code=GONE)
                return await anyio.to_thread.run_sync(_work, engine, settings, body, asked)
        except ClientDisconnect:
            return Response(status_code=GONE)
        except LungAppError as error:
            return _failure(error)

    return analyse


def _work(engine: Engine, settings: Settings, body: bytes, asked: dict[str, Any]) -> Response:
    """In a thread of its own; every failure becomes an answer."""
    try:
        item = read_slice(body, settings.limits, asked.pop("slice_number") or None)
        report, overlay = analysed(engine, item, **asked)
    except Exception as error:
        return _failure(error)
    # Base64 needs no escaping, so the picture is put beside the report without looking at every letter of it.
    text = json.dumps(report).encode()
    whole = b'{"report": %b, "overlay": "data:image/png;base64,%b"}' % (text, base64.b64encode(overlay))
    return Response(whole, media_type="application/json")


def _failure(error: Exception) -> JSONResponse:
    status = next((status for kind, status in STATUS if isinstance(error, kind)), 500)
    return JSONResponse(
        {"error": say(explain(error))}, status, {"retry-after": "1"} if isinstance(error, Busy) else None
    )


def _asked(query: Mapping[str, str], model: str) -> dict[str, Any]:
    """The parameters of the address, by the names that Gradio's endpoint has. Raises `LungAppError`."""
    asked: dict[str, Any] = {
        "model": model,
        "target": "predicted",
        "method": DEFAULT_METHOD,
        "override": False,
        "slice_number": 0,
        "faithfulness": False,
        "failing_maps": False,
    }
    for name, text in query.items():
        if name == PARAMETER:  # of the answer's language
            continue
        if name not in asked:
            raise LungAppError(
                "Expected parameters out of: {names}. Received: {received}",
                names=", ".join(asked),
                received=repr(name[:40]),
            )
        if isinstance(asked[name], bool):
            if text not in ("true", "false"):
                raise LungAppError(
                    "Expected {name} to be true or false. Received: {received}", name=name, received=repr(text[:40])
                )
            asked[name] = text == "true"
        elif isinstance(asked[name], int):
            if not (text.isascii() and text.isdigit() and len(text) < 10):
                raise LungAppError(
                    "Expected {name} to be a number from 0. Received: {received}", name=name, received=repr(text[:40])
                )
            asked[name] = int(text)
        else:
            asked[name] = text
    return asked
