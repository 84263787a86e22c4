"""A series (read, gate, prepare, score) against the model's raw batched forward pass on the same prepared inputs.

    make bench        (python -m benchmarks.series [--slices 300] [--repeats 3] [--memory 1000] [--precision f32])

The raw pass is the forward pass alone, at the same batch size, on inputs that lie ready in memory: of the Keras model,
frozen and compiled by TensorFlow, which is the model as it was trained and published; and of the served graph, in
float32 and in the precision that serves. All alternate, so that a machine whose speed drifts slows all; ratios are
those of the medians. The target is 0.80 of the raw pass. "CPU" says how many milliseconds of processor time each way
takes for a slice; docs/speed.md has the figures.

Memory is the growth of the process's highest resident size over a run of 300 slices, and over one of ``--memory``.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from benchmarks import row
from benchmarks.frozen import frozen
from examples.phantoms import phantom
from lungapp.anatomy import Anatomy
from lungapp.cards import shipped
from lungapp.engine import Engine
from lungapp.models import load_model
from lungapp.preprocessing import to_input
from lungapp.series import BATCH, WORKERS
from lungapp.settings import PRECISIONS, WEIGHTS
from lungapp.slices import Entry, Slice
from lungapp.startup import keep_memory

DISTINCT = 20
"""Phantoms are costly to draw: a series repeats this many. Each is made into a new slice when its turn comes."""

MIB = 2**20


def entries(pixels: list[np.ndarray], count: int) -> list[Entry]:
    """A series of ``count`` slices from ``pixels``, each (rows, columns) float32 in HU."""

    def entry(number: int) -> Entry:
        return Entry(f"file {number + 1}", 1.0 * number, lambda: Slice(pixels[number % len(pixels)], "HU"))

    return [entry(number) for number in range(count)]


def timed(step: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - clock, time.process_time() - processor


def compare(engine: Engine, name: str, series: list[Entry], repeats: int) -> str:
    """One row of the table."""
    served, exact = engine._models(name)[0], Engine()._models(name)[0]
    inputs = np.stack([to_input(Anatomy(entry.read()), served.spec) for entry in series])
    batches = [inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH)]

    def raw(run: Callable[[np.ndarray], object]) -> None:
        for batch in batches:
            run(batch)

    def ours() -> None:
        rows = list(engine.analyse_series(series, name))
        assert all(row.prediction for row in rows)

    keras = frozen(load_model(served.spec, WEIGHTS)[0], served.spec)
    steps = (partial(raw, keras), partial(raw, exact.run_batch), partial(raw, served.run_batch), ours)
    for step in steps:
        step()
    rounds = [[timed(step) for step in steps] for _ in range(repeats)]
    times, processor = (
        [statistics.median(one[way][kind] for one in rounds) for way in range(len(steps))] for kind in (0, 1)
    )
    rates = [f"{len(series) / seconds:.1f}" for seconds in times]
    shares = [f"{seconds / times[-1]:.2f}" for seconds in times[:-1]]
    costs = [f"{1000 * seconds / len(series):.1f}" for seconds in processor]
    return row(name, served.precision, *rates, *shares, *costs)


def peak() -> float:
    """The process's highest resident size so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB


def resident() -> float:
    """The process's resident size now, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, default=1000, help="slices of the longer run")
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0])
    options = parser.parse_args()
    keep_memory()  # as the application does
    pixels = [phantom("mass" if seed % 2 else None, seed=seed) for seed in range(DISTINCT)]
    engine = Engine(precision=options.precision)
    names = [spec.name for spec in shipped(WEIGHTS)]
    series = entries(pixels, options.slices)
    list(engine.analyse_series(series[:BATCH], names[-1]))
    for count in (options.slices, options.memory):
        before, rows = resident(), list(engine.analyse_series(entries(pixels, count), names[-1]))
        kept = sum(row.thumbnail.nbytes for row in rows if row.thumbnail is not None) / MIB
        grown = max(0.0, peak() - before)
        print(f"{count:5} slices with {names[-1]}: peak {peak():.0f} MiB, {grown:.0f} above the start; kept {kept:.0f}")
        del rows
    print(f"{options.slices} slices of 512 x 512, median of {options.repeats}; {os.cpu_count()} cores, ", end="")
    print(f"batches of {BATCH}, {WORKERS} workers\n")
    raw = ("Keras", "graph f32", "graph as served")
    heads = [f"Raw {way} /s" for way in raw] + ["Ours /s"] + [f"Ours / {way}" for way in raw]
    print(row("Model", "Served in", *heads, *(f"CPU ms: {way}" for way in (*raw, "ours"))))
    print("|" + 13 * " --- |")
    for name in names:
        print(compare(engine, name, series, options.repeats), flush=True)


if __name__ == "__main__":
    main()
