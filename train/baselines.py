"""Two baselines that see no lesion, on the same splits and folds and with the same figures as the models.

    python -m train.baselines [--data FOLDER]

writes ``train/results/baselines.json`` and the folds' predictions into ``train/results/crossval/``; about a minute. A
model's figure has to be read against these: the first measures how much a protocol rewards memory, the second how much
the scanner's settings give away.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from lungapp.errors import LungAppError
from lungapp.reading import read_slice
from lungapp.registry import LABELS
from train.card import BASELINES, PREDICTIONS
from train.data import IMAGE_LEVEL_SEEDS, PROTOCOLS, Entry, find_dataset, read_manifest, read_split, thumbnail
from train.folds import FOLDS, KEPT, fold_parts
from train.metrics import Judged, figures
from train.pipeline import Part
from train.predict import write_predictions

FILE = PREDICTIONS / "baselines.json"


def statistics(picture: np.ndarray) -> np.ndarray:
    """(14,) float: grey and noise statistics of a whole picture (rows, columns), 0 to 255; none knows of a lesion.

    Mean, spread, five quantiles, shares of black and white, mean absolute step along rows and columns, and the mean,
    spread and mean step of the border strips.
    """
    border = np.concatenate(
        [picture[:16].ravel(), picture[-16:].ravel(), picture[:, :16].ravel(), picture[:, -16:].ravel()]
    )
    return np.array(
        [
            picture.mean(),
            picture.std(),
            *np.percentile(picture, (5, 25, 50, 75, 95)),
            np.mean(picture == 0),
            np.mean(picture == 255),
            np.abs(np.diff(picture, axis=1)).mean(),
            np.abs(np.diff(picture, axis=0)).mean(),
            border.mean(),
            border.std(),
            np.abs(np.diff(picture[:16], axis=1)).mean(),
        ]
    )


def nearest_neighbour(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """(n, labels) one-hot: the label of the training thumbnail with the highest correlation."""

    def normalised(flat: np.ndarray) -> np.ndarray:
        centred = flat - flat.mean(axis=1, keepdims=True)
        return centred / np.linalg.norm(centred, axis=1, keepdims=True)

    return np.eye(len(LABELS))[labels[np.argmax(normalised(test) @ normalised(train).T, axis=1)]]


class Baselines:
    """Both baselines on the distinct slices of the dataset in ``root``."""

    def __init__(self, root: Path, entries: list[Entry]) -> None:
        self.entries = [entry for entry in entries if not entry.duplicate_of]
        pictures = [read_slice(root / entry.file).pixels for entry in self.entries]
        self.labels = np.array([LABELS.index(entry.label) for entry in self.entries])
        self.groups = np.array([entry.group for entry in self.entries])
        self._greys = np.stack([statistics(picture) for picture in pictures])
        self._thumbnails = np.stack([thumbnail(picture).ravel() for picture in pictures])

    def predict(self, name: str, parts: dict[str, str], seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Fit baseline ``name`` on the training part.

        Returns
        -------
        The test slices' places in ``entries`` (n,) int and their probabilities (n, labels).
        """
        part = np.array([parts[entry.file] for entry in self.entries])
        train, test = np.flatnonzero(part == "train"), np.flatnonzero(part == "test")
        if name == "nearest_neighbour":
            return test, nearest_neighbour(self._thumbnails[train], self.labels[train], self._thumbnails[test])
        forest = RandomForestClassifier(500, class_weight="balanced", random_state=seed)
        return test, forest.fit(self._greys[train], self.labels[train]).predict_proba(self._greys[test])

    def on_splits(self, name: str, protocol: str) -> dict[str, Any]:
        """The figures of baseline ``name`` on the single splits of ``protocol``."""
        # The grouped split is one, and a look-up has no seed.
        seeds = IMAGE_LEVEL_SEEDS[:1] if (name, protocol) == ("nearest_neighbour", "grouped") else IMAGE_LEVEL_SEEDS
        judged = []
        for seed in seeds:
            test, probabilities = self.predict(name, read_split(protocol, seed), seed)
            units = self.groups[test] if protocol == "grouped" else test
            judged.append(Judged(probabilities, self.labels[test], units))
        return figures(judged)

    def write_fold(self, name: str, protocol: str, fold: int, kept: Path = KEPT) -> None:
        """Write the held-out predictions of one fold where the models' lie, as logarithms of probabilities."""
        test, probabilities = self.predict(name, fold_parts(self.entries, protocol, fold), fold)
        files = tuple(self.entries[place].file for place in test)
        held_out = Part(files, np.empty(0), self.labels[test], self.groups[test])
        folder = kept / protocol / f"fold{fold}" / name
        folder.mkdir(parents=True, exist_ok=True)
        write_predictions(folder / "test.csv", held_out, np.log(np.maximum(probabilities, 1e-4)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    try:
        baselines = Baselines(find_dataset(parser.parse_args().data), read_manifest())
    except LungAppError as error:
        sys.exit(str(error))
    results: dict[str, dict[str, Any]] = {name: {} for name in BASELINES}
    for name in BASELINES:
        for protocol in PROTOCOLS:
            found = results[name][protocol] = baselines.on_splits(name, protocol)
            for fold in range(FOLDS):
                baselines.write_fold(name, protocol, fold)
            shown = {key: found[key]["value"] for key in ("accuracy", "balanced_accuracy", "auc_malignant")}
            print(f"{name:18} {protocol:12} {shown}")
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
