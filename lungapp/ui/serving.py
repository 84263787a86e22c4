"""Serving the page: the login, what stands around Gradio, and the models behind it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware
from starlette.routing import Route

from lungapp.errors import InvalidSetting
from lungapp.settings import Settings
from lungapp.startup import place
from lungapp.ui import direct
from lungapp.ui.guard import Guard
from lungapp.ui.headers import Headers
from lungapp.ui.health import health
from lungapp.ui.presence import Presence
from lungapp.ui.record import Requests
from lungapp.ui.speaking import Speaking
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
        Middleware(Guard, public=public, most_bytes=settings.limits.max_total_bytes, mcp=settings.mcp),
        Middleware(Presence),  # behind the guard: of sessions that are the visitor's
    ]
    if settings.log == "requests":
        middleware.insert(0, Middleware(Requests))
    routes = [
        Route(direct.PATH, direct.analyse_route(engine, settings), methods=["POST"]),
        Route("/health", health(engine), methods=["GET"]),
        Route("/gradio_api/upload", upload_route(settings.limits), methods=["POST"]),
    ]
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


def run(demo: gr.Blocks, engine: Engine, options: dict[str, Any]) -> None:
    """Serve ``demo`` until the process ends; the models load once the page is there."""
    host, port = place()
    try:
        demo.launch(server_name=host, server_port=port, prevent_thread_lock=True, **options)
    except OSError as error:  # taken in the moment since
        raise InvalidSetting(f"Expected port {port} on {host} to be free. Received: it is taken.") from error
    threading.Thread(target=engine.warm_up, name="warm-up", daemon=True).start()
    demo.block_thread()
