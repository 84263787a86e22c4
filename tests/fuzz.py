"""Mutated files of every format, read one after another: no crash, no hang, no stray exception, bounded memory.

    python -m tests.fuzz [--files 20000] [--seed 0]

Reading happens in a child process, so that a decoder that kills its process is seen as such and the run goes on.
Exit status 1 where anything went wrong; the files that did it are kept in ``test-results/fuzz/``.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from lungapp.errors import LungAppError
from lungapp.reading import Limits, read_study
from tests.reading.files import SECRET, chest, encode, make_dataset, write, write_compressed, write_nifti, write_zip

LIMITS = Limits(max_bytes=32 * 2**20, max_total_bytes=64 * 2**20, max_pixels=4_000_000, max_frames=64, max_files=64)
SECONDS = 5.0
"""A file that takes longer is a hang."""

MEMORY_MIB = 1024
"""How much the reading process may grow by; 4 million pixels as float32 and some copies are about 100 MiB."""

KEPT = Path("test-results/fuzz")
JPEG = "1.2.840.10008.1.2.4."


def seeds() -> dict[str, bytes]:
    """A sound file of each format and transfer syntax."""
    pixels = chest()
    grey = np.clip((pixels + 1250) / 1500 * 255, 0, 255).astype(np.uint8)
    unsigned = (pixels + 1024).clip(0, 4095).astype(np.uint16)
    volume = np.stack([pixels.T] * 3, axis=2)
    files = {name: encode(grey, name) for name in ("PNG", "JPEG", "TIFF", "BMP", "WEBP")}
    files |= {
        "PNG 16 bit": encode(unsigned),
        "TIFF pages": encode(grey, "TIFF", save_all=True, append_images=[Image.fromarray(grey)] * 3),
        "TIFF packed": encode(grey, "TIFF", compression="tiff_lzw"),
        "DICOM": write(make_dataset(pixels)),
        "DICOM implicit": write(make_dataset(pixels), ImplicitVRLittleEndian),
        "DICOM big endian": write(make_dataset(pixels.astype(">i2")), ExplicitVRBigEndian),
        "DICOM deflated": write(make_dataset(pixels), DeflatedExplicitVRLittleEndian),
        "DICOM bare": write(make_dataset(pixels), preamble=False),
        "NIfTI": write_nifti(volume),
        "NIfTI packed": write_nifti(volume, packed=True),
    }
    files["ZIP"] = write_zip({"a": files["DICOM"], "b": files["PNG"], "c": write_zip({"d": files["JPEG"]})})
    frames: dict[str, Callable[[], bytes]] = {
        "51": lambda: imagecodecs.jpeg8_encode(unsigned, bitspersample=12),
        "70": lambda: imagecodecs.jpeg8_encode(unsigned, lossless=True, predictor=1, bitspersample=12),
        "80": lambda: imagecodecs.jpegls_encode(unsigned),
        "90": lambda: imagecodecs.jpeg2k_encode(unsigned, codecformat="J2K", reversible=True),
        "201": lambda: imagecodecs.htj2k_encode(unsigned, reversible=True),
    }
    for syntax, frame in frames.items():
        files[f"DICOM {JPEG}{syntax}"] = write_compressed(make_dataset(unsigned), JPEG + syntax, [frame()])
    files["DICOM RLE"] = _run_length(pixels)
    return files


def _run_length(pixels: np.ndarray) -> bytes:
    dataset = make_dataset(pixels)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.compress(RLELossless, generate_instance_uid=False)
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


EXTREMES = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80"]


def mutate(data: bytes, random: np.random.Generator) -> bytes:
    """``data`` with one to eight wounds; most of them in the first kilobyte, where headers are."""
    wounded = bytearray(data)
    for _ in range(int(random.integers(1, 9))):
        reach = min(len(wounded), 1024) if random.random() < 0.6 else len(wounded)
        if not reach:
            break
        at, length = int(random.integers(reach)), int(random.geometric(0.05))
        match int(random.integers(13)):
            case 0 | 1 | 2 | 3:
                wounded[at] ^= 1 << int(random.integers(8))
            case 4 | 5:
                wounded[at] = int(random.integers(256))
            case 6:
                del wounded[at : at + length]
            case 7:
                wounded[at:at] = wounded[at : at + length]
            case 8 | 9:
                wounded[at : at + 4] = EXTREMES[int(random.integers(len(EXTREMES)))]
            case 10 | 11:
                wounded[at : at + length] = random.bytes(length)
            case _:
                del wounded[max(1, int(random.integers(len(wounded)))) :]
    return bytes(wounded)


def outcome(data: bytes) -> str:
    """What comes of reading ``data``: "read", "refused", or what went wrong."""
    try:
        study = read_study([data], LIMITS)
        said = [item.reason for item in study.set_aside]
        for series in study.series:
            for entry in series.entries:
                try:
                    entry.read()
                except LungAppError as error:
                    said.append(str(error))
        sound = bool(study.series) and not said
    except LungAppError as error:
        said, sound = [str(error)], False
    except BaseException as error:
        return f"stray {type(error).__name__}"
    bad = [text for text in said if "Traceback" in text or SECRET in text or 'File "' in text or len(text) > 400]
    return "bad message" if bad else "read" if sound else "refused"


def _serve(pipe: Connection) -> None:
    outcome(seeds()["DICOM"])  # imports and first calls are not to be counted
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while True:
        data = pipe.recv_bytes()
        result = outcome(data)
        pipe.send((result, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


@dataclass
class Tally:
    """What came of one format's files."""

    outcomes: Counter = field(default_factory=Counter)
    slowest: float = 0.0
    memory: float = 0.0


class Reader:
    """A child process that reads, and is replaced when it dies or hangs."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def _start(self) -> None:
        self._pipe, other = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(other,), daemon=True)
        self._process.start()
        other.close()
        self._warm = False

    def read(self, data: bytes) -> tuple[str, float, float]:
        """Outcome, seconds, and MiB that the child has grown by so far."""
        begin = time.perf_counter()
        try:
            self._pipe.send_bytes(data)
            # The first answer waits for imports.
            if self._pipe.poll(SECONDS if self._warm else 120):
                result, memory = self._pipe.recv()
                self._warm, took = True, time.perf_counter() - begin
                return (result if memory < MEMORY_MIB else "memory"), took, memory
            result = "hang"
        except (EOFError, ConnectionError):
            result = "crash"
        self._process.kill()
        self._process.join()
        self._start()
        return result, time.perf_counter() - begin, 0.0

    def close(self) -> None:
        self._process.kill()
        self._process.join()


def run(count: int, seed: int) -> Iterator[tuple[str, bytes, str, float, float]]:
    """Read ``count`` mutated files: format, file, outcome, seconds, MiB."""
    files = list(seeds().items())
    random = np.random.default_rng(seed)
    reader = Reader()
    reader.read(files[0][1])
    try:
        for number in range(count):
            name, data = files[number % len(files)]
            wounded = mutate(data, random)
            yield name, wounded, *reader.read(wounded)
    finally:
        reader.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tallies: dict[str, Tally] = defaultdict(Tally)
    wrong = 0
    for name, data, result, took, memory in run(options.files, options.seed):
        tally = tallies[name]
        tally.outcomes[result] += 1
        tally.slowest, tally.memory = max(tally.slowest, took), max(tally.memory, memory)
        if result not in ("read", "refused"):
            wrong += 1
            KEPT.mkdir(parents=True, exist_ok=True)
            (KEPT / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
            print(f"{name}: {result}", flush=True)
    print(f"{'format':<36}{'files':>7}{'read':>7}{'refused':>9}{'wrong':>7}{'slowest':>10}{'memory':>10}")
    for name, tally in tallies.items():
        read, refused = tally.outcomes["read"], tally.outcomes["refused"]
        total = tally.outcomes.total()
        bad = total - read - refused
        print(f"{name:<36}{total:>7}{read:>7}{refused:>9}{bad:>7}{tally.slowest:>8.2f} s{tally.memory:>6.0f} MiB")
    print(f"{options.files} files, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
