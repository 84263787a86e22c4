"""Figures of a model on held-out slices, each with a 95 % bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lungapp.registry import LABELS
from train.scores import BINS, SCORES, binned, confusion, once, rates

RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Judged:
    """Held-out slices of one fold: ``probabilities`` (n, labels), ``labels`` (n,) int the truth, ``units`` (n,) int.

    The bootstrap draws units: slices for ``image_level``, similarity groups for ``grouped``, because slices of a group
    are not independent.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    units: np.ndarray


def pooled_figures(folds: Sequence[Judged]) -> dict[str, Any]:
    """All figures of a cross-validation, over the held-out slices of all ``folds`` together.

    Returns
    -------
    ``n`` (slices), ``folds``, ``bootstrap_units``, per figure ``value`` (of the pool), ``interval`` (2.5th and 97.5th
    percentile of 1,000 resamples; one that lacks a class is drawn again) and ``folds`` (each fold's own; None where the
    fold lacks a class the figure needs), then ``confusion_matrix`` (truth in rows), ``roc`` and ``reliability``.
    """
    pool = Judged(*(np.concatenate([getattr(fold, part) for fold in folds]) for part in vars(folds[0])))
    weights = class_resamples(pool)
    result: dict[str, Any] = {
        "n": len(pool.labels),
        "folds": len(folds),
        "bootstrap_units": len(np.unique(pool.units)),
    }
    for name, figure in SCORES.items():
        own = [FIGURES[name](fold.probabilities, fold.labels) for fold in folds]
        result[name] = {
            "value": _rounded(FIGURES[name](pool.probabilities, pool.labels)),
            "interval": interval(figure(pool.probabilities, pool.labels, weights)),
            "folds": [None if np.isnan(value) else _rounded(value) for value in own],
        }
    return result | {
        "confusion_matrix": confusion(pool.probabilities, pool.labels, once(pool.labels))[0].astype(int).tolist(),
        "roc": roc(pool.probabilities, pool.labels),
        "reliability": reliability(pool.probabilities, pool.labels),
    }


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> list[dict[str, float]]:
    """The reliability diagram (Guo et al. 2017): mean top probability and accuracy by equal-width bins.

    Bins hold their lower end and not their upper one, but for the last; empty ones are left out.
    """
    confidence, right, which = binned(probabilities, labels, bins)
    return [
        {
            "low": round(index / bins, 4),
            "high": round((index + 1) / bins, 4),
            "n": int(np.sum(which == index)),
            "confidence": _rounded(confidence[which == index].mean()),
            "accuracy": _rounded(right[which == index].mean()),
        }
        for index in np.unique(which).tolist()
    ]


def roc(probabilities: np.ndarray, labels: np.ndarray, points: int = 64) -> dict[str, list[float]]:
    """The ROC curve of malignant against the rest, from (0, 0) to (1, 1), in at most ``points`` points.

    Where it has more corners, those nearest to equal steps along the curve stay.
    """
    false_positive, true_positive = (rate[0] for rate in rates(probabilities, labels, once(labels)))
    bends = np.diff(false_positive, 2).round(12).astype(bool) | np.diff(true_positive, 2).round(12).astype(bool)
    kept = np.flatnonzero(np.concatenate([[True], bends, [True]]))
    if len(kept) > points:
        along = (false_positive + true_positive)[kept]
        kept = kept[np.unique([np.argmin(np.abs(along - at)) for at in np.linspace(0, 2, points)])]
    return {
        "false_positive_rate": [_rounded(rate) for rate in false_positive[kept]],
        "true_positive_rate": [_rounded(rate) for rate in true_positive[kept]],
    }


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log of the true class' probability, in nats."""
    return -float(np.mean(np.log(probabilities[np.arange(len(labels)), labels] + 1e-12)))


def brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean over slices of the squared error summed over the classes, 0 to 2 (Brier 1950)."""
    return FIGURES["brier"](probabilities, labels)


def balanced_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean recall over the classes."""
    return FIGURES["balanced_accuracy"](probabilities, labels)


def sensitivity_at_95_specificity(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Largest share of malignant slices found while at most 5 % of the others are called malignant."""
    return FIGURES["sensitivity_at_95_specificity"](probabilities, labels)


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean gap between top probability and accuracy over `BINS` equal-width bins (Guo et al. 2017)."""
    return FIGURES["ece"](probabilities, labels)


FIGURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    name: lambda probabilities, labels, figure=figure: float(figure(probabilities, labels, once(labels))[0])  # type: ignore[misc]
    for name, figure in SCORES.items()
}
"""Every figure of probabilities (n, labels) and the true labels (n,) int; NaN where a class it needs is absent."""


def class_resamples(judged: Judged, seed: int = 0) -> np.ndarray:
    """(resamples, n) int: how often each slice is drawn with its unit; every class is drawn in each."""
    units, places = np.unique(judged.units, return_inverse=True)
    classes = np.zeros((len(units), len(LABELS)), bool)
    classes[places, judged.labels] = True
    if not classes.any(axis=0).all():
        raise ValueError(f"Expected slices of every class out of {', '.join(LABELS)}. Received: fewer.")
    random = np.random.default_rng(seed)
    times: list[np.ndarray] = []
    while len(times) < RESAMPLES:
        drawn = np.bincount(random.integers(len(units), size=len(units)), minlength=len(units))
        if classes[drawn > 0].any(axis=0).all():
            times.append(drawn)
    return np.stack(times)[:, places]


def group_resamples(groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """(resamples, n) int: how often each slice is drawn with its group (n,) int."""
    units, places = np.unique(groups, return_inverse=True)
    random = np.random.default_rng(seed)
    return random.multinomial(len(units), np.full(len(units), 1 / len(units)), size=RESAMPLES)[:, places]


def interval(draws: np.ndarray) -> list[float]:
    """The 95 % percentile interval of a figure's resamples (n,)."""
    return [_rounded(end) for end in np.percentile(draws, (2.5, 97.5))]


def _rounded(value: float) -> float:
    return round(float(value), 4)
