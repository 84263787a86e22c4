"""Engines that take their worker with them; workers import them from here."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lungapp.engine import Engine
from lungapp.slices import Entry

DEADLY_ROWS = 150
"""A slice of so many rows kills the process that reads it, as a decoder that crashes would."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Deadly(Engine):
    """Dies on a slice of `DEADLY_ROWS` rows, every time."""

    def analyse_series(self, entries: Iterable[Entry], *options: Any, **more: Any) -> Iterator[Any]:
        for row in super().analyse_series(entries, *options, **more):
            if row.slice and row.slice.rows == DEADLY_ROWS:
                die()
            yield row


class DiesOnce(Engine):
    """Dies in the middle of its first work, and never again: ``died`` beside the weights tells."""

    def __init__(self, weights: Path, *options: Any) -> None:
        super().__init__(weights, *options)
        self._mark = weights / "died"

    def analyse_series(self, entries: Iterable[Entry], *options: Any, **more: Any) -> Iterator[Any]:
        for place, row in enumerate(super().analyse_series(entries, *options, **more)):
            if place == 1 and not self._mark.exists():
                self._mark.touch()
                die()
            yield row
