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
    """Held-out slices of one run: ``probabilities`` (n, labels), ``labels`` (n,) int the truth, ``units`` (n,) int.

    The bootstrap draws units: slices for ``image_level``, similarity groups for ``grouped``, because slices of a group
    are not independent. The same number means the same unit in every run, so that a slice tested by two runs is drawn
    for both. ``confident`` (n,) bool, where it is known: which predictions the run's abstention rule lets stand.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    units: np.ndarray
    confident: np.ndarray | None = None


def figures(runs: Sequence[Judged], seed: int = 0) -> dict[str, Any]:
    """All figures of a card's protocol, each the mean over ``runs``.

    Returns
    -------
    ``n`` (test slices of a run), ``runs``, ``confusion_matrix`` (summed over runs, truth in rows), ``roc`` (of the
    runs' slices pooled) and per figure ``value`` and ``interval`` (2.5th and 97.5th percentile of 1,000 resamples; one
    in which a run lacks a class is drawn again).
    """
    values = _means(runs, [once(run.labels) for run in runs])
    units, weights = _resamples(runs, seed)
    draws = _means(runs, weights)
    pooled = _pool(runs)
    return {
        "n": len(runs[0].labels),
        "runs": len(runs),
        "bootstrap_units": units,
        **{name: {"value": _rounded(values[name][0]), "interval": _interval(draws[name])} for name in FIGURES},
        "confusion_matrix": _confusion_matrix(pooled),
        "roc": roc(pooled.probabilities, pooled.labels),
    }


def pooled_figures(folds: Sequence[Judged], seed: int = 0) -> dict[str, Any]:
    """All figures of a cross-validation, over the held-out slices of all ``folds`` together.

    Returns
    -------
    ``n`` (slices), ``folds``, per figure ``value`` (of the pool), ``interval`` (as in `figures`, of the pool),
    ``folds`` (each fold's own; None where the fold lacks a class the figure needs) and their ``mean``, then
    ``confusion_matrix``, ``roc``, ``reliability`` and, where every fold says which predictions are confident,
    ``selective``: how often those and the others are right.
    """
    pooled = _pool(folds)
    units, (weights,) = _resamples([pooled], seed)
    result: dict[str, Any] = {"n": len(pooled.labels), "folds": len(folds), "bootstrap_units": units}
    for name, figure in SCORES.items():
        own = [float(figure(fold.probabilities, fold.labels, once(fold.labels))[0]) for fold in folds]
        known = [value for value in own if not np.isnan(value)]
        result[name] = {
            "value": _rounded(figure(pooled.probabilities, pooled.labels, once(pooled.labels))[0]),
            "interval": _interval(figure(pooled.probabilities, pooled.labels, weights)),
            "folds": [None if np.isnan(value) else _rounded(value) for value in own],
            "mean": _rounded(float(np.mean(known))) if known else None,
        }
    result |= {
        "confusion_matrix": _confusion_matrix(pooled),
        "roc": roc(pooled.probabilities, pooled.labels),
        "reliability": reliability(pooled.probabilities, pooled.labels),
    }
    if pooled.confident is not None:
        result["selective"] = selective(pooled.probabilities, pooled.labels, pooled.confident)
    return result


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


def selective(probabilities: np.ndarray, labels: np.ndarray, confident: np.ndarray) -> dict[str, dict[str, int]]:
    """How often the confident and the other predictions are right; ``confident`` (n,) bool."""
    right = probabilities.argmax(axis=1) == labels
    return {
        name: {"n": int(mask.sum()), "right": int(right[mask].sum())}
        for name, mask in (("confident", confident), ("uncertain", ~confident))
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


def _means(runs: Sequence[Judged], weights: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name: np.mean([figure(run.probabilities, run.labels, w) for run, w in zip(runs, weights, strict=True)], axis=0)
        for name, figure in SCORES.items()
    }


def _resamples(runs: Sequence[Judged], seed: int) -> tuple[int, list[np.ndarray]]:
    """The number of units, and per run (resamples, n): how often each slice is drawn with its unit."""
    units, places = np.unique(np.concatenate([run.units for run in runs]), return_inverse=True)
    places_of = np.split(places, np.cumsum([len(run.units) for run in runs])[:-1])
    classes = np.zeros((len(units), len(runs), len(LABELS)), bool)  # that a unit brings to a run
    for index, (run, place) in enumerate(zip(runs, places_of, strict=True)):
        classes[place, index, run.labels] = True
    if not classes.any(axis=0).all():
        raise ValueError(f"Expected slices of every class out of {', '.join(LABELS)} in every run. Received: fewer.")
    random = np.random.default_rng(seed)
    times: list[np.ndarray] = []
    while len(times) < RESAMPLES:
        drawn = np.bincount(random.integers(len(units), size=len(units)), minlength=len(units))
        if classes[drawn > 0].any(axis=0).all():
            times.append(drawn)
    return len(units), [np.stack(times)[:, place] for place in places_of]


def _pool(runs: Sequence[Judged]) -> Judged:
    confident = [run.confident for run in runs if run.confident is not None]
    return Judged(
        np.concatenate([run.probabilities for run in runs]),
        np.concatenate([run.labels for run in runs]),
        np.concatenate([run.units for run in runs]),
        np.concatenate(confident) if len(confident) == len(runs) else None,
    )


def _confusion_matrix(judged: Judged) -> list[list[int]]:
    return confusion(judged.probabilities, judged.labels, once(judged.labels))[0].astype(int).tolist()


def _interval(draws: np.ndarray) -> list[float]:
    return [_rounded(end) for end in np.percentile(draws, (2.5, 97.5))]


def _rounded(value: float) -> float:
    return round(float(value), 4)
