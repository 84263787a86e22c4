"""A run over the open series, as the page asks for it: told as it goes, cancelled on request, explained at its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lungapp.results import Analysis, SeriesAnalysis, SeriesRow
from lungapp.series import BATCH, summarise
from lungapp.ui.answers import tested_or_without
from lungapp.ui.messages import explain
from lungapp.ui.opened import Opened, close

if TYPE_CHECKING:
    from lungapp.engine import Engine

SUSPICIOUS = 5
"""How many slices are shown with their maps."""

TELL_SECONDS = 0.25
"""How often progress is told at most."""


@dataclass(eq=False)
class Session:
    """The open upload of a visitor, and a flag that ends the run over it."""

    opened: Opened
    stop: threading.Event = field(default_factory=threading.Event)
    closed: bool = False

    def close(self) -> None:
        """End the run, then delete the files."""
        self.closed = True
        self.stop.set()
        close(self.opened)


@dataclass(frozen=True, eq=False)
class Finished:
    """A run's result, the most suspicious slices explained, and the slices it was of."""

    series: SeriesAnalysis
    suspicious: list[tuple[SeriesRow, Analysis]]
    opened: Opened


def run_series(engine: Engine, session: Session, place: int, model: str) -> Iterator[int | Finished]:
    """How many slices are done, now and then, and at last the result.

    ``place`` is which series of the upload, from 0. A run that is cancelled keeps what it has; one whose upload was
    closed ends without a result. Raises whatever the engine raises before its first row.
    """
    session.stop.clear()
    opened = session.opened.pick(place)
    if opened.upload:
        opened.upload.use()
    started, told, rows = time.perf_counter(), 0.0, []
    stream = engine.analyse_series(opened.entries, model)
    try:
        while not session.stop.is_set() and (row := next(stream, None)):
            rows.append(row)
            if len(rows) % BATCH == 0 and time.perf_counter() - told > TELL_SECONDS:  # rows come a batch at a time
                told = time.perf_counter()
                yield len(rows)
    finally:
        stream.close()  # type: ignore[attr-defined]
    if session.closed:
        return
    aside = opened.study.set_aside if opened.study else ()
    found = summarise(rows, len(opened.entries), model, started, aside)
    yield Finished(found, list(_explained(engine, opened, found)), opened)


def _explained(engine: Engine, opened: Opened, found: SeriesAnalysis) -> Iterator[tuple[SeriesRow, Analysis]]:
    """The most suspicious slices read anew, with maps for malignant that were tested; one that fails is left out."""
    for row in found.most_suspicious(SUSPICIOUS):
        try:
            analysis = engine.analyse(opened.read(row.number), found.model, "malignant", override=row.overridden)
            yield row, tested_or_without(engine, analysis)
        except Exception as error:
            explain(error)  # to the log; its row tells the reader all the same
