"""Made-up logits of all folds of the committed manifest, where the project keeps the real ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lungapp.registry import LABELS
from train.data import PROTOCOLS, distinct_entries
from train.folds import FOLDS, fold_parts
from train.predict import Predictions, write_predictions


def write_results(
    folder: Path, names: Iterable[str], protocols: Iterable[str] = PROTOCOLS, signal: float = 2.0
) -> None:
    """Write ``<protocol>/fold<K>/<name>/test.csv``: noise, and ``signal`` on the true class."""
    for number, name in enumerate(names):
        for protocol in protocols:
            for fold in range(FOLDS):
                run = folder / protocol / f"fold{fold}" / name
                run.mkdir(parents=True)
                write_predictions(run / "test.csv", held_out(protocol, fold, signal, seed=number))


def held_out(protocol: str, fold: int, signal: float, seed: int = 0) -> Predictions:
    """Made-up logits on the held-out slices of one fold."""
    entries = distinct_entries()
    parts = fold_parts(entries, protocol, fold)
    own = [entry for entry in entries if parts[entry.file] == "test"]
    labels = np.array([LABELS.index(entry.label) for entry in own])
    logits = np.random.default_rng((seed, fold)).normal(size=(len(own), 3)) + signal * np.eye(3)[labels]
    return Predictions(tuple(entry.file for entry in own), logits, labels, np.array([entry.group for entry in own]))
