"""Many users at once, against the model's raw batched forward pass; and a soak.

    make load       (python -m benchmarks.load [--models resnet50 …] [--users 1 8 32 64] [--ways direct gradio])
    make soak       (python -m benchmarks.load --soak 30 [--soak-users 8])

Starts the application on a free port, with a temporary folder of its own. Each user is a thread that sends a phantom
slice, is given the report and the overlay, and starts anew: in one request (``POST /api/analyse``), or Gradio's way
(upload, ``/analyse``, answer, overlay; a soak goes that way, since it is the one that leaves files). Users, application
and the raw pass share the machine, so what the users themselves cost is taken off the application. The raw pass is the
forward pass alone on inputs that lie ready in memory, in batches as large as the application's: of the Keras model,
frozen and compiled by TensorFlow, which is the model as it was trained and published; and of the graph that serves, in
float32 and in the precision that serves. It is timed before and after every row, with nobody else there, since machines
drift. "CPU ms at 80 %" is the processor time that all of an analysis, its pass and its user included, may take where
80 % of the Keras model's raw rate are to be served on these cores.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks import row
from benchmarks.cold_start import ROOT, free_port, memory_of, wait_for
from benchmarks.hostile import hostile
from benchmarks.users import USERS, Outcome, crowd, pictures
from lungapp.batching import MOST
from lungapp.registry import DEFAULT_MODEL
from lungapp.settings import WEIGHTS, Settings

MIB = 2**20
RAW = ("Keras", "graph f32", "graph as served")
"""What the raw pass is timed of."""

SHARE = 0.8
"""Of the raw rate; the target at 32 users."""

RAW_SECONDS = 4.0
WARM_UP_SECONDS = 5.0
SOAK_WARM_UP_SECONDS = 300.0
"""Until every thread has come to its largest, and as many sessions have been there as are kept."""

BESIDE = 2.0
"""How many times longer the honest users' 95th percentile may be beside a hostile client."""

SOAK_STEPS = 12
"""How often a soak tells how it goes."""

IDLE_SECONDS = 75.0
"""After which the application has deleted what it was handed (`lungapp.ui.uploads.GRACE_SECONDS`)."""


@dataclass
class Application:
    """The process under load."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    def memory(self, kind: str = "VmRSS") -> float:
        """Resident MiB now; "VmHWM": the most so far."""
        return memory_of(self.process.pid, kind)

    def processor(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def files(self) -> int:
        """Files in its temporary folder."""
        return sum(len(files) for _, _, files in os.walk(self.folder))


@contextlib.contextmanager
def application() -> Iterator[Application]:
    """The application with its models loaded; says, after its end, which files it has left behind."""
    with tempfile.TemporaryDirectory() as name:
        port = free_port()
        environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "TMPDIR": name}
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        app = Application(process, port, Path(name))
        try:
            wait_for(f"http://127.0.0.1:{port}/health", '"ok"', time.perf_counter() + 300)
            yield app
        finally:
            if process.poll() is not None:
                print(f"the application had ended by itself: {process.returncode}", flush=True)
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            print(f"after its end: {app.files()} files left in its temporary folder", flush=True)


class Raw:
    """The bare forward pass of one model, in a process of its own that sleeps until it is asked."""

    def __init__(self, model: str) -> None:
        command = [sys.executable, "-m", "benchmarks.load", "--raw", model]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.rate()

    def rate(self) -> np.ndarray:
        """Slices a second, in the order of `RAW`."""
        assert self._process.stdin and self._process.stdout
        print("go", file=self._process.stdin, flush=True)
        return np.array(self._process.stdout.readline().split(), float)

    def close(self) -> None:
        self._process.communicate()


def answer_raw(model: str) -> None:
    """What `Raw` runs: the rates for every line that comes."""
    from benchmarks.frozen import frozen
    from lungapp.engine import Engine
    from lungapp.models import load_model
    from lungapp.registry import get_spec

    spec = get_spec(model)
    graphs = [Engine(precision=precision)._model(spec) for precision in ("f32", Settings.from_env().precision)]
    ways = [frozen(load_model(spec, WEIGHTS)[0], spec), *(graph.run_batch for graph in graphs)]
    batch = np.random.default_rng(0).random((MOST, *spec.input_shape), np.float32)

    def rate(run: Callable[[np.ndarray], object]) -> float:
        run(batch)
        start, count = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < RAW_SECONDS:
            run(batch)
            count += len(batch)
        return count / elapsed

    for _ in sys.stdin:
        print(*map(rate, ways), flush=True)


HEAD = (
    "Model",
    "Way",
    "Users",
    *(f"Raw {way} /s" for way in RAW),
    "Served /s",
    *(f"Served / {way}" for way in RAW),
    "p50 s",
    "p95 s",
    "Errors",
    "CPU ms: application",
    "users",
    "at 80 %",
    "MiB",
)


def level(app: Application, raw: Raw, model: str, way: str, users: int, seconds: float) -> str:
    """One row of the table."""
    slices = pictures()
    crowd(app.port, model, users, WARM_UP_SECONDS, slices, way)
    before = raw.rate()
    processor, own = app.processor(), time.process_time()
    outcome = crowd(app.port, model, users, seconds, slices, way)
    processor, own = app.processor() - processor, time.process_time() - own
    limits = (before + raw.rate()) / 2
    count = max(1, len(outcome.seconds))
    allowed = (os.cpu_count() or 1) / (SHARE * limits[0])
    return row(
        *(model, way, str(users)),
        *(f"{rate:.1f}" for rate in (*limits, outcome.rate)),
        *(f"{outcome.rate / limit:.2f}" for limit in limits),
        *(f"{outcome.percentile(share):.2f}" for share in (50, 95)),
        _errors(outcome),
        *(f"{1000 * seconds:.1f}" for seconds in (processor / count, own / count, allowed)),
        f"{app.memory():.0f}",
    )


def _errors(outcome: Outcome) -> str:
    return ", ".join(f"{number} x {text}" for text, number in outcome.errors.most_common(3)) or "0"


def soak(app: Application, model: str, users: int, minutes: float) -> bool:
    """Serve for ``minutes``, half of each step beside a hostile client, and tell now and then how it goes.

    Returns whether the honest users' p95 beside it was at most `BESIDE` times what it is without, and nobody met an
    error.
    """
    from lungapp.ui.serving import SESSIONS  # imports Gradio, which the users do without

    slices, step = pictures(), 60 * minutes / SOAK_STEPS
    rounds = math.ceil(SESSIONS / users)
    warm_up = min(SOAK_WARM_UP_SECONDS, 30 * minutes)
    for _ in range(rounds):
        crowd(app.port, model, users, warm_up / rounds, slices, "gradio")
    start = app.memory()
    print(
        f"{model}, {users} users, {minutes:g} minutes; {start:.0f} MiB and {app.files()} files after warming up",
        flush=True,
    )
    alone, beside = Outcome(), Outcome()
    for number in range(1, SOAK_STEPS + 1):
        quiet = crowd(app.port, model, users, step / 2, slices, "gradio")
        with hostile(app.port, slices[0]) as stranger:
            loud = crowd(app.port, model, users, step / 2, slices, "gradio")
        for whole, part in ((alone, quiet), (beside, loud)):
            whole.seconds += part.seconds
            whole.errors.update(part.errors)
        growth = 100 * (app.memory() / start - 1)
        print(
            f"{number * step / 60:6.1f} min  alone {quiet.rate:6.1f} /s  p95 {quiet.percentile(95):.2f} s  "
            f"errors {_errors(quiet)}  beside {loud.rate:6.1f} /s  p95 {loud.percentile(95):.2f} s  "
            f"errors {_errors(loud)}  {app.memory():.0f} MiB ({growth:+.1f} %)  {app.files()} files  "
            f"hostile: {dict(stranger.answers)}",
            flush=True,
        )
    ratio = beside.percentile(95) / alone.percentile(95)
    print(
        f"p95 alone {alone.percentile(95):.2f} s, beside {beside.percentile(95):.2f} s: {ratio:.2f} times", flush=True
    )
    time.sleep(IDLE_SECONDS)
    print(f"{IDLE_SECONDS:.0f} s after the last user: {app.files()} files, {app.memory():.0f} MiB", flush=True)
    return ratio <= BESIDE and not alone.errors and not beside.errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet50", DEFAULT_MODEL])
    parser.add_argument("--users", nargs="+", type=int, default=[1, 8, 32, 64])
    parser.add_argument("--ways", nargs="+", choices=list(USERS), default=list(USERS))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="one long run instead of the table")
    parser.add_argument("--soak-users", type=int, default=8)
    parser.add_argument("--raw", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.raw:
        answer_raw(options.raw)
        return
    print(
        f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores, load before {os.getloadavg()[0]:.2f}", flush=True
    )
    with application() as app:
        if options.soak:
            if not soak(app, options.models[-1], options.soak_users, options.soak):
                sys.exit(f"Expected no errors, and a p95 at most {BESIDE:g} times that without a hostile client.")
            return
        print(row(*HEAD), "|" + len(HEAD) * " --- |", sep="\n", flush=True)
        for model in options.models:
            raw = Raw(model)
            for way, users in product(options.ways, options.users):
                print(level(app, raw, model, way, users, options.seconds), flush=True)
            raw.close()


if __name__ == "__main__":
    main()
