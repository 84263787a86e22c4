"""The application's side of reading: workers are lent for one file at a time, and replaced where a file ended them.

All files are decoded in processes of their own, wherever the engine runs: on the page, in a replica, in a worker of an
archive and on the command line. So there is one way, no file can end or stall more than its own reading, and decoders
keep no other thread from Python. What that costs is in docs/speed.md.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from select import select
from typing import Any

from lungapp.errors import InputTooLarge, UnreadableInput
from lungapp.reading.containers import Forgotten, Leaf
from lungapp.reading.kinds import EXPECTED
from lungapp.reading.limits import Limits
from lungapp.reading.room import ORDINARY_MEMORY
from lungapp.reading.worker import READY, SOCKET_BYTES, Done, Task, receive, send

NURSE = "import socket, sys; from lungapp.reading.worker import nurse; nurse(socket.socket(fileno=int(sys.argv[1])))"

PLACES = min(8, 2 * (os.cpu_count() or 1))
"""Files that are read at a time, large ones aside: twice the cores, so that a slow one leaves room beside it."""


class _Worker:
    """A process that decodes, by the socket it is asked over; ``last`` is the file it was asked about last."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self.last: Leaf | None = None

    def is_alive(self) -> bool:
        return not select([self._channel], [], [], 0)[0]  # of an idle one nothing is heard but its end

    def ask(self, leaf: Leaf, task: Callable[[Leaf], Task]) -> Done:
        """Have ``task`` done; bytes that were handed in are sent once for all files in them.

        Raises `EOFError` where the task ended the process.
        """
        is_known = self.last is not None and self.last.token == leaf.token
        self.last = leaf
        try:
            send(self._channel, task(leaf.without_bytes() if is_known else leaf))
            done = receive(self._channel)
            if isinstance(done.error, Forgotten):
                send(self._channel, task(leaf))
                done = receive(self._channel)
        except OSError as error:
            raise EOFError from error
        return done

    def close(self) -> None:
        self._channel.close()


class Workers:
    """Processes that read: up to `PLACES`, and one more for what is large. They are started when first needed."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Have no processes: in a fork of this one, whose they are."""
        self._room = {False: threading.BoundedSemaphore(PLACES), True: threading.BoundedSemaphore(1)}
        self._idle: dict[bool, list[_Worker]] = {False: [], True: []}
        self._lock = threading.Lock()
        self._nursery: _Nursery | None = None

    def run(self, work: str, leaf: Leaf, *arguments: Any, limits: Limits, large: bool = False) -> Done:
        """Have ``work`` of `lungapp.reading.formats` done on the file at ``leaf``; what it raises stands in the answer.

        Raises
        ------
        InputTooLarge, UnreadableInput : the file ended the process that read it, after all its time or before.
        """
        memory = limits.max_memory if large else min(ORDINARY_MEMORY, limits.max_memory)
        with self._room[large]:
            worker = self._take(leaf, large)
            start = time.monotonic()
            try:
                done = worker.ask(leaf, lambda leaf: Task(work, (leaf, *arguments), limits.max_seconds, memory, large))
            except EOFError as error:
                worker.close()
                if time.monotonic() - start >= limits.max_seconds:
                    raise InputTooLarge(
                        "Expected a file that can be read in {seconds} seconds. Received: one that takes longer.",
                        seconds=limits.max_seconds,
                    ) from error
                raise UnreadableInput(
                    "Expected {expected}. Received: a damaged or incomplete file.", expected=EXPECTED
                ) from error
            except BaseException:  # in the middle of an answer
                worker.close()
                raise
            with self._lock:
                self._idle[large].append(worker)
            return done

    def start(self) -> None:
        """Start the process that forks workers, unless it is there; it loads decoders beside whatever comes next."""
        with self._lock:
            self._nursery = self._nursery or _Nursery()

    def close(self) -> None:
        """End all processes; the next file starts them anew."""
        with self._lock:
            for worker in [*self._idle[False], *self._idle[True]]:
                worker.close()
            self._idle = {False: [], True: []}
            if self._nursery:
                self._nursery.close()
            self._nursery = None

    def _take(self, leaf: Leaf, large: bool) -> _Worker:
        """An idle worker: one that has the file open, else what it lies in, else nothing, else any, else a new one."""

        def suits(worker: _Worker) -> tuple[bool, bool, bool]:
            last = worker.last
            return last == leaf, last is not None and last.token == leaf.token, last is None

        with self._lock:
            idle = self._idle[large]
            while idle:
                worker = max(idle, key=suits)
                idle.remove(worker)
                if worker.is_alive():
                    return worker
                worker.close()
            return self._fork()

    def _fork(self) -> _Worker:
        try:
            self._nursery = self._nursery or _Nursery()
            return self._nursery.fork()
        except OSError:  # it was ended; the next one is not
            if self._nursery:
                self._nursery.close()
            self._nursery = _Nursery()
            return self._nursery.fork()


class _Nursery:
    """The process that forks workers: it has loaded all that reading needs, and does nothing else."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            # One thread each: a process with more can't be forked safely, and workers stand beside one another anyway.
            paths = os.pathsep.join(path for path in sys.path if path)
            environment = {**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, on this package
                [sys.executable, "-c", NURSE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
            )
        self._is_ready = False

    def fork(self) -> _Worker:
        """A new worker. Raises `OSError` where this process is no more."""
        if not self._is_ready and self._control.recv(1) != READY:
            raise OSError("Expected a process that reads files. Received: none.")
        self._is_ready = True
        ours, theirs = socket.socketpair()
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
            try:
                socket.send_fds(self._control, [READY], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        return _Worker(ours)

    def close(self) -> None:
        self._control.close()
        self._process.wait()


workers = Workers()
"""The process's own."""

atexit.register(workers.close)
os.register_at_fork(after_in_child=workers.forget)
