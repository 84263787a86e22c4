"""What one worker does: a few inputs → their rows. Knows nothing of Ray."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lungapp.archive.inputs import Input, Source
from lungapp.archive.rows import Job, of_failure, of_slice
from lungapp.engine import cards_of
from lungapp.errors import explain
from lungapp.reading.study import read_study
from lungapp.slices import Entry, Study
from lungapp.startup import ARCHIVE_PREFIX, sweep

FETCHERS = 8
"""Files that are brought over at once: a remote storage answers slowly, not little."""


class Worker:
    """Holds the engine, so that a model is loaded once."""

    def __init__(self, job: Job, threads: int = 0) -> None:
        """``threads`` of the model's own, as many as there are cores where 0."""
        sweep(ARCHIVE_PREFIX)  # what a worker that was killed has left
        self._job = job
        self._source = Source(job.source)
        self._engine = job.engine(job.weights, job.precision, threads)
        self._cards = cards_of(self._engine)

    def score(self, inputs: Sequence[Input]) -> list[dict[str, Any]]:
        """The rows of ``inputs``, at least one for each; slices of different inputs share a forward pass.

        Raises `WeightsError`. Whatever else goes wrong with an input becomes a row that says so.
        """
        job, rows = self._job, list[dict[str, Any]]()
        ahead: deque[tuple[Input, int, int]] = deque()  # input, series and number of each entry the engine has taken

        def entries(found: Iterator[tuple[Input, Study | str]]) -> Iterator[Entry]:
            for item, study in found:
                rows.extend(self._without_slices(item, study))
                for series, one in enumerate(study.series if isinstance(study, Study) else (), start=1):
                    for number, entry in enumerate(one.entries, start=1):
                        ahead.append((item, series, number))
                        yield entry

        with tempfile.TemporaryDirectory(prefix=f"{ARCHIVE_PREFIX}{os.getpid()}-") as folder:
            taken = entries(self._studies(inputs, Path(folder)))
            for row in self._engine.analyse_series(taken, job.model, job.override):
                item, series, number = ahead.popleft()
                rows.extend(cells | {"slice": number} for cells in of_slice(job, item, series, row, self._cards))
        return rows

    def _studies(self, inputs: Sequence[Input], folder: Path) -> Iterator[tuple[Input, Study | str]]:
        """Each input with what is in it, or with why it could not be read."""
        with ThreadPoolExecutor(FETCHERS, thread_name_prefix="lungapp-fetch") as pool:
            files = [pool.submit(self._file, item, folder) for item in inputs]
            for item, file in zip(inputs, files, strict=True):
                yield item, self._study(file)

    def _file(self, item: Input, folder: Path) -> Path:
        self._job.limits.check_total(item.size)  # before it is brought over
        return self._source.fetch(item, folder)

    def _study(self, file: Future[Path]) -> Study | str:
        try:
            return read_study([file.result()], self._job.limits)
        except Exception as error:  # one input never stops the others
            return explain(error)

    def _without_slices(self, item: Input, study: Study | str) -> Iterator[dict[str, Any]]:
        """A row for whatever in ``item`` is no slice, and one for an input that holds nothing at all."""
        if isinstance(study, str):
            yield of_failure(self._job, item, self._cards, study)
            return
        status = "set_aside" if study.series else "failed"
        for aside in study.set_aside:
            yield of_failure(self._job, item, self._cards, aside.reason, aside.source, status)
        if not study.series and not study.set_aside:
            yield of_failure(self._job, item, self._cards, "Expected a slice. Received: a file without one.")
