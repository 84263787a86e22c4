"""Gradio's queue with a share for everybody, and without work for those who have left.

Gradio takes calls first come, first served, up to one length for all functions together, and works for whoever is gone
before they listen. Here each group of functions has places and a length of its own (quick ones never wait for a
series), a client has a share of them (`lungapp.ui.shares`), and a call that nobody listens for is dropped.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gradio.context import LocalContext
from gradio.queueing import Event, EventQueue, Queue

from lungapp.texts import mark
from lungapp.ui.language import say
from lungapp.ui.shares import Client, Shares, client_of

if TYPE_CHECKING:
    import gradio as gr

T = TypeVar("T")

LENGTH = 64
"""Calls that may wait in one group."""

CALLS_OF_ADDRESS, CALLS_OF_VISITOR = 48, 16
"""Calls of one address, and of one visitor, in all groups: waiting, running, or with an answer nobody has fetched."""

LISTEN_SECONDS = 30.0
"""After so long without anybody listening for a call it is dropped, and its answer too."""

LONGEST_NAME = 64
"""Letters of a session's name; a page's has eleven."""

FULL = mark("Expected fewer than {most} calls to be waiting. Received: one more. Please try again in a moment.")
SHARE_USED = mark(
    "Expected fewer than {most} calls of yours to be waiting. Received: one more. Please wait for the others."
)
LONG_NAME = mark("Expected a session's name of at most {most} letters. Received: a longer one.")


class Mailbox(asyncio.Queue[Any]):
    """What a session is told, and when somebody last listened."""

    def __init__(self) -> None:
        super().__init__()
        self.listened = time.monotonic()

    async def get(self) -> Any:
        """A listener comes back here every ten seconds, whether there is something or not."""
        self.listened = time.monotonic()
        try:
            return await super().get()
        finally:
            self.listened = time.monotonic()

    @property
    def deserted(self) -> bool:
        return time.monotonic() - self.listened > LISTEN_SECONDS


@dataclass(frozen=True)
class Call:
    """Whose an event is, and of which session."""

    client: Client
    session: str


class FairQueue(Queue):
    """In place of the queue of a page that was built; the page has no functions that take calls in batches."""

    _calls: dict[str, Call]
    _shares: dict[str, Shares]
    _all: Shares

    @staticmethod
    def take_over(demo: gr.Blocks) -> FairQueue:
        """Give ``demo`` this queue; Gradio makes its own and lets nobody choose."""
        queue = demo._queue
        queue.__class__ = FairQueue
        assert isinstance(queue, FairQueue)
        queue.max_size = None
        queue._calls, queue._shares, queue._all = {}, {}, Shares(queue.max_thread_count)
        return queue

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """How many run and wait, by group: ``series``, ``model``, and all others together."""
        told = {"model": (0, 0), "series": (0, 0), "other": (0, 0)}
        for name, group in self.event_queue_per_concurrency_id.items():
            key = name if name in told else "other"
            running, waiting = told[key]
            told[key] = running + group.current_concurrency, waiting + len(group.queue)
        return told

    @property
    def is_full(self) -> bool:
        """Whether any group takes no more calls."""
        return any(len(group.queue) >= LENGTH for group in self.event_queue_per_concurrency_id.values())

    @property
    def is_busy(self) -> bool:
        """Whether a call waits, is being taken, runs, or is being put away."""
        return bool(self.event_ids_to_events)

    async def push(self, body: Any, request: Any, username: str | None) -> Any:
        """As Gradio's; refused as "error" for a function that is not there, as "queue_full" where the client's share is
        used up.
        """
        if body.fn_index not in self.blocks.fns:  # Gradio looks it up unasked, and fails
            return False, say("Not found."), "error"
        self._forget_delivered()
        client = client_of(request.scope)
        if refusal := self._refuses(body, client):
            return False, refusal, "queue_full"
        body.session_hash = body.session_hash or uuid.uuid4().hex
        if body.session_hash not in self.pending_messages_per_session:
            self.pending_messages_per_session[body.session_hash] = Mailbox()
        answer = await super().push(body, request, username)
        if answer[0]:
            self._calls[str(answer[1])] = Call(client, body.session_hash)
        return answer

    def _refuses(self, body: Any, client: Client) -> str:
        if len(body.session_hash or "") > LONGEST_NAME:
            return say(LONG_NAME, most=LONGEST_NAME)
        taken = Counter(call.client[:end] for call in self._calls.values() for end in range(1, len(client) + 1))
        for end, most in zip(range(1, len(client) + 1), (CALLS_OF_ADDRESS, CALLS_OF_VISITOR), strict=False):
            if taken[client[:end]] >= most:
                return say(SHARE_USED, most=most)
        function = self.blocks.fns.get(body.fn_index)
        group = function and self.event_queue_per_concurrency_id.get(function.concurrency_id)
        return say(FULL, most=LENGTH) if group and len(group.queue) >= LENGTH else ""

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """The call whose turn it is: of any group with a free place, whoever has had fewest."""
        for name in random.sample(list(self.event_queue_per_concurrency_id), len(self.event_queue_per_concurrency_id)):
            group = self.event_queue_per_concurrency_id[name]
            if group.queue and (event := self._next(group)):
                group.queue.remove(event)
                for shares in (self._shares[name], self._all):
                    shares.take(self._client(event))
                return [event], False, name
        return None

    def _next(self, group: EventQueue) -> Event | None:
        places = group.concurrency_limit or self.max_thread_count
        shares = self._shares.setdefault(group.concurrency_id, Shares(places))
        if len(shares) >= places:
            return None
        for event in [event for event in group.queue if self._deserted(event.session_hash)]:
            group.queue.remove(event)
            self.event_ids_to_events.pop(event._id, None)
        allowed = [event for event in group.queue if self._may_start(shares, self._client(event))]
        return min(allowed, key=lambda event: shares.rank(self._client(event)), default=None)

    def _may_start(self, shares: Shares, client: Client) -> bool:
        return shares.allows(client) and self._all.allows(client)

    async def process_events(self, events: list[Event], batch: bool, *rest: Any) -> None:
        """As Gradio's; the place is free afterwards."""
        try:
            await super().process_events(events, batch, *rest)
        finally:
            for event in events:
                for shares in (self._shares[event.concurrency_id], self._all):
                    shares.give_back(self._client(event))

    def _client(self, event: Event) -> Client:
        return client_of(event.request.scope)

    def _deserted(self, session: str) -> bool:
        mailbox = self.pending_messages_per_session.get(session)
        return mailbox is None or (isinstance(mailbox, Mailbox) and mailbox.deserted)

    def _forget_delivered(self) -> None:
        """Forget calls whose answer was fetched, or is not going to be, and the sessions that have no others."""
        for name, call in list(self._calls.items()):
            pending = self.pending_event_ids_session.get(call.session, set())
            if name in self.event_ids_to_events:
                continue
            if name in pending and self._deserted(call.session):
                pending.discard(name)
            if name not in pending:
                del self._calls[name]
                if not pending:
                    self.pending_event_ids_session.pop(call.session, None)
                    self.pending_messages_per_session.pop(call.session, None)

    def wants(self, name: str) -> bool:
        """Whether somebody still listens for the running call of that name."""
        event = self.event_ids_to_events.get(name)
        return event is not None and event.alive and not self._deserted(event.session_hash)


def queue_of(demo: gr.Blocks) -> FairQueue:
    """The queue of a page that was built."""
    queue = demo._queue
    assert isinstance(queue, FairQueue)
    return queue


def while_wanted(rows: Iterable[T]) -> Iterator[T]:
    """``rows`` until whoever called the function that runs now has left."""
    blocks, name = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    queue = getattr(blocks, "_queue", None)
    for row in rows:
        yield row
        if isinstance(queue, FairQueue) and name and not queue.wants(name):
            getattr(rows, "close", lambda: None)()
            return
