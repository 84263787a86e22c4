"""What is typical of each class among the training slices, for the page: ``python -m train.similar [--data FOLDER]``.

Writes ``lungapp/similar.json``: counts, mean and standard deviation of each of `lungapp.similar.MEASURES`, and the
training slices' names in the dataset (the grouped split's training part), so that a page that has the dataset can show
neighbours; and how often the class with the nearest measures is the right one for held-out slices. No slice is written.
About 20 s.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lungapp.errors import LungAppError
from lungapp.reading import read_slice
from lungapp.registry import LABELS
from lungapp.similar import FILE, compare, measures_of, reference
from train.data import Entry, find_dataset
from train.folds import held_out, learnt_from

DATASET = "IQ-OTH/NCCD, doi 10.17632/bhmdr45bh2"


def typical(root: Path, entries: Sequence[Entry]) -> dict[str, Any]:
    """The content of the file, of ``entries`` below ``root``; what could not be measured of a slice is left out."""
    held: dict[str, Any] = {
        "dataset": DATASET,
        "counts": {},
        "measures": {},
        "files": {},
    }
    for label in LABELS:
        files = [entry.file for entry in entries if entry.label == label]
        found = [measures_of(read_slice(root / file)) for file in files]
        held["counts"][label] = len(files)
        held["files"][label] = files
        held["measures"][label] = {
            name: [round(float(figure([each[name] for each in found])), 3) for figure in (np.nanmean, np.nanstd)]
            for name in found[0]
        }
    return held


def rightly_named(root: Path, entries: Sequence[Entry]) -> dict[str, int]:
    """Of ``entries``, how many the class with the nearest measures is the right one for: what that word is worth."""
    named = [compare(read_slice(root / entry.file)).nearest == entry.label for entry in entries]
    return {"n": len(named), "right": sum(named)}


def write(held: dict[str, Any]) -> None:
    """Write the file, readable under version control."""
    text = re.sub(r"\[\s+(-?[\d.]+),\s+(-?[\d.]+)\s+\]", r"[\1, \2]", json.dumps(held, indent=1))
    FILE.write_text(text + "\n", encoding="utf-8")
    reference.cache_clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    try:
        root = find_dataset(parser.parse_args().data)
        held = typical(root, learnt_from())
        write(held)
        write(held | {"held_out": rightly_named(root, held_out())})
    except (LungAppError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
