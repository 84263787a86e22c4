"""IQ-OTH/NCCD: find it, check it, list it, group similar slices.

    python -m train.data [--data FOLDER] [--download]

writes ``train/splits/manifest.csv``; about 15 s. `train.folds` makes the folds from it.

The dataset has no patient identifiers, and neighbouring slices of one patient are nearly the same picture. A random
split therefore asks a model to recognise pictures it has seen. `similarity_groups` rebuilds groups that must stay on
one side; a group is no proof of a patient, only a guard against near-duplicates.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields, replace
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from scipy.sparse.csgraph import connected_components

from lungapp.errors import DatasetDamaged, DatasetNotFound, LungAppError
from lungapp.reading import read_slice
from lungapp.registry import LABELS

KAGGLE = "hamdallak/the-iqothnccd-lung-cancer-dataset"
FOLDERS = {"normal": ("normal cases",), "benign": ("bengin cases", "benign cases"), "malignant": ("malignant cases",)}
"""Folder names in lower case; the release spells one of them "Bengin"."""

PROTOCOLS = ("image_level", "grouped")
SPLITS = Path(__file__).parent / "splits"
SIMILAR = 0.90
HELP = f"""Get the dataset from its publisher (doi 10.17632/bhmdr45bh2, or Kaggle {KAGGLE}), unpack it so
that the folders "Normal cases", "Bengin cases" and "Malignant cases" lie in one folder, and name that folder with
--data or in LUNGAPP_DATA, or put them into data/."""


@dataclass(frozen=True)
class Entry:
    """One file. ``digest`` is the SHA-256 of its grey values and shape, so re-encoded copies compare equal.

    ``duplicate_of`` names the first file with the same digest; ``group`` is the similarity group, -1 for duplicates.
    """

    file: str
    label: str
    digest: str
    rows: int
    columns: int
    duplicate_of: str = ""
    group: int = -1


def find_dataset(data: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder that holds the three class folders: ``data``, else LUNGAPP_DATA, else ``data/``.

    A folder up to three levels further down is found too, as archives unpack with extra levels.
    Raises `DatasetNotFound`.
    """
    place = Path(data or environ.get("LUNGAPP_DATA") or "data")
    below = (folder for pattern in ("*/", "*/*/", "*/*/*/") for folder in sorted(place.glob(pattern)))
    for folder in chain([place] if place.is_dir() else [], below):
        if len(_class_folders(folder)) == len(LABELS):
            return folder
    raise DatasetNotFound(f"Expected the IQ-OTH/NCCD class folders in {place}. Received: none there.\n{HELP}")


def download(target: Path = Path("data")) -> Path:
    """Fetch the dataset with kagglehub into ``target``. Raises `DatasetNotFound` with what to do by hand."""
    try:
        import kagglehub

        fetched = find_dataset(kagglehub.dataset_download(KAGGLE))
    except DatasetNotFound:
        raise
    except Exception as error:  # kagglehub lets through whatever its HTTP client, archive reader or log-in raise
        raise DatasetNotFound(f"Kaggle could not be reached or refused ({type(error).__name__}).\n{HELP}") from error
    return Path(shutil.copytree(fetched, target, dirs_exist_ok=True))


def _class_folders(root: Path) -> dict[str, Path]:
    present = {folder.name.lower(): folder for folder in root.iterdir() if folder.is_dir()}
    return {label: present[name] for label, names in FOLDERS.items() for name in names if name in present}


def build_manifest(root: Path) -> list[Entry]:
    """List, check and group every picture below ``root``, in a stable order.

    Raises `DatasetDamaged` for a copy whose grey values were altered, `DatasetNotFound` for an empty one.
    """
    files = [
        (label, path)
        for label, folder in _class_folders(root).items()
        for path in sorted(folder.iterdir(), key=_natural)
        if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    ]
    if not files:
        raise DatasetNotFound(f"Expected JPEG or PNG files in the class folders. Received: none.\n{HELP}")
    with ThreadPoolExecutor() as pool:
        pictures = list(pool.map(lambda item: read_slice(item[1]).pixels.astype(np.uint8), files))
    check_undamaged(pictures)
    entries: list[Entry] = []
    first: dict[str, str] = {}
    for (label, path), picture in zip(files, pictures, strict=True):
        digest = hashlib.sha256(str(picture.shape).encode() + picture.tobytes()).hexdigest()
        name = path.relative_to(root).as_posix()
        duplicate_of = first.setdefault(digest, name)
        rows, columns = picture.shape
        entries.append(Entry(name, label, digest, rows, columns, duplicate_of if duplicate_of != name else ""))
    distinct = [i for i, entry in enumerate(entries) if not entry.duplicate_of]
    groups = similarity_groups([pictures[i] for i in distinct])
    for i, group in zip(distinct, groups, strict=True):
        entries[i] = replace(entries[i], group=int(group))
    return entries


def check_undamaged(pictures: Iterable[np.ndarray]) -> None:
    """Refuse copies that were histogram-equalised and thresholded at 128, which erases lungs and nodules.

    Such pictures are 85 % zeros with no grey between 1 and 127; an undamaged slice has its air at 38 to 43 and less
    than 1 % zeros (but for letterboxed ones). One picture in ten is enough to stop.
    """
    damaged = [
        bool(np.mean(picture == 0) > 0.5 and np.mean((picture > 0) & (picture < 128)) < 0.02) for picture in pictures
    ]
    if np.mean(damaged) > 0.1:
        raise DatasetDamaged(
            f"Expected grey slices with air at about 38 of 255. Received: {sum(damaged)} of {len(damaged)} pictures "
            f"thresholded at 128, as in several damaged copies in circulation: lungs and nodules are erased.\n{HELP}"
        )


def similarity_groups(pictures: list[np.ndarray], threshold: float = SIMILAR) -> np.ndarray:
    """Number the groups of slices that look alike: single linkage on the correlation of 64 x 64 thumbnails.

    At a correlation of 0.90 the 1,054 distinct slices fall into 117 groups, the largest of 54 slices, two of them
    across classes; 110 patients were scanned. Looked at, groups are runs of consecutive file numbers that show one
    patient, here and there two of like build chained together. At 0.95 runs break apart (178 groups), so neighbours
    would part; at 0.85 single linkage chains 630 slices of many patients. A published audit of this dataset also
    arrives at 117. Levels of a patient that look different can still lie in different groups.

    Parameters
    ----------
    pictures : arrays (rows, columns) of grey levels, of any sizes.

    Returns
    -------
    (len(pictures),) int, from 0, in order of first appearance.
    """
    flat = np.stack([thumbnail(picture).ravel() for picture in pictures])
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True) + 1e-12
    return connected_components(flat @ flat.T > threshold, directed=False)[1]


def thumbnail(picture: np.ndarray, side: int = 64) -> np.ndarray:
    """(side, side) float32: the whole picture, letterboxed on its own darkest grey."""
    scale = side / max(picture.shape)
    rows, columns = (max(1, round(length * scale)) for length in picture.shape)
    small = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
    square = np.full((side, side), small.min(), np.float32)
    top, left = (side - rows) // 2, (side - columns) // 2
    square[top : top + rows, left : left + columns] = small
    return square


def write_manifest(entries: list[Entry], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Entry))
        writer.writerows(astuple(entry) for entry in entries)


def read_manifest(path: Path = SPLITS / "manifest.csv") -> list[Entry]:
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Entry(
                row["file"],
                row["label"],
                row["digest"],
                int(row["rows"]),
                int(row["columns"]),
                row["duplicate_of"],
                int(row["group"]),
            )
            for row in csv.DictReader(file)
        ]


def check_files(root: Path, entries: Sequence[Entry]) -> None:
    """Raise `DatasetDamaged` where a file of ``entries`` is missing below ``root``."""
    missing = [entry.file for entry in entries if not (root / entry.file).is_file()]
    if missing:
        raise DatasetDamaged(
            f"Expected every file of the manifest. Missing: {len(missing)}, first {missing[0]!r}. "
            "Run `python -m train.data` to write a manifest of your copy."
        )


def distinct_entries(path: Path = SPLITS / "manifest.csv") -> list[Entry]:
    """The entries of the committed manifest without the copies of another."""
    return [entry for entry in read_manifest(path) if not entry.duplicate_of]


def manifest_digest(entries: list[Entry]) -> str:
    """SHA-256 over what training depends on: file, label, pixel digest, group."""
    rows = sorted(f"{e.file}|{e.label}|{e.digest}|{e.group}" for e in entries)
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _natural(path: Path) -> tuple[int, str]:
    digits = "".join(character for character in path.stem if character.isdigit())
    return int(digits or 0), path.name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with the three class folders; default LUNGAPP_DATA, then data/")
    parser.add_argument("--download", action="store_true", help="fetch the dataset from Kaggle into data/ first")
    parser.add_argument("--out", type=Path, default=SPLITS, help="where the manifest goes")
    arguments = parser.parse_args()
    try:
        root = download() if arguments.download else find_dataset(arguments.data)
        entries = build_manifest(root)
    except LungAppError as error:
        sys.exit(str(error))
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_manifest(entries, arguments.out / "manifest.csv")
    distinct = [entry for entry in entries if not entry.duplicate_of]
    print(
        f"{len(entries)} files, {len(distinct)} distinct, {len({e.group for e in distinct})} groups of similar slices"
    )


if __name__ == "__main__":
    main()
