"""A series, batch by batch: read its slices, judge and prepare them, score them; a row for each, in their order.

A batch is the work of one thread from end to end, with as many beside it as there are cores. The gate is hundreds of
short steps, between which Python lets one thread at a time go on; so no more than half of the threads judge at once,
while the others read or score. Of a slice that is done only its `SeriesRow` is kept, so that memory does not grow with
the series.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby, islice

import numpy as np

from lungapp.anatomy import Anatomy
from lungapp.errors import explain
from lungapp.greys import shrink
from lungapp.preprocessing import to_input
from lungapp.quality import assess
from lungapp.registry import ModelSpec
from lungapp.results import DECISIONS, Aggregate, Prediction, RowStatus, SeriesAnalysis, SeriesRow, SliceFacts
from lungapp.slices import Entry, SetAside

BATCH = 8
"""Slices in one forward pass; on two cores larger batches are no faster, and progress is told less often."""

WORKERS = max(1, min(8, os.cpu_count() or 1))
"""Batches that are worked on at a time; one more is drawn from the entries before it is its turn."""

JUDGES = max(1, WORKERS // 2)
"""Threads that judge at a time."""

MOST_PIXELS = 2**23
"""A thread reads on before it judges until it holds as many; that is a batch of slices of 1024 x 1024."""

NEIGHBOURS = 2
"""Counted slices next to one another that must be decided malignant before the series is: a lesion on one slice alone
is rare where slices are a few mm apart, and one slice decided wrongly is not."""

THUMBNAIL_SIDE = 96

STATES: tuple[RowStatus, ...] = ("confident", "uncertain", "rejected", "failed")

Scores = tuple[tuple[Prediction, ...], Prediction | None]
"""Each model's prediction for a slice, and the ensemble's where all were asked."""

Score = Callable[[np.ndarray, Sequence[bool]], list[Scores]]
"""Pictures (n, size, size, 1) float32 in [0, 1], and which of them the gate had rejected → the scores of each."""

Seen = tuple[int, Entry, Anatomy | Exception]
"""A slice's number in the series, from 1, its entry, and what reading it gave."""


@dataclass(frozen=True, eq=False)
class Looked:
    """A row without scores, and the picture (size, size, 1) float32 to score; None where there is nothing to score."""

    row: SeriesRow
    picture: np.ndarray | None = None


Judge = Callable[[int, Entry, Anatomy | Exception], Looked]


def read(entry: Entry) -> Anatomy | Exception:
    """The slice and its anatomy, or why there is none."""
    try:
        return Anatomy(entry.read())
    except Exception as error:  # one slice never stops the others
        return error


def look(
    number: int, entry: Entry, seen: Anatomy | Exception, spec: ModelSpec, model: str, override: bool = False
) -> Looked:
    """Judge and prepare one slice that was `read`; whatever is wrong with it becomes a row that says so."""
    row = SeriesRow(number, entry.source, entry.position, model)
    if isinstance(seen, Exception):
        return Looked(replace(row, error=explain(seen)))
    try:
        grey = shrink(seen.small, THUMBNAIL_SIDE)
        quality = assess(seen)
        rejected = quality.verdict == "reject"
        row = replace(
            row,
            slice=SliceFacts(seen.rows, seen.columns, seen.slice.unit, seen.slice.info),
            quality=quality,
            overridden=override and rejected,
            thumbnail=np.rint(grey * 255).astype(np.uint8),
        )
        return Looked(row) if rejected and not override else Looked(row, to_input(seen, spec))
    except Exception as error:
        return Looked(replace(row, error=explain(error)))


def run(entries: Iterable[Entry], judge: Judge, score: Score, batch: int = BATCH) -> Iterator[SeriesRow]:
    """The rows of ``entries``, in their order, as they are done; closing the iterator ends the work.

    Parameters
    ----------
    judge : looks at a slice, as `look` does; called in threads, at most `JUDGES` at a time.
    score : asks the models about at most ``batch`` pictures at once; called in threads, at most `WORKERS` at a time.
    """
    numbered = enumerate(entries, start=1)
    batches = iter(lambda: list(islice(numbered, batch)), [])
    working: deque[Future[list[SeriesRow]]] = deque()
    ended, room = threading.Event(), threading.Semaphore(JUDGES)

    def work(part: list[tuple[int, Entry]]) -> list[SeriesRow]:
        looked: list[Looked] = []
        for handful in _handfuls((number, entry, read(entry)) for number, entry in part if not ended.is_set()):
            with room:
                looked += [judge(*one) for one in handful]
        return _scored(looked, score)

    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="lungapp-series")
    try:
        for part in batches:
            working.append(pool.submit(work, part))
            if len(working) > WORKERS:
                yield from working.popleft().result()
        while working:
            yield from working.popleft().result()
    finally:
        ended.set()
        pool.shutdown(wait=True, cancel_futures=True)  # nobody reads on in files that are about to be deleted


def _handfuls(items: Iterable[Seen]) -> Iterator[list[Seen]]:
    """``items``, as many together as hold `MOST_PIXELS`."""
    held: list[Seen] = []
    for item in items:
        held.append(item)
        if sum(found.grey.size for *_, found in held if isinstance(found, Anatomy)) >= MOST_PIXELS:
            yield held
            held = []
    if held:
        yield held


def _scored(done: Sequence[Looked], score: Score) -> list[SeriesRow]:
    """The rows of ``done`` with the scores of what there is to score."""
    pictures = [looked.picture for looked in done if looked.picture is not None]
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


def summarise(
    rows: Sequence[SeriesRow], total: int, model: str, started: float, set_aside: Sequence[SetAside] = ()
) -> SeriesAnalysis:
    """What ``rows``, out of ``total`` slices, come to; ``started`` is the `time.perf_counter` of the run's start."""
    seconds = time.perf_counter() - started
    return SeriesAnalysis(tuple(rows), total, model, aggregate(rows), len(rows) < total, seconds, tuple(set_aside))


def aggregate(rows: Sequence[SeriesRow]) -> Aggregate:
    """What the answer sets of the counted ``rows`` say together.

    Malignant where `NEIGHBOURS` counted slices next to one another are; not malignant where every counted slice is
    that; else, and where none is counted, undecided. Rows that are not counted are skipped: their neighbours on either
    side count as neighbours.
    """
    counted = [row for row in rows if row.counted]
    decisions = Counter(row.decision for row in counted)
    stretches = [[row.number for row in part] for decision, part in groupby(counted, lambda row: row.decision)
                 if decision == "malignant"]  # fmt: skip
    runs = [numbers for numbers in stretches if len(numbers) >= NEIGHBOURS]
    alike = bool(counted) and decisions["not_malignant"] == len(counted)
    states = Counter(row.state for row in rows)
    return Aggregate(
        "malignant" if runs else "not_malignant" if alike else "undecided",
        tuple((numbers[0], numbers[-1]) for numbers in runs),
        sum(map(len, runs)),
        {decision: decisions[decision] for decision in DECISIONS},
        {state: states[state] for state in STATES},
    )
