"""How long after its start the process serves the page, and when every model is ready.

    python -m benchmarks.cold_start [--times 3]

Each time a new process on a free port, asked for ``/`` every 20 ms until it answers 200, then for ``/health`` until no
model is being loaded. Prints seconds, and the machine's load beforehand: figures taken under load are upper bounds.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url: str, wanted: str, deadline: float) -> None:
    """Ask until the answer holds ``wanted``."""
    while time.perf_counter() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if wanted in answer.read().decode("utf-8"):
                    return
        except (OSError, urllib.error.URLError):
            pass
        time.sleep(0.02)
    raise TimeoutError(url)


def memory_of(process: int, kind: str = "VmRSS") -> float:
    """Resident MiB of a process now; "VmHWM": the most so far."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(kind))


def one_start() -> tuple[float, float, float]:
    """Seconds until the page, and until every model, was there, and the resident MiB then."""
    port = free_port()
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "TF_CPP_MIN_LOG_LEVEL": "3"}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/", "gradio_config", start + 120)
        page = time.perf_counter() - start
        wait_for(f"http://127.0.0.1:{port}/health", json.dumps("ok"), start + 300)
        return page, time.perf_counter() - start, memory_of(process.pid)
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=3)
    times = parser.parse_args().times
    for _ in range(times):
        load = os.getloadavg()[0]
        page, models, memory = one_start()
        print(f"page {page:5.2f} s, models {models:5.2f} s, {memory:.0f} MiB, ", end="")
        print(f"load before {load:.2f} on {os.cpu_count()} cores", flush=True)


if __name__ == "__main__":
    main()
