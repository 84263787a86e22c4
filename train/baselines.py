"""Three baselines on the folds of the models.

    python -m train.baselines [--data FOLDER] [--runs runs]

writes their predictions into ``train/results/``; some minutes. A model's figure has to be read against these: the first
measures how much a protocol rewards memory, the second how much the scanner's settings give away, and the third what
ImageNet features of the cavity give without any lesion having been taught.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from lungapp.errors import LungAppError
from lungapp.reading import read_slice
from lungapp.registry import LABELS, get_spec
from train.card import BASELINES
from train.data import PROTOCOLS, Entry, find_dataset, read_manifest, thumbnail
from train.features import RUNS, features
from train.fit import weights_of_slices
from train.folds import FOLDS, fold_parts
from train.predict import RESULTS, Predictions, write_predictions
from train.recipes import GROUPED


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


def frozen_features(maps: np.ndarray, labels: np.ndarray, groups: np.ndarray, train: np.ndarray) -> Pipeline:
    """What is fitted on pooled, frozen ImageNet features, ``maps`` (n, channels), of the slices ``train`` (m,) int."""
    weights = weights_of_slices(labels[train], groups[train], GROUPED)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    return pipeline.fit(maps[train], labels[train], logisticregression__sample_weight=weights)


class Baselines:
    """All baselines on the distinct slices of the dataset in ``root``."""

    def __init__(self, root: Path, entries: list[Entry], maps: np.ndarray) -> None:
        """``maps`` (n, channels): the features of `features_of`, of the distinct ``entries`` in their order."""
        self.entries = [entry for entry in entries if not entry.duplicate_of]
        pictures = [read_slice(root / entry.file).pixels for entry in self.entries]
        self.labels = np.array([LABELS.index(entry.label) for entry in self.entries])
        self.groups = np.array([entry.group for entry in self.entries])
        self._maps = maps
        self._greys = np.stack([statistics(picture) for picture in pictures])
        self._thumbnails = np.stack([thumbnail(picture).ravel() for picture in pictures])

    def predict(self, name: str, train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        """(m, labels): the probabilities of the slices ``test`` (m,) int by baseline ``name``, fitted on ``train``."""
        if name == "nearest_neighbour":
            return nearest_neighbour(self._thumbnails[train], self.labels[train], self._thumbnails[test])
        if name == "grey_statistics":
            forest = RandomForestClassifier(500, class_weight="balanced", random_state=seed)
            return forest.fit(self._greys[train], self.labels[train]).predict_proba(self._greys[test])
        return frozen_features(self._maps, self.labels, self.groups, train).predict_proba(self._maps[test])

    def write_fold(self, name: str, protocol: str, fold: int, results: Path = RESULTS) -> None:
        """Write the held-out predictions of one fold where the models' lie, as logarithms of probabilities."""
        parts = fold_parts(self.entries, protocol, fold)
        is_test = np.array([parts[entry.file] == "test" for entry in self.entries])
        train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
        logits = np.log(np.maximum(self.predict(name, train, test, fold), 1e-4))
        folder = results / protocol / f"fold{fold}" / name
        folder.mkdir(parents=True, exist_ok=True)
        files = tuple(self.entries[place].file for place in test)
        write_predictions(folder / "test.csv", Predictions(files, logits, self.labels[test], self.groups[test]))


def features_of(root: Path, runs: Path) -> np.ndarray:
    """(slices, channels) float32: the Advanced CNN's frozen backbone, averaged over its maps, on slices as served."""
    spec = get_spec("advanced_cnn")
    made = features(spec, runs / "backbones" / f"{spec.name}.safetensors", root, runs)
    return made.maps[made.kinds == "as served"].mean(axis=(1, 2), dtype=np.float32)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    parser.add_argument("--runs", type=Path, default=RUNS)
    options = parser.parse_args(arguments)
    try:
        root = find_dataset(options.data)
        baselines = Baselines(root, read_manifest(), features_of(root, options.runs))
    except (LungAppError, OSError) as error:
        sys.exit(str(error))
    for name in BASELINES:
        for protocol in PROTOCOLS:
            for fold in range(FOLDS):
                baselines.write_fold(name, protocol, fold)
        print(f"{name}: done", flush=True)


if __name__ == "__main__":
    main()
