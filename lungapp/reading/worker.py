"""The processes in which files are decoded, and what is said between them and the application's.

    application ── a socket for each worker ──▶ nursery: has every decoder loaded, and forks
         └────────── work, as pickled values ──▶ worker: decodes, within limits on time and memory that it sets itself

A worker that a file drives over a limit, or crashes, is ended by the system; all that the application sees of it is
that its socket is closed.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import resource
import signal
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from select import select
from typing import Any

IDLE_SECONDS = 30.0
"""After so long without work a worker holds no file any more."""

WALL = 6
"""How many times longer than its computing may take a file may be waited for, on a machine that does other work."""

SOCKET_BYTES = 2**22
"""Of a socket's buffer: a slice passes without either side waiting for the other."""

READY = b"r"


@dataclass(frozen=True)
class Task:
    """``work`` of `lungapp.reading.formats` with ``arguments``, within ``seconds`` of computing and ``memory`` bytes.

    ``own_turn`` says that no other large file is read meanwhile.
    """

    work: str
    arguments: tuple[Any, ...]
    seconds: int
    memory: int
    own_turn: bool


@dataclass(frozen=True)
class Done:
    """What came of a task: its value, or the error to raise, and the seconds of computing."""

    value: Any = None
    error: Exception | None = None
    seconds: float = 0.0


def send(channel: socket.socket, value: Any) -> None:
    """Send ``value`` over ``channel``; the memory of arrays in it is not copied."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(value, pickle.HIGHEST_PROTOCOL, buffer_callback=buffers.append)
    parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
    channel.sendall(struct.pack(f"<Q{len(parts)}Q", len(parts), *(part.nbytes for part in parts)))
    for part in parts:
        channel.sendall(part)


def receive(channel: socket.socket) -> Any:
    """What the other side sent. Raises `EOFError` once it is gone."""
    (count,) = struct.unpack("<Q", _exactly(channel, 8))
    sizes = struct.unpack(f"<{count}Q", _exactly(channel, 8 * count))
    body, *buffers = [_exactly(channel, size) for size in sizes]
    return pickle.loads(body, buffers=buffers)  # noqa: S301 - of this process's own worker


def _exactly(channel: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = channel.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return data


def nurse(control: socket.socket) -> None:
    """Fork a worker for every socket that comes over ``control``, until that is closed."""
    importlib.import_module("lungapp.reading.formats")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever ends is forgotten
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the application's, which then closes the sockets
    control.sendall(READY)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders' complaints quote values of the file
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not descriptors:
            return
        if os.fork() == 0:
            try:
                control.close()
                serve(socket.socket(fileno=descriptors[0]))
            finally:
                os._exit(0)
        os.close(descriptors[0])


def serve(channel: socket.socket) -> None:
    """Work off tasks until ``channel`` is closed."""
    from lungapp.reading import formats

    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)  # ends the process, in the middle of a decoder too
    with contextlib.suppress(OSError):  # where memory runs out all the same, a worker goes before the application
        Path("/proc/self/oom_score_adj").write_text("1000")
    before = _data_bytes()
    while True:
        if not select([channel], [], [], IDLE_SECONDS)[0]:
            formats.forget()
            select([channel], [], [])
        try:
            task = receive(channel)
        except (EOFError, OSError):
            return
        send(channel, _done(task, before))


def _done(task: Task, before: int) -> Done:
    from lungapp.reading import formats, room

    room.set_own_turn(task.own_turn)
    if before:
        resource.setrlimit(resource.RLIMIT_DATA, (before + task.memory, resource.RLIM_INFINITY))
    start = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, task.seconds)
    signal.setitimer(signal.ITIMER_REAL, WALL * task.seconds)
    try:
        value, error = getattr(formats, task.work)(*task.arguments), None
    except Exception as caught:
        value, error = None, caught.with_traceback(None)
        error.__cause__ = error.__context__ = None  # which may not be fit to be sent
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return Done(value, error, time.process_time() - start)


def _data_bytes() -> int:
    """What this process has of memory of its own, as the limit on it counts; 0 where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmData:")[1].split()[0]) * 1024
    return 0
