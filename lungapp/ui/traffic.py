"""What goes on in this process: requests that are open, and whether it is about to end."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from lungapp.ui.fair_queue import queue_of

if TYPE_CHECKING:
    import gradio as gr

DELIVERY_SECONDS = 2.0
"""For answers on their way, once nothing is worked on any more."""

TICK_SECONDS = 0.05


class Traffic:
    """Counts, for probes, figures and an end in order."""

    def __init__(self) -> None:
        self.open: Counter[str] = Counter()
        """By kind: "work" (requests with a body, which is there), "wait" (pages that are just open), "other"."""
        self.refused: Counter[int] = Counter()
        """By status, what `lungapp.ui.bounds` has turned away."""
        self.ending = threading.Event()
        """Set once nothing new is to be taken on."""


traffic = Traffic()
"""The process's own."""


def finish(demo: gr.Blocks, seconds: float) -> None:
    """Take nothing new on, let what runs run for up to ``seconds``, and let answers go out."""
    traffic.ending.set()
    queue = queue_of(demo)
    _until(lambda: not (queue.is_busy or traffic.open["work"]), seconds)
    _until(lambda: not traffic.open["other"], DELIVERY_SECONDS)


def _until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(TICK_SECONDS)
