"""Requests that arrive while a model is busy, taken together: one queue a model, in order, with an end to it.

There is no thread of its own and no waiting for company. Whoever finds the model idle asks it at once, with the whole
processor; whoever comes meanwhile takes a free lane, a part of the processor; whoever finds none waits, and the first
of those then asks for all of them, as many as fit into a batch. So a lone request costs nothing more, and a crowd is
served in batches side by side, which do not wait for one another's threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

import numpy as np

from lungapp.errors import Busy

T = TypeVar("T")
Run = Callable[[np.ndarray], Sequence[T]]

MOST = 8
"""Pictures in one batch; on two cores larger ones are no faster, and everybody in them waits for the last."""

LONGEST = 64
"""Requests that may wait for a model."""

AT_ONCE = 2 * MOST
"""Requests of the page that are worked on at a time: a batch is with the model while the next is read and the last is
drawn."""

SERIES_AT_ONCE = 3
"""Series that are scored side by side, a batch of one after a batch of the other: nobody waits for another's end."""


class Batcher(Generic[T]):
    """A function of batches, for many threads that have a few pictures each.

    Parameters
    ----------
    run : pictures (n, …) → one answer each, in their order; called by one thread at a time, for who is alone.
    lanes : functions that answer the same, each for one thread at a time, and may run beside one another; none: ``run``
        is the only one.
    most : pictures in one batch. A single request may bring more; it is then a batch of its own.
    longest : requests that may wait.
    """

    def __init__(self, run: Run[T], lanes: Sequence[Run[T]] = (), most: int = MOST, longest: int = LONGEST) -> None:
        self._run, self._free, self._most, self._longest = run, list(lanes) or [run], most, longest
        self._lanes = len(self._free)
        self._waiting: deque[_Request[T]] = deque()
        self._lock = threading.Lock()

    def ask(self, pictures: np.ndarray, patient: bool = False, beside: bool = False) -> list[T]:
        """The answers to ``pictures`` (n, …), in their order; first come, first served.

        Parameters
        ----------
        patient : wait however many do so already, as work does that was begun before and is not to be lost half-done.
        beside : take a lane even where nobody else is there, as work does that keeps the processor busy otherwise.

        Raises
        ------
        Busy : the queue is full.
        Exception : what the function raises for these pictures. Others of the same batch do not suffer from it.
        """
        request: _Request[T] = _Request(pictures)
        with self._lock:
            if not self._free:
                if len(self._waiting) >= self._longest and not patient:
                    raise Busy(
                        "Expected fewer than {most} analyses to be waiting for this model. Received: one more. Please "
                        "try again in a moment.",
                        most=self._longest,
                    )
                self._waiting.append(request)
            else:
                self._begin(request, alone=len(self._free) == self._lanes and not beside)
        request.turn.wait()
        if request.lane is not None:
            self._lead(request, request.lane)
        if request.error is not None:
            raise request.error
        return request.answers

    def _begin(self, request: _Request[T], alone: bool = False) -> None:
        """Let ``request`` lead a batch; the lock is held, and a lane is free. Who is ``alone`` takes one and all."""
        request.lane = self._free.pop()
        request.run = self._run if alone else request.lane
        request.turn.set()

    def _lead(self, first: _Request[T], lane: Run[T]) -> None:
        """Ask for ``first`` and those behind it, wake them, and hand the lane to whoever came since."""
        batch = [first]
        try:
            with self._lock:
                batch += self._company(len(first.pictures))
            self._serve(batch, first.run)
        except BaseException as error:  # this thread is being ended; the others of its batch must not wait for ever
            for request in batch[1:]:
                request.error = RuntimeError(f"The batch was ended by {type(error).__name__}.")
            raise
        finally:
            for request in batch[1:]:
                request.turn.set()
            with self._lock:
                self._free.append(lane)
                if self._waiting:
                    self._begin(self._waiting.popleft())

    def _company(self, count: int) -> list[_Request[T]]:
        """Those at the head of the queue that fit into a batch with ``count`` pictures."""
        company = []
        while self._waiting and count + len(self._waiting[0].pictures) <= self._most:
            company.append(self._waiting.popleft())
            count += len(company[-1].pictures)
        return company

    def _serve(self, batch: Sequence[_Request[T]], run: Run[T]) -> None:
        try:
            together = [request.pictures for request in batch]
            answers = iter(run(np.concatenate(together) if len(batch) > 1 else together[0]))
            for request in batch:
                request.answers = list(islice(answers, len(request.pictures)))
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            for request in batch:  # one by one, so that each gets its own answer, or its own error
                self._serve([request], run)


class _Request(Generic[T]):
    """Pictures, and what becomes of them; ``turn`` is set when there is an answer, or when it is to lead a batch.

    ``lane`` is what it holds while it leads a batch, None where it leads none; ``run`` is what answers that batch.
    """

    run: Run[T]

    def __init__(self, pictures: np.ndarray) -> None:
        self.pictures = pictures
        self.answers: list[T] = []
        self.error: Exception | None = None
        self.lane: Run[T] | None = None
        self.turn = threading.Event()
