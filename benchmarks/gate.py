"""Try the input gate on what it should let in and on what it should keep out, and print or write the table.

    python -m benchmarks.gate [--data FOLDER] [--samples FOLDER] [--extra FOLDER] [--write]

Strangers are drawn or shipped by installed packages (`tests.strangers`); with a folder of samples its real ones and its
DICOM series are tried, with the dataset its slices and what becomes of them turned, inverted, joined and cropped.
``--extra`` is any folder of pictures that are no chest CT. ``--write`` renders ``docs/gate.md``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from lungapp.anatomy import Anatomy
from lungapp.errors import LungAppError
from lungapp.quality import assess
from lungapp.quality.rules import REJECTING, WARNING
from lungapp.reading import read_slice
from lungapp.slices import MEDIASTINUM, Slice, Window
from tests.strangers import families
from tests.strangers.making import in_window
from train.data import find_dataset
from train.folds import held_out, learnt_from

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "gate.md"
REFUSED = "refused by reading"
ELSEWHERE = "8-bit pictures from two other collections"
SERIES = {"lidc-idri-0001": 0, "lung-pet-ct-dx-a0001": 8, "lung-pet-ct-dx-a0002": 2}
"""Patients, and how many slices at the start of the series show a neck, which is to be rejected."""
WINDOWS = {
    "-600/1500": Window(-600, 1500),
    "-450/1100": Window(-450, 1100),
    "-700/1000": Window(-700, 1000),
    "0/2500": Window(0, 2500),
    "mediastinum 40/400": MEDIASTINUM,
}


class Row:
    """What the gate said of one kind of pictures."""

    def __init__(self, name: str, items: Iterable[Slice | None]) -> None:
        self.name, self.verdicts, self.codes, self.milliseconds = name, Counter[str](), Counter[str](), 0.0
        for item in items:
            if item is None:
                self.verdicts["reject"] += 1
                self.codes[REFUSED] += 1
                continue
            start = time.process_time()
            report = assess(Anatomy(item))
            self.milliseconds += 1000 * (time.process_time() - start)
            self.verdicts[report.verdict] += 1
            self.codes.update(finding.code for finding in report.findings)

    @property
    def count(self) -> int:
        return self.verdicts.total()

    def line(self) -> str:
        numbers = " | ".join(str(self.verdicts[verdict]) for verdict in ("accept", "warn", "reject"))
        codes = ", ".join(f"{code} {number}" for code, number in self.codes.most_common(4))
        return f"| {self.name} | {self.count} | {numbers} | {codes} |"


def read(files: Iterable[Path]) -> Iterator[Slice | None]:
    """Slices; None where reading refuses a file."""
    for file in files:
        try:
            yield read_slice(file)
        except LungAppError:
            yield None


def strangers(samples: Path | None, extra: Path | None) -> Iterator[Row]:
    """Pictures that are no axial chest CT."""
    for name, items in families():
        yield Row(f"{name} (drawn)" if "DICOM" not in name and "photographs" not in name else name, items)
    if samples:
        for folder in sorted(path for path in (samples / "not-chest-ct").iterdir() if path.is_dir()):
            yield Row(f"{folder.name} (real)", read(sorted(folder.iterdir())))
        yield from _planes(samples)
        for name, necks in SERIES.items():
            if necks:
                files = sorted((samples / "dicom" / name).rglob("*.dcm"))
                yield Row(f"neck of {name}", read(files[:necks]))
    if extra:
        yield Row("further pictures", read(sorted(path for path in extra.rglob("*.*") if path.is_file())))


def _planes(samples: Path) -> Iterator[Row]:
    """Coronal and sagittal planes of the real series, resampled to square pixels."""
    for name in SERIES:
        files = sorted((samples / "dicom" / name).rglob("*.dcm"))
        volume = np.stack([item.pixels for item in read(files) if item is not None])[::-1]
        for plane, axis in (("coronal", 1), ("sagittal", 2)):
            cuts = [np.take(volume, at, axis) for at in range(120, 400, 20)]
            yield Row(f"{plane} planes of {name}", (Slice(cv2.resize(cut, (512, 320)), "HU") for cut in cuts))


def altered(slices: list[Slice]) -> Iterator[Row]:
    """Dataset slices that were made unfit."""
    changes: dict[str, Callable[[Slice], np.ndarray]] = {
        "turned by 90 degrees": lambda item: np.rot90(item.pixels),
        "inverted": lambda item: 255 - item.pixels,
        "twice side by side": lambda item: np.hstack([item.pixels, item.pixels]),
        "the middle alone": lambda item: item.pixels[128:-128, 128:-128],
        "thresholded": lambda item: np.where(item.pixels > 128, 255, 0),
    }
    for name, change in changes.items():
        yield Row(f"dataset slices, {name}", (Slice(change(item), "grey", item.info) for item in slices))


def chests(samples: Path | None, data: Path | None) -> Iterator[Row]:
    """Axial chest CT."""
    if data:
        for title, entries in {"learnt from": learnt_from(), "held out": held_out()}.items():
            yield Row(f"dataset, slices {title}", read([data / entry.file for entry in entries]))
    if samples:
        yield Row(ELSEWHERE, read(sorted((samples / "chest-ct-elsewhere").iterdir())))
        for name, necks in SERIES.items():
            files = sorted((samples / "dicom" / name).rglob("*.dcm"))[necks:]
            slices = [item for item in read(files) if item]
            yield Row(name, slices)
            for title, window in WINDOWS.items():
                yield Row(f"{name} as 8-bit pictures, {title}", (in_window(item.pixels, window) for item in slices))


def summary(rows: list[Row], verdicts: tuple[str, ...]) -> str:
    count = sum(row.count for row in rows)
    hit = sum(row.verdicts[verdict] for row in rows for verdict in verdicts)
    return f"{hit} of {count} ({100 * hit / count:.1f} %)" if count else "none"


def table(rows: list[Row]) -> str:
    head = "| Pictures | Slices | accept | warn | reject | findings, the most frequent |\n|" + 6 * " --- |"
    return "\n".join([head, *(row.line() for row in rows)])


def rules_table() -> str:
    """The ranges of `lungapp.quality.rules`."""
    rows = [
        f"| {rule.measure} | {rule.low:g} to {rule.high:g} | {rule.code} | {effect} |"
        for effect, rules in (("reject", REJECTING), ("doubt", WARNING))
        for rule in rules
    ]
    return "\n".join(["| Measure | Expected | Outside | which is |\n|" + 4 * " --- |", *rows])


def document(outside: list[Row], inside: list[Row]) -> str:
    """``docs/gate.md``."""
    every = [*outside, *inside]
    unlearnt = [row for row in inside if "held out" in row.name]
    others = [row for row in inside if row.name in SERIES]
    pictures = [row for row in inside if row.name == ELSEWHERE]
    windowed = [row for row in inside if "as 8-bit" in row.name and "mediastinum" not in row.name]
    erased = [row for row in inside if "mediastinum" in row.name]
    milliseconds = sum(row.milliseconds for row in every) / sum(row.count for row in every)
    passing = "accept", "warn"
    return f"""# The input gate, tried

<!-- Rendered by `python -m benchmarks.gate --write`; do not edit. -->

What the gate looks for stands in [`lungapp/quality/rules.py`](../lungapp/quality/rules.py), as a table of measures and
their ranges; none of it names a kind of wrong picture. {milliseconds:.0f} ms of processor time a
slice.

- No axial chest CT, rejected: **{summary(outside, ("reject",))}**
- Held-out slices of the dataset, accepted: **{summary(unlearnt, ("accept",))}**
- Chest CT of other scanners, accepted or with a warning: in HU **{summary(others, passing)}**, as 8-bit pictures in
  lung and wide windows **{summary(windowed, passing)}**, in a mediastinal window **{summary(erased, passing)}**
- 8-bit chest CT from two other collections, accepted or with a warning: **{summary(pictures, passing)}**

How to read it: the drawn strangers are rough, and the ranges were set with the dataset's, the samples' and these
pictures' measures in view, so the figures are optimistic about pictures of other kinds. The other scanners are three,
with one patient each, slices without any lung set aside as necks.

## How it judges

Greys of a picture are first brought to one scale by its air and its soft tissue
([`lungapp/greys.py`](../lungapp/greys.py)), so one table of ranges holds for HU and for pictures in any window. What no
chest is like rejects. What few chests are like is a doubt, which warns; two doubts of different kinds reject.

{rules_table()}

A picture unlike the training slices (`unusual`) is a doubt too: by itself it warns and does not reject.

## Not an axial chest CT

{table(outside)}

## Axial chest CT

A mediastinal window leaves nothing of the lungs in an 8-bit picture: the gate warns and asks for another one.

{table(inside)}
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA")
    parser.add_argument(
        "--samples", type=Path, default=os.environ.get("LUNGAPP_SAMPLES"), help="default LUNGAPP_SAMPLES"
    )
    parser.add_argument("--extra", type=Path, help="a folder of pictures that are no axial chest CT")
    parser.add_argument("--write", action="store_true", help="render docs/gate.md; needs data and samples")
    options = parser.parse_args(arguments)
    samples = Path(options.samples) if options.samples else None
    data = find_dataset(options.data) if options.data or os.environ.get("LUNGAPP_DATA") else None
    if options.write and not (samples and data):
        parser.error("--write needs the dataset and the samples")
    outside = list(strangers(samples, options.extra))
    if data:
        files = [data / entry.file for entry in held_out()[::4]]
        outside += altered([item for item in read(files) if item])
    text = document(outside, list(chests(samples, data)))
    print(text)
    if options.write:
        DOCUMENT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
