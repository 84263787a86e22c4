"""One replica: the page that ``app.py`` serves, as an ASGI application, with the same settings from the environment."""

from __future__ import annotations

import threading
from collections.abc import Callable

from starlette.types import ASGIApp

from lungapp.engine import Engine
from lungapp.errors import LungAppError
from lungapp.hub import weights_at
from lungapp.replicas.stay import Stay
from lungapp.settings import Settings
from lungapp.startup import keep_private, require_temporary_folder, sweep

MakeEngine = Callable[[Settings], Engine]


def make_engine(settings: Settings) -> Engine:
    """The engine over the weights that the settings name. Raises `WeightsMissing`."""
    return Engine(weights_at(settings.weights, settings.weights_repo, settings.weights_revision), settings.precision)


class Page:
    """What Serve calls a deployment: it has the ASGI application built, and asks how it is."""

    def __init__(self, make: MakeEngine = make_engine) -> None:
        """Raises `LungAppError` where a setting is out of range, or weights cannot be fetched."""
        self._settings = Settings.from_env()
        keep_private()
        require_temporary_folder()
        from lungapp.ui import Recorded, build_demo, private_cache, start_log
        from lungapp.ui.health import Watch

        start_log(self._settings.log)
        self._engine = Recorded(make(self._settings))
        sweep()
        self._cache = private_cache()
        self._demo = build_demo(self._engine, self._settings)  # type: ignore[arg-type]
        self._watch = Watch(self._engine)  # type: ignore[arg-type]
        threading.Thread(target=self._engine.warm_up, name="warm-up", daemon=True).start()

    def __serve_build_asgi_app__(self) -> ASGIApp:
        from ray import serve
        from starlette.middleware import Middleware

        from lungapp.ui import build_application

        name = serve.get_replica_context().replica_id.unique_id
        stay = Middleware(Stay, name=name)
        return build_application(self._demo, self._engine, self._settings, inner=(stay,))  # type: ignore[arg-type]

    async def leave(self) -> None:
        """Take nothing new on, and end what an open page has going as long as it is open: Serve would wait for it."""
        from lungapp.ui.traffic import traffic

        traffic.ending.set()
        self._demo.app.stop_event.set()

    def __del__(self) -> None:
        """Called by Serve where a replica ends in order: uploads go with it. Ray ends the process without more ado."""
        sweep()

    def check_health(self) -> None:
        """Asked by Serve, which replaces a replica that raises."""
        from lungapp.ui.health import is_alive

        states = self._watch.states()
        if not is_alive(states):
            raise LungAppError("; ".join(message or state for state, message in states.values()))
