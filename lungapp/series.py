"""A series, slice by slice: read, judge and prepare a little ahead; score in batches; a row for each, in order.

Reading and the gate run in threads of their own while the models are busy. At most `AHEAD` batches of prepared pictures
and those with the models are in memory at a time, and of a slice that is done only its `SeriesRow`.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from lungapp.errors import explain
from lungapp.preprocessing import prepare, view
from lungapp.quality import assess
from lungapp.registry import LABELS, ModelSpec
from lungapp.rendering import shrink
from lungapp.results import Aggregate, Prediction, RowStatus, SeriesAnalysis, SeriesRow, SliceFacts
from lungapp.slices import Entry, SetAside

BATCH = 8
"""Slices in one forward pass; on two cores larger batches are no faster, and progress is told less often."""

AHEAD = 2
"""Batches that are read before the model asks for them."""

READERS = max(1, min(4, os.cpu_count() or 1))
"""Threads that read and judge, and as many that ask the models."""

NEIGHBOURS = 3
"""Slices whose mean the aggregate looks at: a nodule on one slice only is rare where slices are a few mm apart."""

THUMBNAIL_SIDE = 96

STATES: tuple[RowStatus, ...] = ("confident", "uncertain", "rejected", "failed")

Scores = tuple[tuple[Prediction, ...], Prediction | None]
"""Each model's prediction for a slice, and the ensemble's where all were asked."""

Score = Callable[[np.ndarray, Sequence[bool]], list[Scores]]
"""Pictures (n, size, size, 1) float32 in [0, 1], and which of them the gate had rejected → the scores of each."""


@dataclass(frozen=True, eq=False)
class Looked:
    """A row without scores, and the picture (size, size, 1) float32 to score; None where there is nothing to score."""

    row: SeriesRow
    picture: np.ndarray | None = None


def look(number: int, entry: Entry, spec: ModelSpec, model: str, override: bool = False) -> Looked:
    """Read, judge and prepare one slice; whatever is wrong with it becomes a row that says so."""
    row = SeriesRow(number, entry.source, entry.position, model)
    try:
        item = entry.read()
        grey = shrink(view(item).small, THUMBNAIL_SIDE)
        quality = assess(item)
        rejected = quality.verdict == "reject"
        row = replace(
            row,
            slice=SliceFacts(item.rows, item.columns, item.unit, item.info),
            quality=quality,
            overridden=override and rejected,
            thumbnail=np.rint(grey * 255).astype(np.uint8),
        )
        return Looked(row) if rejected and not override else Looked(row, prepare(item, spec)[0])
    except Exception as error:  # one slice never stops the others
        return Looked(replace(row, error=explain(error)))


def run(
    entries: Iterable[Entry], ready: Callable[[int, Entry], Looked], score: Score, batch: int = BATCH
) -> Iterator[SeriesRow]:
    """The rows of ``entries``, in their order, as they are done; closing the iterator ends the work.

    Parameters
    ----------
    ready : looks at a slice, as `look` does; called in threads, at most ``AHEAD * batch`` slices before the model needs
        them.
    score : asks the models about at most ``batch`` pictures at once; called in threads, at most `READERS` at a time.
    """
    waiting: deque[Future[Looked]] = deque()
    asked: deque[Future[list[SeriesRow]]] = deque()
    coming = iter(enumerate(entries, start=1))
    readers = ThreadPoolExecutor(READERS, thread_name_prefix="lungapp-reader")
    scorers = ThreadPoolExecutor(READERS, thread_name_prefix="lungapp-scorer")
    try:
        done: list[Looked] = []
        while True:
            while len(waiting) < AHEAD * batch and (following := next(coming, None)):
                waiting.append(readers.submit(ready, *following))
            if not waiting:
                break
            done.append(waiting.popleft().result())
            # A long stretch of slices without anything to score is told too, not only full batches.
            if len(_pictures(done)) == batch or len(done) >= AHEAD * batch or not waiting:
                asked.append(scorers.submit(_scored, done, score))
                done = []
            while asked and (len(asked) > READERS or asked[0].done()):
                yield from asked.popleft().result()
        while asked:
            yield from asked.popleft().result()
    finally:
        for pool in (readers, scorers):
            pool.shutdown(wait=True, cancel_futures=True)  # nobody reads on in files that are about to be deleted


def _scored(done: Sequence[Looked], score: Score) -> list[SeriesRow]:
    """The rows of ``done`` with the scores of what there is to score."""
    pictures = _pictures(done)
    forced = [looked.row.overridden for looked in done if looked.picture is not None]
    scores: Iterator[Scores] = iter(())
    error = ""
    try:
        if pictures:
            scores = iter(score(np.stack(pictures), forced))
    except Exception as caught:  # these slices fail, the next may not
        error = explain(caught)
    rows = []
    for looked in done:
        if looked.picture is None:
            rows.append(looked.row)
        elif error:
            rows.append(replace(looked.row, overridden=False, error=error))
        else:
            predictions, ensemble = next(scores)
            rows.append(replace(looked.row, predictions=predictions, ensemble=ensemble))
    return rows


def _pictures(done: Sequence[Looked]) -> list[np.ndarray]:
    return [looked.picture for looked in done if looked.picture is not None]


def summarise(
    rows: Sequence[SeriesRow], total: int, model: str, started: float, set_aside: Sequence[SetAside] = ()
) -> SeriesAnalysis:
    """What ``rows``, out of ``total`` slices, come to; ``started`` is the `time.perf_counter` of the run's start."""
    seconds = time.perf_counter() - started
    return SeriesAnalysis(tuple(rows), total, model, aggregate(rows), len(rows) < total, seconds, tuple(set_aside))


def aggregate(rows: Sequence[SeriesRow], neighbours: int = NEIGHBOURS) -> Aggregate:
    """The highest mean probability of malignant over ``neighbours`` scored slices in a row, the maximum, and counts.

    Slices that were not scored are skipped: their neighbours on either side count as neighbours.
    """
    scored = [(row.number, row.malignant) for row in rows if row.malignant is not None]
    groups = [scored[start : start + neighbours] for start in range(len(scored) - neighbours + 1)]
    means = [float(np.mean([p for _, p in group])) for group in groups]
    best = int(np.argmax(means)) if means else None
    number, highest = max(scored, key=lambda one: one[1], default=(None, None))
    states = Counter(row.state for row in rows)
    labels = Counter(row.prediction.label for row in rows if row.prediction)
    return Aggregate(
        neighbours,
        None if best is None else means[best],
        () if best is None else tuple(number for number, _ in groups[best]),
        highest,
        number,
        {state: states[state] for state in STATES},
        {label: labels[label] for label in LABELS},
    )
