"""Logits of a model on held-out slices, and the small CSV files that keep them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from lungapp.anatomy import Anatomy
from lungapp.preprocessing import to_input
from lungapp.reading import read_slice
from lungapp.registry import LABELS, ModelSpec
from train.data import Entry, check_files
from train.folds import FOLDS

RESULTS = Path(__file__).parent / "results"
"""Committed logits on held-out slices, <protocol>/fold<K>/<model or baseline>/test.csv."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """``logits`` (n, labels) float64, ``labels`` (n,) int, ``groups`` (n,) int, one row a held-out slice."""

    files: tuple[str, ...]
    logits: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def probabilities(self, temperature: float = 1.0) -> np.ndarray:
        """(n, labels) softmax of the logits over ``temperature``."""
        scaled = self.logits / temperature
        exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


def logits_of(model: keras.Model, inputs: np.ndarray, batch: int = 32) -> np.ndarray:
    """(n, labels) float32 logits for inputs (n, size, size, 1)."""
    view = keras.Model(model.input, model.get_layer("logits").output)
    return view.predict(inputs, batch_size=batch, verbose=0)


def inputs_of(root: Path, entries: Sequence[Entry], spec: ModelSpec) -> np.ndarray:
    """(n, size, size, 1) float32: the model inputs of ``entries`` below ``root``, as they are served.

    Raises `DatasetDamaged` where a file of the manifest is missing.
    """
    check_files(root, entries)
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(lambda entry: to_input(Anatomy(read_slice(root / entry.file)), spec), entries)))


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write ``predictions`` as CSV, a row a slice."""
    _write(path, (), [((), predictions)])


def write_conditions(path: Path, by_condition: Mapping[str, Predictions]) -> None:
    """Write the predictions on changed slices as CSV, a row a slice and condition."""
    _write(path, ("condition",), [((name,), predictions) for name, predictions in by_condition.items()])


def _write(path: Path, head: tuple[str, ...], blocks: Sequence[tuple[tuple[str, ...], Predictions]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*head, "file", "label", "group", *LABELS))
        for first, predictions in blocks:
            rows = zip(predictions.files, predictions.labels, predictions.groups, predictions.logits, strict=True)
            for name, label, group, row in rows:
                writer.writerow((*first, name, LABELS[label], group, *(f"{value:.4f}" for value in row)))


def read_predictions(path: Path, condition: str | None = None) -> Predictions:
    """The rows of a CSV file; of an ``audit.csv`` those of one ``condition``."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if condition is None or row["condition"] == condition]
    return Predictions(
        tuple(row["file"] for row in rows),
        np.array([[float(row[label]) for label in LABELS] for row in rows]),
        np.array([LABELS.index(row["label"]) for row in rows]),
        np.array([int(row["group"]) for row in rows]),
    )


def read_folds(name: str, protocol: str, results: Path | None = None, file: str = "test.csv") -> list[Predictions]:
    """The held-out slices of every fold as model or baseline ``name`` scores them; empty unless every fold is there."""
    paths = [(results or RESULTS) / protocol / f"fold{fold}" / name / file for fold in range(FOLDS)]
    return [read_predictions(path) for path in paths] if all(path.is_file() for path in paths) else []


def pooled(folds: Sequence[Predictions]) -> Predictions:
    """The slices of all ``folds``, one after another."""
    return Predictions(
        tuple(file for fold in folds for file in fold.files),
        np.concatenate([fold.logits for fold in folds]),
        np.concatenate([fold.labels for fold in folds]),
        np.concatenate([fold.groups for fold in folds]),
    )
