"""A client that does not play by the rules, over raw sockets, from an address of its own choice on this machine."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

PATIENCE = 120.0
"""Seconds for a slow machine; what is waited for comes in a fraction of one."""

HOST = b"Host: localhost\r\n"


def until(true: Callable[[], object]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Wire:
    """One connection."""

    def __init__(self, address: str, source: str = "127.0.0.1", receive_buffer: int = 0) -> None:
        parts = urlsplit(address)
        assert parts.hostname and parts.port
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.bind((source, 0))
        self.socket.connect((parts.hostname, parts.port))
        self.socket.settimeout(PATIENCE)

    def send(self, data: bytes) -> bool:
        """Whether the other side still took it."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def head(self, method: str, path: str, length: int | None = None, *lines: str) -> Wire:
        """A request's head; ``length`` announces a body, -1 one in chunks."""
        announced = (
            () if length is None else ("Transfer-Encoding: chunked",) if length < 0 else (f"Content-Length: {length}",)
        )
        text = "".join(f"{line}\r\n" for line in (f"{method} {path} HTTP/1.1", "Host: localhost", *announced, *lines))
        self.send(text.encode() + b"\r\n")
        return self

    def chunk(self, data: bytes) -> bool:
        return self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def status(self) -> int:
        """Of the answer, 0 where the other side has closed without one."""
        head = b""
        while b"\r\n" not in head:
            try:
                part = self.socket.recv(4096)
            except ConnectionError:
                part = b""
            if not part:
                return 0
            head += part
        return int(head.split()[1])

    @property
    def has_answer(self) -> bool:
        """Whether something is to be read, the end included."""
        self.socket.settimeout(0)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return True

    def close(self) -> None:
        self.socket.close()
