"""Which pages are open, and that what one keeps goes soon after it was closed.

Gradio keeps a session's memory, the slice, its maps and the uploaded files, for an hour after its page was closed, so
that the page may come back. A page that lost its connection comes back within seconds.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Receive, Scope, Send

from lungapp import routes

if TYPE_CHECKING:
    import gradio as gr

GRACE_SECONDS = 30.0
"""How long after a page's connection has ended its memory is let go, unless it is back by then."""


class Presence:
    """ASGI middleware: counts the heartbeats of each session, which a page has as long as it is open."""

    def __init__(self, app: ASGIApp, demo: gr.Blocks) -> None:
        self._app, self._demo = app, demo
        self._open: Counter[str] = Counter()
        self._leaving: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rule = scope.get("lungapp.rule")
        if rule is None or rule.name != routes.HEARTBEAT:
            await self._app(scope, receive, send)
            return
        session, holder = scope["lungapp.match"]["session"], self._demo.state_holder
        self._open[session] += 1
        if session in holder.session_data:
            holder.session_data[session].is_closed = False  # Gradio itself takes a page that is back for closed
        try:
            await self._app(scope, receive, send)
        finally:
            self._open[session] -= 1
            if self._open[session] <= 0:
                del self._open[session]
                task = asyncio.create_task(self._leave(session, holder))
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)

    async def _leave(self, session: str, holder: Any) -> None:
        await asyncio.sleep(GRACE_SECONDS)
        if session not in self._open:
            await asyncio.to_thread(let_go, session, holder)


def let_go(session: str, holder: Any) -> None:
    """Have what ``session`` keeps closed and forgotten."""
    holder.delete_state(session)
    holder.session_data.pop(session, None)
    holder.time_last_used.pop(session, None)
