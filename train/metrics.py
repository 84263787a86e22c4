"""Figures of a model on held-out slices, each with a 95 % bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import metrics as sk

from lungapp.registry import LABELS

RESAMPLES = 1000
MALIGNANT = LABELS.index("malignant")


def figures(probabilities: np.ndarray, labels: np.ndarray, units: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """All figures of a card's protocol.

    Parameters
    ----------
    probabilities : (runs, n, labels); with several runs (seeds) each figure is the mean over them.
    labels : (n,) int, the truth.
    units : (n,) int, what the bootstrap draws: slices for ``image_level``, similarity groups for ``grouped``,
        because slices of a group are not independent.

    Returns
    -------
    ``n``, ``runs``, ``confusion_matrix`` (summed over runs, truth in rows) and per figure ``value`` and ``interval``
    (2.5th and 97.5th percentile of 1,000 resamples; a resample without all classes is drawn again).
    """
    values = {name: float(np.mean([f(p, labels) for p in probabilities])) for name, f in FIGURES.items()}
    draws: dict[str, list[float]] = {name: [] for name in FIGURES}
    random = np.random.default_rng(seed)
    members = [np.flatnonzero(units == unit) for unit in np.unique(units)]
    while len(draws["accuracy"]) < RESAMPLES:
        chosen = np.concatenate([members[i] for i in random.integers(len(members), size=len(members))])
        if len(np.unique(labels[chosen])) < len(LABELS):
            continue
        for name, figure in FIGURES.items():
            draws[name].append(float(np.mean([figure(p[chosen], labels[chosen]) for p in probabilities])))
    matrix = sum(sk.confusion_matrix(labels, p.argmax(axis=1), labels=range(len(LABELS))) for p in probabilities)
    return {
        "n": len(labels),
        "runs": len(probabilities),
        "bootstrap_units": len(members),
        **{
            name: {
                "value": round(values[name], 4),
                "interval": [round(float(end), 4) for end in np.percentile(draws[name], (2.5, 97.5))],
            }
            for name in FIGURES
        },
        "confusion_matrix": matrix.tolist(),
    }


def balanced_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean recall over the classes."""
    return float(np.mean(_recalls(probabilities, labels)))


def sensitivity_at_95_specificity(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Largest share of malignant slices found while at most 5 % of the others are called malignant."""
    false_positive, true_positive, _ = sk.roc_curve(labels == MALIGNANT, probabilities[:, MALIGNANT])
    return float(true_positive[false_positive <= 0.05].max())


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 10) -> float:
    """Mean gap between top probability and accuracy over equal-width bins (Guo et al. 2017)."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(which, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def _recalls(probabilities: np.ndarray, labels: np.ndarray) -> list[float]:
    predicted = probabilities.argmax(axis=1)
    return [float(np.mean(predicted[labels == label] == label)) for label in range(len(LABELS))]


def _macro(score: Callable) -> Callable[[np.ndarray, np.ndarray], float]:
    def figure(probabilities: np.ndarray, labels: np.ndarray) -> float:
        return float(score(labels, probabilities.argmax(axis=1), average="macro", zero_division=0))

    return figure


FIGURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": lambda p, y: float(np.mean(p.argmax(axis=1) == y)),
    "balanced_accuracy": balanced_accuracy,
    "precision_macro": _macro(sk.precision_score),
    "recall_macro": _macro(sk.recall_score),
    "f1_macro": _macro(sk.f1_score),
    "auc_malignant": lambda p, y: float(sk.roc_auc_score(y == MALIGNANT, p[:, MALIGNANT])),
    "sensitivity_at_95_specificity": sensitivity_at_95_specificity,
    "ece": expected_calibration_error,
}
