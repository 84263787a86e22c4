"""What 100,000 slices of an archive cost, and how long they take: from measured rates, and from prices that are given.

    python -m benchmarks.cost --measure                           milliseconds of processor time a slice takes here
    python -m benchmarks.cost --rate 35.7 --start 24              a table from a measured rate, with the prices assumed
    python -m benchmarks.cost --around 12 --whole 17 --start 24   a table from milliseconds of processor time

The arithmetic, for ``n`` workers of one kind that cost ``p`` an hour each, beside a head that costs ``h``::

    rate   = min(n * rate of one, bandwidth of the source / bytes of a slice)
    hours  = (start + slices / rate) / 3600
    cost   = hours * (n * p + h)

``start`` is what passes from the command to the first row, in seconds. The rate of one is what `benchmarks.archive`
measures ("going"), or, where only processor time is known, a bound: cores / processor seconds a slice. A worker with a
GPU is bounded too: what stands around the forward pass (reading, gate, preparing) stays on its cores, so that even a
GPU that took no time would give no more than cores / processor seconds around the pass (Amdahl's law). No GPU has been
measured: ``--gpu-rate``, slices a second of the bare batched pass on one, is to be given by whoever has.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

SLICES = 100_000


@dataclass(frozen=True)
class Worker:
    """A kind of machine: ``price`` in dollars an hour, and ``rate`` in slices a second, a bound where not measured."""

    name: str
    cores: int
    price: float
    rate: float
    bound: bool


def hours(slices: int, workers: int, rate: float, start: float, ceiling: float = math.inf) -> float:
    """How long ``workers`` take that make ``rate`` slices a second each, after ``start`` seconds; ``ceiling`` is what
    the source gives at most, in slices a second.
    """
    return (start + slices / min(workers * rate, ceiling)) / 3600


def cost(slices: int, workers: int, worker: Worker, start: float, head: float, ceiling: float = math.inf) -> float:
    """Dollars; ``head`` is what the head costs an hour."""
    return hours(slices, workers, worker.rate, start, ceiling) * (workers * worker.price + head)


def gpu_bound(cores: int, around: float, gpu_rate: float = math.inf) -> float:
    """Slices a second of ``cores`` that take ``around`` milliseconds beside the pass, with a GPU of ``gpu_rate``."""
    return min(cores * 1000 / around, gpu_rate)


def cores_for(gpu_rate: float, around: float) -> int:
    """How many cores one GPU of ``gpu_rate`` slices a second needs beside it, so that it never waits."""
    return math.ceil(gpu_rate * around / 1000)


def measure(model: str, slices: int = 200) -> tuple[float, float]:
    """Milliseconds of processor time of one DICOM slice: around the forward pass, and as a whole."""
    from benchmarks.archive import draw
    from lungapp.engine import Engine
    from lungapp.reading.study import read_study
    from lungapp.registry import get_spec
    from lungapp.series import look, read
    from lungapp.settings import Settings
    from lungapp.slices import Entry

    files = draw()
    engine, spec = Engine(precision=Settings.from_env().precision), get_spec(model)

    def entries() -> list[Entry]:
        return [read_study([files[place % len(files)]]).series[0].entries[0] for place in range(slices)]

    list(engine.analyse_series(entries()[:16], model))  # loaded and warm
    start = time.process_time()
    for number, entry in enumerate(entries()):
        look(number, entry, read(entry), spec, model)
    around = time.process_time() - start
    start = time.process_time()
    rows = list(engine.analyse_series(entries(), model))
    whole = time.process_time() - start
    assert len(rows) == slices and all(row.status in ("confident", "uncertain") for row in rows)
    return 1000 * around / slices, 1000 * whole / slices


def table(kinds: list[Worker], counts: list[int], options: argparse.Namespace) -> list[str]:
    """Rows of Markdown, one a kind of worker and a number of them."""
    ceiling = options.bandwidth * 1e6 / (options.kilobytes * 1e3) if options.bandwidth else math.inf
    lines = ["| Workers | Slices/s | Minutes | Dollars |", "| --- | --- | --- | --- |"]
    for kind in kinds:
        for count in counts:
            time_taken = hours(SLICES, count, kind.rate, options.start, ceiling)
            dollars = cost(SLICES, count, kind, options.start, options.head, ceiling)
            most, least = ("at most ", "at least ") if kind.bound else ("", "")
            rate = f"{most}{min(count * kind.rate, ceiling):,.0f}"
            lines.append(f"| {count} x {kind.name} | {rate} | {least}{60 * time_taken:.1f} | {least}{dollars:.2f} |")
    return lines


def kinds_of(options: argparse.Namespace) -> list[Worker]:
    """The machines that the options tell enough of."""
    kinds = []
    name = f"{options.cpu_cores} cores"
    if options.rate:
        kinds.append(Worker(name, options.cpu_cores, options.cpu_price, options.rate, bound=False))
    elif options.whole:
        kinds.append(Worker(name, options.cpu_cores, options.cpu_price, options.cpu_cores * 1000 / options.whole, True))
    if options.around:
        for named, cores, price in (
            ("T4", options.t4_cores, options.t4_price),
            ("L4", options.l4_cores, options.l4_price),
        ):
            rate = gpu_bound(cores, options.around, options.gpu_rate or math.inf)
            kinds.append(Worker(f"{cores} cores and one {named}", cores, price, rate, bound=True))
    return kinds


def main() -> None:
    from lungapp.registry import DEFAULT_MODEL, MODELS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="processor time of a slice on this machine, first")
    parser.add_argument("--models", nargs="+", default=[DEFAULT_MODEL], choices=[spec.name for spec in MODELS])
    parser.add_argument("--rate", type=float, help="slices a second of one CPU machine, measured")
    parser.add_argument("--around", type=float, help="milliseconds of processor time of a slice around the pass")
    parser.add_argument("--whole", type=float, help="and as a whole, on a machine without a GPU")
    parser.add_argument("--gpu-rate", type=float, help="slices a second of the bare batched pass on the GPU, measured")
    parser.add_argument("--start", type=float, default=0.0, help="seconds until the first row")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--bandwidth", type=float, help="megabytes a second that the source gives to all workers")
    parser.add_argument("--kilobytes", type=float, default=525.0, help="size of a slice (512 x 512 of 16 bits)")
    prices = parser.add_argument_group("assumed, in dollars an hour; give yours")
    prices.add_argument("--head", type=float, default=0.10)
    prices.add_argument("--cpu-price", type=float, default=0.10)
    prices.add_argument("--cpu-cores", type=int, default=2)
    prices.add_argument("--t4-price", type=float, default=0.53)
    prices.add_argument("--t4-cores", type=int, default=4)
    prices.add_argument("--l4-price", type=float, default=0.80)
    prices.add_argument("--l4-cores", type=int, default=4)
    options = parser.parse_args()
    if options.measure:
        print("| Model | Around the pass, ms | Whole, ms | Cores that a GPU of 1,000 slices/s needs |")
        print("| --- | --- | --- | --- |")
        for model in options.models:
            around, whole = measure(model)
            print(f"| {model} | {around:.1f} | {whole:.1f} | {cores_for(1000, around)} |", flush=True)
    if kinds := kinds_of(options):
        print("\n".join(table(kinds, options.workers, options)))


if __name__ == "__main__":
    main()
