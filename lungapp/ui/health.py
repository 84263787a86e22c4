"""For probes: ``/health`` says whether the process lives, ``/ready`` whether it can take work on just now.

A process that does not live is to be started anew; one that is not ready is to be asked again.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lungapp import __version__
from lungapp.ui.fair_queue import queue_of
from lungapp.ui.traffic import traffic
from lungapp.ui.uploads import cache_folder

if TYPE_CHECKING:
    import gradio as gr

    from lungapp.engine import Engine

UNUSABLE, STUCK = "unusable", "stuck"

LOADING_SECONDS = 300.0
"""After so long a model that is still being loaded is taken to be stuck."""

PROBE_BYTES = 2**20
"""What must find room in the upload folder."""

PROBE_SECONDS, PROBED_SECONDS = 4.0, 1.0
"""How long writing them may take, and how long it is not tried again: strangers may ask too."""

States = Mapping[str, tuple[str, str]]


class Watch:
    """The states of an engine's models, and since when they have been loading."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._since = engine, time.monotonic()

    def states(self) -> dict[str, tuple[str, str]]:
        """As the engine's, with "stuck" for a model whose loading does not end."""
        late = time.monotonic() - self._since > LOADING_SECONDS
        states = self._engine.states()
        return {
            name: (STUCK if late and state == "loading" else state, message)
            for name, (state, message) in states.items()
        }


def overall(states: States) -> str:
    """One word for all models: "ok", "loading", "degraded" where one is out; where none can be used, and none is being
    loaded, `STUCK` or `UNUSABLE`.
    """
    kinds = {state for state, _ in states.values()}
    if kinds <= {"failed", STUCK}:
        return STUCK if STUCK in kinds else UNUSABLE
    if "loading" in kinds:
        return "loading"
    return "ok" if kinds == {"ready"} else "degraded"


def is_alive(states: States) -> bool:
    """Whether any model can be used, or may yet."""
    return overall(states) not in (STUCK, UNUSABLE)


def health(watch: Watch) -> Callable[[Request], Response]:
    """The route's endpoint.

    It answers 200 while the page can serve, also while models are being loaded: an analysis then waits for them. It
    answers 503 where no model can be used at all, or their loading is stuck.
    """

    def answer(request: Request) -> Response:
        states = watch.states()
        models = {
            name: {"state": state, **({"message": message} if message else {})}
            for name, (state, message) in states.items()
        }
        body = {"status": overall(states), "version": __version__, "models": models}
        return JSONResponse(body, 200 if is_alive(states) else 503)

    return answer


def ready(watch: Watch, demo: gr.Blocks) -> Callable[[Request], Awaitable[Response]]:
    """The route's endpoint: 200, or 503 and what is in the way, out of "ending", "models", "queue" and "disk"."""
    probe = DiskProbe()

    async def answer(request: Request) -> Response:
        usable = any(state == "ready" for state, _ in watch.states().values())
        reasons = {
            "ending": traffic.ending.is_set(),
            "models": not usable,
            "queue": queue_of(demo).is_full,
            "disk": not await probe.is_writable(),
        }
        body: dict[str, Any] = {
            "ready": not any(reasons.values()),
            "reasons": [name for name in reasons if reasons[name]],
        }
        return JSONResponse(body, 200 if body["ready"] else 503)

    return answer


class DiskProbe:
    """Tries whether the upload folder takes a file; one at a time, in a thread, which a dead disk may hold for ever."""

    def __init__(self) -> None:
        self._trying: asyncio.Future[bool] | None = None
        self._tried = float("-inf")

    async def is_writable(self) -> bool:
        if self._trying is None or (self._trying.done() and time.monotonic() - self._tried > PROBED_SECONDS):
            self._tried = time.monotonic()
            self._trying = asyncio.get_running_loop().run_in_executor(None, takes_a_file, cache_folder())
        try:
            return await asyncio.wait_for(asyncio.shield(self._trying), PROBE_SECONDS)
        except TimeoutError:
            return False


def takes_a_file(folder: Path) -> bool:
    """Whether a file of `PROBE_BYTES` can be written into ``folder``; it is gone again afterwards."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
    except OSError:
        return False
    return True
