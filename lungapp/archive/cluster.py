"""A few inputs at a time to Ray's workers, and their rows back; what is lost with a worker that dies is tried again."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

from lungapp.archive.inputs import CHUNK_INPUTS, Input, chunks
from lungapp.archive.rows import Job, of_failure, to_table
from lungapp.archive.worker import Worker
from lungapp.cards import ModelCard
from lungapp.errors import InvalidSetting, LungAppError, WeightsError

if TYPE_CHECKING:
    import pyarrow

NEEDED = ("pyarrow", "ray.data")
NOT_THERE = (
    "Expected Ray and pyarrow, which archives need. Received: a Python without them. "
    "Install them with: pip install -r requirements-archive.txt"
)

TRIES = 3
"""So often an input may cost a worker its life: once among others, then alone."""

DIED = (
    "Expected a file that a worker can read and score. Received: one on which it died, or ran out of memory, "
    f"{TRIES} times."
)


class _Task:
    """`Worker` in the shape that Ray Data calls: a table of inputs → one row, their rows or what stops all."""

    def __init__(self, job: Job, threads: int) -> None:
        self._worker = Worker(job, threads)

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        import pyarrow as pa

        stopped, rows = "", list[dict[str, Any]]()
        try:
            rows = self._worker.score([Input(**one) for one in batch["inputs"][0].as_py()])
        except WeightsError as error:  # no input's fault: the whole run has to end
            stopped = str(error)
        stream = pa.BufferOutputStream()
        table = to_table(rows)
        with pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table)
        return pa.table({"stopped": [stopped], "rows": pa.array([stream.getvalue().to_pybytes()], pa.large_binary())})


def score(
    job: Job, inputs: Sequence[Input], cards: Sequence[ModelCard], workers: int, threads: int = 0
) -> Iterator[pyarrow.Table]:
    """The rows of ``inputs`` as they are done, a table for each few of them, in no order; all rows of an input at once.

    Needs `joined`. Raises `WeightsError`, and `InvalidSetting` where no worker can be kept alive.
    """
    left = {item.key: item for item in inputs}
    for attempt in range(TRIES):
        # A file that kills its worker takes others with it: the second time each one stands alone.
        work = list(chunks(list(left.values()), 1 if attempt else _few(len(left), workers)))
        for table in _streamed(job, work, workers, threads):
            for key in table["input"].unique().to_pylist():
                left.pop(key, None)
            yield table
        if not left:
            return
    for item in left.values():
        yield to_table([of_failure(job, item, cards, DIED)])


def _few(count: int, workers: int) -> int:
    """How many inputs a worker gets at once: few enough that none of them is idle at the end."""
    return max(1, min(CHUNK_INPUTS, count // (4 * workers)))


def _streamed(job: Job, work: list[list[Input]], workers: int, threads: int) -> Iterator[pyarrow.Table]:
    """The rows of each chunk of ``work``, but for those whose worker died."""
    import pyarrow as pa
    import ray.data

    # Ray prints deaths of workers on the standard output, where the summary goes; and warns of its own deprecations.
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # `score` sees what is missing
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        items = [{"inputs": [vars(item) for item in chunk]} for chunk in work]
        try:
            # One chunk is one block: a block is what Ray hands to a worker, and what is lost with it.
            scored = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
                _Task,
                fn_constructor_args=(job, threads),
                batch_size=None,
                batch_format="pyarrow",
                concurrency=workers,
                num_cpus=1,
                max_restarts=-1,
                max_task_retries=0,
            )
            for batch in scored.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                for stopped, rows in zip(batch["stopped"].to_pylist(), batch["rows"].to_pylist(), strict=True):
                    if stopped:
                        raise WeightsError(stopped)
                    yield pa.ipc.open_stream(rows).read_all()
        except (LungAppError, OSError):
            raise
        except Exception as error:
            raise InvalidSetting(
                f"Expected Ray's workers to stay alive. Received: {type(error).__name__}. Everything that was finished "
                "is kept; the same command goes on from there."
            ) from error
