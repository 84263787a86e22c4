"""``/health`` for probes: whether the page can serve, and how each model is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lungapp import __version__

if TYPE_CHECKING:
    from lungapp.engine import Engine


UNUSABLE = "unusable"


def overall(states: Mapping[str, tuple[str, str]]) -> str:
    """One word for all models: "ok", "loading", "degraded" where one is out, `UNUSABLE` where all are."""
    kinds = {state for state, _ in states.values()}
    if kinds == {"failed"}:
        return UNUSABLE
    if "loading" in kinds:
        return "loading"
    return "degraded" if "failed" in kinds else "ok"


def health(engine: Engine) -> Callable[[Request], Response]:
    """The route's endpoint.

    It answers 200 while the page can serve, also while models are being loaded: an analysis then waits for them. It
    answers 503 where no model can be used at all.
    """

    def answer(request: Request) -> Response:
        states = engine.states()
        status = overall(states)
        models = {
            name: {"state": state, **({"message": message} if message else {})}
            for name, (state, message) in states.items()
        }
        body = {"status": status, "version": __version__, "models": models}
        return JSONResponse(body, 503 if status == UNUSABLE else 200)

    return answer
