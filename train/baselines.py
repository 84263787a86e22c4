"""Two baselines that see no lesion, on the same splits and with the same figures as the models.

    python -m train.baselines [--data FOLDER]

writes ``train/results/baselines.json``; about 30 s. A model's figure has to be read against these: the first measures
how much a protocol rewards memory, the second how much the scanner's settings give away.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from lungapp.errors import LungAppError
from lungapp.reading import read_slice
from lungapp.registry import LABELS
from train.card import PREDICTIONS
from train.data import IMAGE_LEVEL_SEEDS, PROTOCOLS, find_dataset, read_manifest, read_split, thumbnail
from train.metrics import Judged, figures

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


def evaluate(root: Path) -> dict[str, dict[str, dict]]:
    """Baseline → protocol → figures, fitted on the training slices, judged on the test slices of every split."""
    entries = [entry for entry in read_manifest() if not entry.duplicate_of]
    pictures = [read_slice(root / entry.file).pixels for entry in entries]
    labels = np.array([LABELS.index(entry.label) for entry in entries])
    groups = np.array([entry.group for entry in entries])
    greys = np.stack([statistics(picture) for picture in pictures])
    thumbnails = np.stack([thumbnail(picture).ravel() for picture in pictures])
    results: dict[str, dict[str, dict]] = {"nearest_neighbour": {}, "grey_statistics": {}}
    for protocol in PROTOCOLS:
        nearest, forests = [], []
        for seed in IMAGE_LEVEL_SEEDS:
            parts = read_split(protocol, seed)
            part = np.array([parts[entry.file] for entry in entries])
            train, test = part == "train", part == "test"
            truth = labels[test], groups[test] if protocol == "grouped" else np.flatnonzero(test)
            nearest.append(Judged(nearest_neighbour(thumbnails[train], labels[train], thumbnails[test]), *truth))
            forest = RandomForestClassifier(500, class_weight="balanced", random_state=seed)
            forests.append(Judged(forest.fit(greys[train], labels[train]).predict_proba(greys[test]), *truth))
        once = protocol == "grouped"  # one split, and a look-up has no seed
        results["nearest_neighbour"][protocol] = figures(nearest[:1] if once else nearest)
        results["grey_statistics"][protocol] = figures(forests)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    try:
        results = evaluate(find_dataset(parser.parse_args().data))
    except LungAppError as error:
        sys.exit(str(error))
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    for name, protocols in results.items():
        for protocol, found in protocols.items():
            shown = {key: found[key]["value"] for key in ("accuracy", "balanced_accuracy", "auc_malignant")}
            print(f"{name:18} {protocol:12} {shown}")


if __name__ == "__main__":
    main()
