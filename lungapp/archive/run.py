"""One run: what is there, without what is finished, scored, and kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lungapp import __version__
from lungapp.archive.cluster import NEEDED, NOT_THERE, score
from lungapp.archive.inputs import Source
from lungapp.archive.parts import Parts
from lungapp.archive.rows import Job
from lungapp.cards import ModelCard
from lungapp.engine import ALL
from lungapp.errors import UnsupportedInput, WeightsMismatch, WeightsMissing
from lungapp.ray_cluster import joined

if TYPE_CHECKING:
    import pyarrow

FLUSH_SECONDS = 10.0
FLUSH_ROWS = 5000
"""Rows wait in memory this long, or until they are so many, for their part to be worth a file; a kill costs no more."""

Told = Callable[[int, int], None]
"""Is told how many more inputs are finished, and of how many rows."""


@dataclass(frozen=True)
class Outcome:
    """Inputs ``found``, finished ``before``; ``rows`` added, ``failed`` of them; folders ``closed`` to us."""

    found: int
    before: int
    closed: int
    rows: int
    failed: int
    seconds: float


def run(
    job: Job,
    parts: Parts,
    cards: tuple[ModelCard, ...],
    workers: int,
    address: str = "",
    threads: int = 0,
    start: Callable[[int, int], Told] | None = None,
) -> Outcome:
    """Score what is not finished yet; every input has its rows afterwards, once.

    Parameters
    ----------
    cards : of all models there are.
    threads : of each worker's model, as many as there are cores where 0.
    start : given how many inputs there are and how many are finished, gives what is to be told of progress.

    Raises
    ------
    UnsupportedInput, InvalidSetting, StorageUnavailable, WeightsError
    """
    started = time.perf_counter()
    if not any(job.model in (ALL, card.name) for card in cards):
        raise WeightsMissing(f"Expected weights of {job.model} with a card that fits them. Received: none.")
    inputs, closed = Source(job.source).inputs(leave_out=parts.folder)
    if not inputs:
        raise UnsupportedInput("Expected a folder with files to score. Received: one without any.")
    settings = job.settings(cards)
    with joined(workers, NEEDED, NOT_THERE, address), parts.held():
        parts.check(__version__, settings)
        parts.drop_outdated({job.name(item): item.key for item in inputs})
        finished = parts.finished()
        left = [item for item in inputs if item.key not in finished]
        told = start(len(inputs), len(inputs) - len(left)) if start else None
        with _Writer(parts, finished, settings, told) as writer:
            if left:
                for table in score(job, left, cards, workers, threads):
                    writer.add(table)
    seconds = time.perf_counter() - started
    return Outcome(len(inputs), len(inputs) - len(left), closed, writer.rows, writer.failed, seconds)


class _Writer:
    """Gathers tables into parts; what it has is written when it is left, however that comes."""

    def __init__(self, parts: Parts, finished: set[str], settings: str, told: Told | None) -> None:
        self.rows = self.failed = 0
        self._parts, self._finished, self._settings, self._told = parts, finished, settings, told
        self._waiting: list[pyarrow.Table] = []
        self._since = time.monotonic()

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()

    def add(self, table: pyarrow.Table) -> None:
        """Take the rows of some inputs, but for those that have rows already. Raises `WeightsMismatch`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if set(table["settings"].to_pylist()) - {self._settings}:
            raise WeightsMismatch("Expected the same weights on every machine. Received: rows of others from a worker.")
        new = set(table["input"].to_pylist()) - self._finished
        table = table.filter(pc.is_in(table["input"], pa.array(sorted(new), pa.string())))
        self._finished |= new
        self._waiting.append(table)
        self.rows += table.num_rows
        self.failed += table["status"].to_pylist().count("failed")
        if self._told:
            self._told(len(new), table.num_rows)
        waiting = sum(one.num_rows for one in self._waiting)
        if waiting >= FLUSH_ROWS or time.monotonic() - self._since >= FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting, self._since = self._waiting, [], time.monotonic()
        if any(table.num_rows for table in waiting):
            self._parts.write(waiting)
