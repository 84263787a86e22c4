"""``/health`` for probes: whether the page can serve, and how each model is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lungapp import __version__

if TYPE_CHECKING:
    from lungapp.engine import Engine


def health(engine: Engine) -> Callable[[Request], Response]:
    """The route's endpoint.

    It answers 200 while the page can serve, also while models are being loaded: an analysis then waits for them. It
    answers 503 where no model can be used at all.
    """

    def answer(request: Request) -> Response:
        states = engine.states()
        kinds = {state for state, _ in states.values()}
        if kinds == {"failed"}:
            status = "unusable"
        elif "loading" in kinds:
            status = "loading"
        else:
            status = "degraded" if "failed" in kinds else "ok"
        models = {
            name: {"state": state, **({"message": message} if message else {})}
            for name, (state, message) in states.items()
        }
        body = {"status": status, "version": __version__, "models": models}
        return JSONResponse(body, 503 if status == "unusable" else 200)

    return answer
