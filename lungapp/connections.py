"""What a connection may cost the server around its requests: time for a head, its length, a reader that does not read,
and how many connections there are.

uvicorn bounds none of that: its ``timeout_keep_alive`` is over with the first letter of a head, and its
``limit_concurrency`` counts half-open connections against everybody. Where all places are taken, the connection goes
that has been without a request for longest, so that half-open ones never keep anybody out.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from typing import Any

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD_SECONDS = 10.0
"""From a connection's beginning, or its last answer, until the head of its next request is there."""

MOST_HEAD = 2**16
"""Bytes of a head, all cookies included."""

STALL_SECONDS = 60.0
"""How long a client may take none of an answer that waits for it."""

SPARE_FILES = 256
"""File descriptors for everything but connections."""


class Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's own protocol, with bounds."""

    most: int
    """Connections at a time; set by `bound_connections`."""

    def __init__(self, *rest: Any, **options: Any) -> None:
        super().__init__(*rest, **options)
        self.ws_protocol_class = None  # The page has no web sockets, and theirs would leave these bounds.
        self._since = self.loop.time()
        self._head = 0
        self._discarding = False
        self._awaiting: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    @property
    def under_way(self) -> bool:
        """Whether a request's head is there and its answer not yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()
        if len(self.connections) > self.most:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.under_way:
            self._head = 0
            _cancel(self._awaiting)
            return
        if not self._discarding:
            self._head += len(data)
        if self._head > MOST_HEAD:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Called by the parser where the rest of an already refused body is over."""
        super().on_message_begin()
        self._discarding, self._head = False, 0

    def on_response_complete(self) -> None:
        self._discarding = bool(self.cycle.more_body)
        super().on_response_complete()
        if not self.under_way:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._awaiting)
        _cancel(self._stalled)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        _cancel(self._stalled)
        self._stalled = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._stalled)

    def _await_head(self) -> None:
        self._since = self.loop.time()
        _cancel(self._awaiting)
        self._awaiting = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _make_room(self) -> None:
        """End the connection that has been idle for longest, or this one where all others are being answered."""
        there = [one for one in self.connections if not one.transport.is_closing()]
        if len(there) > self.most:
            idle = [one for one in there if not one.under_way and one is not self]
            min(idle, key=lambda one: one._since, default=self).transport.abort()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def bound_connections(most: int) -> int:
    """Have every server that this process starts serve at most ``most`` connections, or as many as it may open files.

    Returns how many. To be called before the server is started: uvicorn looks its protocol up then, by the name that
    Gradio and Ray Serve leave as it is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * most + SPARE_FILES  # a request may open a file of its own
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(ValueError, OSError):  # a system may have an end of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        most = min(most, max(1, (soft - SPARE_FILES) // 2))
    Connection.most = most
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{Connection.__name__}"
    return most
