"""Serving the page: what stands around Gradio, the login included, the server, and the models behind it."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from lungapp import routes
from lungapp.connections import bound_connections
from lungapp.errors import InvalidSetting
from lungapp.routes import Routing
from lungapp.settings import Settings
from lungapp.startup import place
from lungapp.ui import direct
from lungapp.ui.bounds import Bounds
from lungapp.ui.guard import Guard
from lungapp.ui.headers import Headers
from lungapp.ui.health import Watch, health, ready
from lungapp.ui.logins import Logins, Sessions
from lungapp.ui.metrics import Counted, Figures, metrics
from lungapp.ui.presence import Presence
from lungapp.ui.record import Requests
from lungapp.ui.sign_in import SignIn
from lungapp.ui.speaking import Speaking
from lungapp.ui.theme import EXAMPLES, page_options
from lungapp.ui.traffic import finish
from lungapp.ui.upload_route import upload_route

if TYPE_CHECKING:
    import gradio as gr

    from lungapp.engine import Engine

SESSIONS = 200
"""How many sessions' slices are kept in memory at most; the oldest goes first."""

START_SECONDS, STOP_SECONDS = 60.0, 5.0
"""How long the server may take to listen, and to end."""


def build_application(
    demo: gr.Blocks,
    engine: Engine,
    settings: Settings,
    examples: Path = EXAMPLES,
    inner: tuple[Middleware, ...] = (),
) -> FastAPI:
    """The page and all that stands around it, for any ASGI server. ``inner`` stands behind headers and log."""
    import gradio as gr

    logins = Logins(settings.users, Sessions(settings.login_idle, settings.login_longest)) if settings.users else None
    rules = routes.table(
        settings.limits.max_total_bytes, login=bool(settings.users), mcp=settings.mcp, metrics=bool(settings.metrics)
    )
    watch, figures = Watch(engine), Figures()
    middleware = [
        Middleware(Routing, rules=rules, prefix=settings.root_path, origin=settings.public_origin),
        *([Middleware(Counted, figures=figures)] if settings.metrics else []),
        *([Middleware(Requests)] if settings.log == "requests" else []),
        Middleware(Headers),
        # Gradio's own, which lets every site in with the visitor's cookies, stands aside where there is this one.
        Middleware(CORSMiddleware, allow_origins=settings.origins, allow_methods=["GET", "POST"], allow_headers=["*"]),
        *inner,
        Middleware(Speaking),
        Middleware(Bounds, settings=settings),
        Middleware(Guard, public=examples, logins=logins, origins=settings.origins, prefix=settings.root_path),
        Middleware(Presence, demo=demo),  # behind the guard: of sessions that are the visitor's
    ]
    own = _routes(demo, engine, settings, logins, watch)
    if settings.metrics:
        own.append(Route(routes.METRICS, metrics(figures, watch, settings.metrics, demo), methods=["GET"]))
    around = FastAPI(middleware=middleware, routes=own, openapi_url=None, redirect_slashes=False)
    demo.state_session_capacity = SESSIONS
    demo.is_running = True
    gr.mount_gradio_app(around, demo, "/", root_path=settings.root_path, **page_options(settings, examples))
    demo.app = around.routes[-1].app  # type: ignore[attr-defined]  # as ``launch`` leaves it: the one that serves
    return around


def _routes(demo: gr.Blocks, engine: Engine, settings: Settings, logins: Logins | None, watch: Watch) -> list[Any]:
    own = [
        Route(routes.ANALYSE, direct.analyse_route(engine, settings), methods=["POST"]),
        Route(routes.HEALTH, health(watch), methods=["GET"]),
        Route(routes.READY, ready(watch, demo), methods=["GET"]),
        Route(routes.UPLOAD, upload_route(demo, settings.limits), methods=["POST"]),
    ]
    if logins:
        sign_in = SignIn(logins, settings.root_path)
        own += [
            Route(routes.LOGIN, sign_in.show, methods=["GET"]),
            Route(routes.LOGIN, sign_in.log_in, methods=["POST"]),
            Route(routes.LOGOUT, sign_in.log_out, methods=["POST"]),
        ]
    return own


class Server:
    """The application behind an address, in a thread of its own."""

    def __init__(self, demo: gr.Blocks, application: FastAPI, host: str, port: int) -> None:
        self._demo = demo
        config = uvicorn.Config(
            application, host=host.strip("[]"), port=port, log_config=None, timeout_graceful_shutdown=int(STOP_SECONDS)
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="server", daemon=True)
        name = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104
        if demo.mcp_server_obj:  # which calls the application itself, and must not be told by a visitor where it is
            demo.mcp_server_obj._local_url = f"http://{name}:{port}/"

    def start(self) -> None:
        """Returns when it listens. Raises `InvalidSetting` where it cannot."""
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                host, port = self._server.config.host, self._server.config.port
                raise InvalidSetting(f"Expected port {port} on {host} to be free. Received: it is taken.")
            time.sleep(0.01)

    def close(self) -> None:
        """Let what runs come to its end, for `STOP_SECONDS`; open pages' streams end at once."""
        self._demo._queue.close()
        self._demo.is_running = False
        self._demo.app.stop_event.set()
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)


def run(demo: gr.Blocks, engine: Engine, settings: Settings) -> None:
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
    server = Server(demo, build_application(demo, engine, settings), host, port)
    server.start()
    print(f"LungApp is on http://{host}:{port}{settings.root_path}", flush=True)
    threading.Thread(target=engine.warm_up, name="warm-up", daemon=True).start()
    asked.wait()
    finish(demo, settings.grace)
    server.close()
