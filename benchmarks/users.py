"""Users of the API for a load test, each a thread with a connection of its own, as cheap as they can be."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from urllib.parse import quote

import numpy as np
from PIL import Image

from examples.phantoms import phantom
from lungapp.methods import DEFAULT_METHOD
from lungapp.rendering import render_grey
from lungapp.slices import Slice

DISTINCT = 12
"""Slices that are drawn; users take turns with them."""

BOUNDARY = "lungapp-load"
TIMEOUT = 120.0


@dataclass
class Outcome:
    """What users met: seconds of each analysis, errors by their words, and how long all of it took."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    elapsed: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.elapsed

    def percentile(self, share: float) -> float:
        return float(np.percentile(self.seconds, share)) if self.seconds else float("nan")


def pictures() -> list[bytes]:
    """PNG files of 512 x 512, as exported from a viewer in the models' window; not by the application's own encoder."""
    return [_png(Slice(phantom("mass" if seed % 2 else None, seed), "HU")) for seed in range(DISTINCT)]


def _png(item: Slice) -> bytes:
    file = BytesIO()
    Image.fromarray(render_grey(item)).save(file, "PNG")
    return file.getvalue()


def connect(port: int, address: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT, source_address=(address, 0))


class DirectUser:
    """A program that sends a slice and gets the report and the overlay back, all in one request."""

    def __init__(self, port: int, model: str, address: str) -> None:
        self._http = connect(port, address)
        self._path = f"/api/analyse?model={model}"

    def arrive(self) -> None:
        """There is nothing to be had before the first slice."""

    def analyse(self, picture: bytes) -> dict:
        """The JSON of one analysis. Raises RuntimeError with the server's words."""
        self._http.request("POST", self._path, picture)
        answer = self._http.getresponse()
        told = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(told["error"])
        base64.b64decode(told["overlay"].partition(",")[2])
        return told["report"]

    def close(self) -> None:
        self._http.close()


class GradioUser:
    """A program that keeps its cookie and its session, and goes Gradio's way: upload, call, answer, overlay."""

    def __init__(self, port: int, model: str, address: str) -> None:
        self._http = connect(port, address)
        self._model, self._cookie, self._session = model, "", secrets.token_hex(8)

    def arrive(self) -> None:
        """Open the page, which gives the cookie."""
        self._http.request("GET", "/")
        answer = self._http.getresponse()
        self._cookie = (answer.getheader("set-cookie") or "").partition(";")[0]
        answer.read()

    def analyse(self, picture: bytes) -> dict:
        """The JSON of one analysis. Raises RuntimeError with the server's words."""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="slice.png"\r\n\r\n'.encode()
        form = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        body = head + picture + f"\r\n--{BOUNDARY}--\r\n".encode()
        (path,) = json.loads(self._ask("POST", "/gradio_api/upload", body, form))
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        data = [file, self._model, "predicted", DEFAULT_METHOD, False, 0, False, False]
        asked = json.dumps({"data": data, "session_hash": self._session}).encode()
        call = "/gradio_api/call/analyse"
        event = json.loads(self._ask("POST", call, asked, {"Content-Type": "application/json"}))["event_id"]
        told = self._ask("GET", f"{call}/{event}").decode()
        kind, _, data = told.rstrip().rpartition("\ndata: ")
        if not kind.endswith("event: complete"):
            raise RuntimeError(data[:80] or "no answer")
        analysis, overlay = json.loads(data)
        self._ask("GET", f"/gradio_api/file={quote(overlay['path'])}")
        return analysis

    def close(self) -> None:
        self._http.close()

    def _ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
        self._http.request(method, path, body, {"Cookie": self._cookie, **(headers or {})})
        answer = self._http.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {content[:60].decode(errors='replace')}")
        return content


USERS: dict[str, type[DirectUser] | type[GradioUser]] = {"direct": DirectUser, "gradio": GradioUser}
"""By the way they go."""


def crowd(port: int, model: str, users: int, seconds: float, slices: list[bytes], way: str) -> Outcome:
    """``users`` at once, each with one analysis after the other, for ``seconds``; what was begun then is finished."""
    outcome, lock, ready = Outcome(), threading.Lock(), threading.Barrier(users + 1)

    def live(number: int) -> None:
        # Each at an address of their own, as users are: one address has a share of the places, not all.
        user = USERS[way](port, model, f"127.0.0.{number % 200 + 2}")
        try:
            user.arrive()
        except OSError as error:
            with lock:
                outcome.errors[f"{type(error).__name__}: {error}"] += 1
        ready.wait()
        while time.perf_counter() < begin + seconds:
            start, error = time.perf_counter(), ""
            try:
                analysis = user.analyse(slices[number % len(slices)])
                if analysis["status"] == "rejected":
                    error = "rejected"
            except Exception as caught:  # it is counted; the user tries again on a new connection
                error = f"{type(caught).__name__}: {caught}"
                user.close()
            with lock:
                if error:
                    outcome.errors[error] += 1
                else:
                    outcome.seconds.append(time.perf_counter() - start)
            number += 1
        user.close()

    begin = time.perf_counter() + 3600
    threads = [threading.Thread(target=live, args=(number,)) for number in range(users)]
    for thread in threads:
        thread.start()
    ready.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    outcome.elapsed = time.perf_counter() - begin
    return outcome
