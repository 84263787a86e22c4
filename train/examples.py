"""Add one held-out real slice a class to the page's examples, on this machine only.

    make examples DATA=FOLDER        (python -m train.examples --data FOLDER)

Copies go to ``examples/real/``, which git ignores, with the dataset's attribution beside them: slices of the test
part of the grouped split, which no shipped model was trained on.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from lungapp.errors import LungAppError
from lungapp.registry import LABELS
from train.data import find_dataset
from train.folds import held_out

TARGET = Path(__file__).parent.parent / "examples" / "real"
ATTRIBUTION = (
    "Alyasriy, H.; AL-Huseiny, M. (2023): The IQ-OTH/NCCD lung cancer dataset. Mendeley Data, V4, "
    "doi 10.17632/bhmdr45bh2. Licence CC BY 4.0. Unchanged files, renamed.\n"
)


def copy_examples(root: Path, target: Path = TARGET) -> list[Path]:
    """Copy the first held-out slice of each class from ``root``; returns the new files."""
    target.mkdir(parents=True, exist_ok=True)
    (target / "ATTRIBUTION.txt").write_text(ATTRIBUTION, encoding="utf-8")
    copied = []
    for label in LABELS:
        entry = next(entry for entry in held_out() if entry.label == label)
        suffix = Path(entry.file).suffix
        copied.append(Path(shutil.copyfile(root / entry.file, target / f"held-out-{label}{suffix}")))
    return copied


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    try:
        copied = copy_examples(find_dataset(parser.parse_args().data))
    except (LungAppError, OSError) as error:
        sys.exit(str(error))
    print("Added to the page's examples:", ", ".join(path.name for path in copied))
    print(ATTRIBUTION, end="")


if __name__ == "__main__":
    main()
