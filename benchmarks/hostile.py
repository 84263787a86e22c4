"""A client that does what it can to stop others, for `benchmarks.load --soak`: on this machine only, and bounded.

Everything comes from one address of the loopback network that no honest user has, with at most `AT_ONCE` connections of
a kind, and ends with the ``with`` block.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator

from benchmarks.users import BOUNDARY

SOURCE = "127.0.1.1"
AT_ONCE = 64
"""Connections of a kind."""

ROUND_SECONDS = 2.0
"""Between one round of a kind and the next."""

BODY = 300 * 2**20
SERIES, SLICES = 65, 8


class Hostile:
    """What it does, and what it was answered."""

    def __init__(self, port: int, picture: bytes) -> None:
        self._port, self._picture = port, picture
        self._end = threading.Event()
        self.answers: Counter[str] = Counter()

    def run(self, kind: Callable[[], None]) -> None:
        while not self._end.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError, KeyError):  # it was thrown out
                kind()
            self._end.wait(ROUND_SECONDS)

    def half_open_heads(self) -> None:
        self._hold(b"GET / HTTP/1.1\r\nHost: localhost\r\n")

    def half_open_bodies(self) -> None:
        self._hold(b"POST /api/analyse HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx")

    def large_bodies(self) -> None:
        """A login of 300 MiB, and a key without end, in chunks as long as they are taken."""
        for path in ("/login", "/gradio_api/reset", "/api/analyse"):
            with self._wire() as wire:
                wire.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
                part, sent = b"10000\r\n" + bytes(2**16) + b"\r\n", 0
                while sent < BODY and not self._end.is_set():
                    wire.sendall(part)
                    sent += 2**16

    def many_series(self) -> None:
        """65 at once, for which nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60, source_address=(SOURCE, 0))
        connection.request("GET", "/")
        answer = connection.getresponse()
        cookie = (answer.getheader("set-cookie") or "").partition(";")[0]
        answer.read()
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'.encode()
        body = b"".join(head + self._picture + b"\r\n" for _ in range(SLICES)) + f"--{BOUNDARY}--\r\n".encode()
        kind = {"Cookie": cookie, "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        connection.request("POST", "/gradio_api/upload", body, kind)
        files = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in json.load(connection.getresponse())]
        for _ in range(SERIES):
            asked = json.dumps({"data": [files, "all", True], "session_hash": secrets.token_hex(8)})
            connection.request(
                "POST", "/gradio_api/call/analyse_series", asked, {"Cookie": cookie, "Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            answer.read()
            self.answers[f"series {answer.status}"] += 1
        connection.close()

    def slices(self) -> None:
        """One after the other, as fast as they are answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60, source_address=(SOURCE, 0))
        while not self._end.is_set():
            connection.request("POST", "/api/analyse?model=all", self._picture)
            answer = connection.getresponse()
            answer.read()
            self.answers[f"slices {answer.status}"] += 1
        connection.close()

    def stop(self) -> None:
        self._end.set()

    def _wire(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), 10, source_address=(SOURCE, 0))

    def _hold(self, data: bytes) -> None:
        with contextlib.ExitStack() as wires:
            for _ in range(AT_ONCE):
                wires.enter_context(self._wire()).sendall(data)
            self._end.wait(5 * ROUND_SECONDS)


@contextlib.contextmanager
def hostile(port: int, picture: bytes) -> Iterator[Hostile]:
    """One beside whoever else is there."""
    client = Hostile(port, picture)
    kinds = [client.half_open_heads, client.half_open_bodies, client.large_bodies, client.many_series]
    threads = [threading.Thread(target=client.run, args=(kind,)) for kind in (*kinds, *(client.slices,) * 8)]
    for thread in threads:
        thread.start()
    try:
        yield client
    finally:
        client.stop()
        for thread in threads:
            thread.join()
