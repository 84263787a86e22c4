"""The ensemble: the mean of the members' calibrated probabilities, measured like a model.

There is no weights file: the application averages what the members say.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lungapp.cards import ENSEMBLE, ModelCard
from train.calibrate import rules_of
from train.card import measured
from train.data import PROTOCOLS
from train.predict import Predictions, read_folds


def mean_of(members: Sequence[Predictions], temperatures: Sequence[float]) -> Predictions:
    """The members' mean of probabilities, each over its own temperature, as logits: the logarithm of the mean.

    Its ``probabilities()`` at temperature 1 are that mean. Raises `ValueError` unless the members' rows are the same
    slices in the same order.
    """
    first = members[0]
    for other in members[1:]:
        same = other.files == first.files and np.array_equal(other.groups, first.groups)
        if not same or not np.array_equal(other.labels, first.labels):
            raise ValueError(
                f"Expected the members to score the same slices in the same order, {len(first.files)} beginning with "
                f"{first.files[0]}. Received: {len(other.files)} beginning with {other.files[0]}, or other labels."
            )
    pairs = zip(members, temperatures, strict=True)
    mean = np.mean([member.probabilities(temperature) for member, temperature in pairs], axis=0)
    return Predictions(first.files, np.log(np.maximum(mean, 1e-300)), first.labels, first.groups)


def mean_folds(names: Sequence[str], protocol: str, results: Path | None = None) -> list[Predictions]:
    """Every fold as the mean of the models ``names`` scores it, each calibrated by its other folds; empty unless every
    model has every fold.
    """
    members = [read_folds(name, protocol, results) for name in names]
    if not members or not all(members):
        return []
    temperatures = [[rule["temperature"] for rule in rules_of(folds)] for folds in members]
    return [
        mean_of(fold, fold_temperatures)
        for fold, fold_temperatures in zip(zip(*members, strict=True), zip(*temperatures, strict=True), strict=True)
    ]


def make_ensemble_card(cards: Sequence[ModelCard], results: Path | None = None) -> dict[str, Any]:
    """The ensemble's card; ``cards`` are its members', in the order of their scores' mean."""
    names = [card.name for card in cards]
    return {
        "name": ENSEMBLE,
        "title": "Ensemble",
        "labels": list(cards[0].labels),
        "members": {card.name: card.weights_sha256 for card in cards},
        **measured(
            ENSEMBLE,
            {protocol: mean_folds(names, protocol, results) for protocol in PROTOCOLS},
            results,
            temperature=1.0,
        ),
        "created": datetime.now(UTC).date().isoformat(),
        "licence": cards[0].data["licence"],
    }
