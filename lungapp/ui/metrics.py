"""``/metrics`` in Prometheus' text format, for whoever has the token; nothing in it names or counts anybody.

Labels are routes, statuses, models and groups of functions: closed sets, none of them a visitor's choice.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lungapp.ui.fair_queue import queue_of
from lungapp.ui.health import Watch
from lungapp.ui.traffic import traffic

if TYPE_CHECKING:
    import gradio as gr

STATES = ("ready", "loading", "failed", "stuck")


class Figures:
    """What is counted as it happens; one for each page that is served."""

    def __init__(self) -> None:
        disable_created_metrics()  # a moment for each figure, which nobody asks for
        self.registry = CollectorRegistry()
        self.requests = Counter("lungapp_requests", "Requests by route.", ["route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "lungapp_request_seconds",
            "How long requests took, open pages among them.",
            ["route"],
            registry=self.registry,
        )


class Counted:
    """ASGI middleware that counts requests in ``figures``."""

    def __init__(self, app: ASGIApp, figures: Figures) -> None:
        self._app, self._figures = app, figures

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
            route = rule.name if (rule := scope["lungapp.rule"]) else "other"
            self._figures.requests.labels(route, str(status)).inc()
            self._figures.seconds.labels(route).observe(time.perf_counter() - start)


class Now(Collector):
    """What is so at the moment of asking."""

    def __init__(self, watch: Watch, demo: gr.Blocks) -> None:
        self._watch, self._demo = watch, demo

    def collect(self) -> Iterable[Metric]:
        opened = GaugeMetricFamily("lungapp_requests_open", "Requests that are open.", labels=["kind"])
        for kind in ("work", "wait", "other"):
            opened.add_metric([kind], traffic.open[kind])
        refused = CounterMetricFamily("lungapp_refused", "Requests turned away at the door.", labels=["status"])
        for status, count in sorted(traffic.refused.items()):
            refused.add_metric([str(status)], count)
        calls = GaugeMetricFamily("lungapp_calls", "Calls of the page's functions.", labels=["group", "state"])
        for group, (running, waiting) in queue_of(self._demo).counts.items():
            calls.add_metric([group, "running"], running)
            calls.add_metric([group, "waiting"], waiting)
        models = GaugeMetricFamily("lungapp_model", "1 for the state that a model is in.", labels=["model", "state"])
        for name, (state, _) in self._watch.states().items():
            for one in STATES:
                models.add_metric([name, one], float(state == one))
        return (opened, refused, calls, models)


def metrics(figures: Figures, watch: Watch, token: str, demo: gr.Blocks) -> Callable[[Request], Response]:
    """The route's endpoint."""
    expected = f"Bearer {token}".encode()

    def answer(request: Request) -> Response:
        received = request.headers.get("authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(received, expected):
            return PlainTextResponse("Expected a token.", 401, {"www-authenticate": "Bearer"})
        now = CollectorRegistry()
        now.register(Now(watch, demo))
        told = generate_latest(figures.registry) + generate_latest(now)
        return Response(told, headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

    return answer
