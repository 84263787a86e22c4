"""The folds of the cross-validation: which slices each one holds out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from train.data import PROTOCOLS, Entry, distinct_entries

FOLDS = 5
SEED = 7

SHIPPED = 0
"""The grouped fold whose weights are shipped; its held-out slices are the ones they are judged on."""


def fold_parts(entries: Sequence[Entry], protocol: str, fold: int, folds: int = FOLDS) -> dict[str, str]:
    """File → "train" or "test" for the distinct ``entries`` when ``fold`` (from 0) is held out.

    Stratified by class; ``grouped`` leaves no similarity group on two sides. Raises ValueError for an unknown protocol
    or fold.
    """
    if protocol not in PROTOCOLS or not 0 <= fold < folds:
        raise ValueError(
            f"Expected {' or '.join(PROTOCOLS)} and a fold from 0 to {folds - 1}. Received: {protocol}, {fold}"
        )
    distinct = [entry for entry in entries if not entry.duplicate_of]
    labels = np.array([entry.label for entry in distinct])
    groups = np.array([entry.group for entry in distinct])
    if protocol == "grouped":
        splits = StratifiedGroupKFold(folds, shuffle=True, random_state=SEED).split(labels, labels, groups)
    else:
        splits = StratifiedKFold(folds, shuffle=True, random_state=SEED).split(labels, labels)
    test = set(list(splits)[fold][1].tolist())
    return {entry.file: "test" if place in test else "train" for place, entry in enumerate(distinct)}


def held_out() -> list[Entry]:
    """The slices that the shipped weights did not learn from."""
    return _shipped("test")


def learnt_from() -> list[Entry]:
    """The slices that the shipped weights learnt from."""
    return _shipped("train")


def _shipped(part: str) -> list[Entry]:
    entries = distinct_entries()
    parts = fold_parts(entries, "grouped", SHIPPED)
    return [entry for entry in entries if parts[entry.file] == part]
