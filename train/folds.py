"""The folds of the cross-validation: which slices each one holds out."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from train.card import PREDICTIONS
from train.data import PROTOCOLS, Entry

FOLDS = 5
SEED = 7
VALIDATION_PARTS = 8
KEPT = PREDICTIONS / "crossval"
"""Committed logits, <protocol>/fold<K>/<model or baseline>/{validation,test,audit}.csv."""

SHORTCUTS = (
    "clean",
    "lungs_only",
    "noise_equalised",
    "lungs_only_noise_equalised",
    "lungs_masked_out",
    "border_only",
    "noise_only",
)
"""The audit's conditions (`train.conditions`) that every grouped fold is held against."""


def fold_parts(entries: list[Entry], protocol: str, fold: int, folds: int = FOLDS) -> dict[str, str]:
    """File → part of the distinct ``entries`` when ``fold`` (from 0) is held out as the test part.

    Raises ValueError for an unknown protocol or fold.
    """
    if protocol not in PROTOCOLS or not 0 <= fold < folds:
        raise ValueError(
            f"Expected {' or '.join(PROTOCOLS)} and a fold from 0 to {folds - 1}. Received: {protocol}, {fold}"
        )
    distinct = [entry for entry in entries if not entry.duplicate_of]
    labels = np.array([entry.label for entry in distinct])
    groups = np.array([entry.group for entry in distinct])

    def draw(among: np.ndarray, parts: int, chosen: int) -> np.ndarray:
        if protocol == "grouped":
            splits = StratifiedGroupKFold(parts, shuffle=True, random_state=SEED)
            drawn = list(splits.split(among, labels[among], groups[among]))
        else:
            drawn = list(StratifiedKFold(parts, shuffle=True, random_state=SEED).split(among, labels[among]))
        return among[drawn[chosen][1]]

    everything = np.arange(len(distinct))
    test = draw(everything, folds, fold)
    validation = draw(np.setdiff1d(everything, test), VALIDATION_PARTS, 0)
    parts = np.full(len(distinct), "train", dtype=object)
    parts[test], parts[validation] = "test", "validation"
    return {entry.file: str(part) for entry, part in zip(distinct, parts, strict=True)}
