"""Figures of a model on held-out slices, each with a 95 % bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import metrics as sk

from lungapp.registry import LABELS

RESAMPLES = 1000
MALIGNANT = LABELS.index("malignant")


@dataclass(frozen=True, eq=False)
class Judged:
    """One run's test slices: ``probabilities`` (n, labels), ``labels`` (n,) int the truth, ``units`` (n,) int.

    The bootstrap draws units: slices for ``image_level``, similarity groups for ``grouped``, because slices of a group
    are not independent. The same number means the same unit in every run, so that a slice tested by two runs is drawn
    for both.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    units: np.ndarray


def figures(runs: Sequence[Judged], seed: int = 0) -> dict[str, Any]:
    """All figures of a card's protocol, each the mean over ``runs``.

    Returns
    -------
    ``n`` (test slices of a run), ``runs``, ``confusion_matrix`` (summed over runs, truth in rows) and per figure
    ``value`` and ``interval`` (2.5th and 97.5th percentile of 1,000 resamples; one in which a run lacks a class is
    drawn again).
    """
    values = _means((run.probabilities, run.labels) for run in runs)
    draws: dict[str, list[float]] = {name: [] for name in FIGURES}
    random = np.random.default_rng(seed)
    units, places = np.unique(np.concatenate([run.units for run in runs]), return_inverse=True)
    places_of = np.split(places, np.cumsum([len(run.units) for run in runs])[:-1])
    while len(draws["accuracy"]) < RESAMPLES:
        times = np.bincount(random.integers(len(units), size=len(units)), minlength=len(units))
        chosen = [np.repeat(np.arange(len(place)), times[place]) for place in places_of]
        if any(len(np.unique(run.labels[c])) < len(LABELS) for run, c in zip(runs, chosen, strict=True)):
            continue
        drawn = _means((run.probabilities[c], run.labels[c]) for run, c in zip(runs, chosen, strict=True))
        for name, value in drawn.items():
            draws[name].append(value)
    matrix = sum(sk.confusion_matrix(r.labels, r.probabilities.argmax(axis=1), labels=range(len(LABELS))) for r in runs)
    return {
        "n": len(runs[0].labels),
        "runs": len(runs),
        "bootstrap_units": len(units),
        **{
            name: {
                "value": round(values[name], 4),
                "interval": [round(float(end), 4) for end in np.percentile(draws[name], (2.5, 97.5))],
            }
            for name in FIGURES
        },
        "confusion_matrix": np.asarray(matrix).tolist(),
    }


def _means(judged: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    rows = [{name: figure(p, labels) for name, figure in FIGURES.items()} for p, labels in judged]
    return {name: float(np.mean([row[name] for row in rows])) for name in FIGURES}


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
