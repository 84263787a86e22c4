"""Serving the page: the login, what stands around Gradio, and the models behind it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware
from starlette.routing import Route

from lungapp.connections import bound_connections
from lungapp.errors import InvalidSetting
from lungapp.settings import Settings
from lungapp.startup import place
from lungapp.ui import direct
from lungapp.ui.bounds import Bounds
from lungapp.ui.guard import Guard
from lungapp.ui.headers import Headers
from lungapp.ui.health import Watch, health, ready
from lungapp.ui.metrics import Counted, Figures, metrics
from lungapp.ui.record import Requests
from lungapp.ui.speaking import Speaking
from lungapp.ui.traffic import finish
from lungapp.ui.upload_route import upload_route
from lungapp.users import verify

if TYPE_CHECKING:
    import gradio as gr

    from lungapp.engine import Engine

TRIES_AT_ONCE = 2
"""How many passwords are tried at a time; each takes memory and a tenth of a second."""

PAUSE_SECONDS = 1.0
"""After a wrong password."""


def around(engine: Engine, settings: Settings, public: Path) -> dict[str, Any]:
    """Arguments for ``launch()``: the login, and the routes and middleware that stand around Gradio's own."""
    middleware = [
        Middleware(Headers),
        Middleware(Speaking),
        Middleware(Bounds, settings=settings),
        Middleware(Guard, public=public, most_bytes=settings.limits.max_total_bytes, mcp=settings.mcp),
    ]
    if settings.log == "requests":
        middleware.insert(0, Middleware(Requests))
    watch = Watch(engine)
    routes = [
        Route(direct.PATH, direct.analyse_route(engine, settings), methods=["POST"]),
        Route("/health", health(watch), methods=["GET"]),
        Route("/ready", ready(watch), methods=["GET"]),
        Route("/gradio_api/upload", upload_route(settings.limits), methods=["POST"]),
    ]
    if settings.metrics:
        figures = Figures()
        middleware.insert(0, Middleware(Counted, figures=figures))
        routes.append(Route("/metrics", metrics(figures, watch, settings.metrics), methods=["GET"]))
    return {
        "app_kwargs": {"middleware": middleware, "routes": routes, "docs_url": None, "redoc_url": None},
        "auth": login(settings.users) if settings.users else None,
    }


def login(users: Mapping[str, str]) -> Callable[[str, str], Awaitable[bool]]:
    """Whether a name and a password belong together, for Gradio to await; neither is ever logged."""
    room = threading.BoundedSemaphore(TRIES_AT_ONCE)

    def check(name: str, password: str) -> bool:
        with room:
            return verify(users, name, password[:1024])

    async def allowed(name: str, password: str) -> bool:
        right = await asyncio.to_thread(check, name, password)
        if not right:
            await asyncio.sleep(PAUSE_SECONDS)
        return right

    return allowed


def run(demo: gr.Blocks, engine: Engine, settings: Settings, options: dict[str, Any]) -> None:
    """Serve ``demo`` until the process is asked to end, and then until what runs is done, or its grace is over.

    The models load once the page is there. Whoever asks a second time has the process end at once.
    """
    host, port = place()
    bound_connections(settings.connections)
    asked = threading.Event()

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        demo.launch(server_name=host, server_port=port, prevent_thread_lock=True, **options)
    except OSError as error:  # taken in the moment since
        raise InvalidSetting(f"Expected port {port} on {host} to be free. Received: it is taken.") from error
    threading.Thread(target=engine.warm_up, name="warm-up", daemon=True).start()
    asked.wait()
    finish(demo, settings.grace)
