"""`lungapp.archive` over made-up archives of growing size, with 1 and 2 workers, against the bare forward pass.

    make archive-bench        (python -m benchmarks.archive [--slices 100 1000 10000] [--workers 1 2] [--model NAME])

An archive is made of folders and ZIPs by turns, 50 DICOM slices each, drawn by the project: 20 phantoms that repeat
under other names. Each run is the command itself in a process of its own. "Whole" counts from its start to its end, the
start of Ray and of the model included; "going" only from the first row to the last. Efficiency is "going"
against the frozen graph alone on inputs that lie ready in memory, in batches of `BATCH`, on all cores: what no pipeline
can beat, measured before and after all runs. Memory is the highest sum over all processes of a run, Ray's own included,
of what each has for itself and its share of the rest (PSS); Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from datetime import datetime
from io import BytesIO
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from examples.make_examples import to_dicom, to_stored
from examples.phantoms import phantom
from lungapp.registry import DEFAULT_MODEL, MODELS
from lungapp.series import BATCH
from lungapp.settings import WEIGHTS

DISTINCT = 20
STUDY = 50
"""Slices in a folder or a ZIP."""

RAW_SLICES = 200


def draw() -> list[bytes]:
    """`DISTINCT` phantoms as DICOM files."""
    files = []
    for seed in range(DISTINCT):
        stream = BytesIO()
        hu = phantom("mass" if seed % 2 else None, seed=seed)
        to_dicom(hu, f"bench {seed}").save_as(stream, enforce_file_format=True)
        files.append(stream.getvalue())
    return files


def write(root: Path, files: list[bytes], count: int) -> None:
    """An archive of ``count`` slices at ``root``: the contents lie once on the disk, whatever the size."""
    store = root.parent / "store"
    store.mkdir(exist_ok=True)
    for number, data in enumerate(files):
        if not (store / f"{number}").exists():
            (store / f"{number}").write_bytes(data)
    for study, start in enumerate(range(0, count, STUDY)):
        places = range(min(STUDY, count - start))
        if study % 2:
            root.mkdir(parents=True, exist_ok=True)
            (root / f"study-{study:04}.zip").hardlink_to(zipped(store / f"{len(places)}.zip", files, len(places)))
        else:
            folder = root / f"study-{study:04}"
            folder.mkdir(parents=True)
            for place in places:
                (folder / f"{place:05}").hardlink_to(store / f"{place % DISTINCT}")


def zipped(path: Path, files: list[bytes], count: int) -> Path:
    """A ZIP of ``count`` slices at ``path``, made where it is not there."""
    if not path.exists():
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for place in range(count):
                # One image twice in an archive would be set aside: each gets an identifier of its own.
                archive.writestr(f"{place:05}", renamed(files[place % DISTINCT], place))
    return path


def renamed(data: bytes, number: int) -> bytes:
    """The same DICOM file with another SOP Instance UID."""
    import pydicom

    file = pydicom.dcmread(BytesIO(data))
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = f"2.25.{10**9 + number}"
    stream = BytesIO()
    file.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def raw(name: str) -> float:
    """Slices a second of the bare batched forward pass, on all cores; the better of three."""
    from lungapp.anatomy import Anatomy
    from lungapp.engine import Engine
    from lungapp.preprocessing import to_input
    from lungapp.slices import Slice

    loaded = Engine(WEIGHTS)._models(name)[0]
    some = [
        to_input(Anatomy(Slice(to_stored(phantom(None, seed=seed)).astype(np.float32), "HU")), loaded.spec)
        for seed in (0, 1)
    ]
    batch = np.stack([some[place % 2] for place in range(BATCH)])
    best = 0.0
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(RAW_SLICES // BATCH):
            loaded.run_batch(batch)
        best = max(best, RAW_SLICES // BATCH * BATCH / (time.perf_counter() - start))
    return best


def memory(top: int) -> int:
    """Bytes of process ``top`` and all that it started."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
    family, grown = {top}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        family, grown = family | more, bool(more)
    total = 0
    for pid in family:
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024
    return total


def timed(archive: Path, count: int, name: str, workers: int, bare: float) -> str:
    """One row of the table: a run of the command over ``archive``; ``bare`` is the raw pass's slices a second."""
    import pyarrow.parquet

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.parquet"
        command = [sys.executable, "-m", "lungapp.archive", str(archive), "--out", str(out), "--model", name]
        start, peak = time.perf_counter(), 0
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen([*command, "--workers", str(workers)], stderr=said)
            while process.poll() is None:
                peak = max(peak, memory(process.pid))
                time.sleep(0.25)
            whole = time.perf_counter() - start
            said.seek(0)
            assert process.returncode == 0, said.read().decode()
        rows = pyarrow.parquet.read_table(out, columns=["status", "created"]).to_pylist()
    assert len(rows) == count, f"{len(rows)} rows of {count} slices"
    scored = sum(row["status"] in ("confident", "uncertain") for row in rows)
    moments = sorted({datetime.fromisoformat(row["created"]) for row in rows})
    seconds = (moments[-1] - moments[0]).total_seconds()
    # Rows tell their time to the second.
    going, share = (f"{count / seconds:.1f}", f"{count / seconds / bare:.2f}") if seconds >= 5 else ("-", "-")
    rates = f"{count / whole:.1f} | {going} | {share}"
    return f"| {count:,} | {workers} | {rates} | {peak / 2**20:,.0f} | {scored:,} | {os.getloadavg()[0]:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--model", default=DEFAULT_MODEL, choices=[spec.name for spec in MODELS])
    options = parser.parse_args()
    before = raw(options.model)
    print(f"{options.model}, {os.cpu_count()} cores; the bare forward pass: {before:.1f} slices a second", flush=True)
    print("| Slices | Workers | Whole, slices/s | Going, slices/s | Efficiency | Peak MiB | Scored | Load |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    files = draw()
    with tempfile.TemporaryDirectory() as folder:
        for count in options.slices:
            archive = Path(folder) / f"{count}"
            write(archive, files, count)
            for workers in options.workers:
                print(timed(archive, count, options.model, workers, before), flush=True)
    print(f"the bare forward pass again: {raw(options.model):.1f} slices a second", flush=True)


if __name__ == "__main__":
    main()
