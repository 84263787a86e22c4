"""Temperature, operating points and the abstention rule, from the validation split only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import beta

from train.metrics import brier, expected_calibration_error, negative_log_likelihood, reliability
from train.predict import Predictions
from train.scores import MALIGNANT

TARGET_ACCURACY = 0.90
"""The share of confident predictions that must be right; see `confidence_threshold`."""

CONFIDENCE_LEVEL = 0.95
"""How sure validation must make us of it (one-sided, as the lower end of a two-sided 90 % interval)."""

CANDIDATES = tuple(round(hundredth / 100, 2) for hundredth in range(90, 100))
"""Top probabilities that may become the threshold. None is below the target: validation alone would let a prediction
through that the model itself gives 45 %. None is 1: a threshold is no use where only certainty passes it."""

OPERATING_RATE = 0.95
"""The sensitivity, and the specificity, that the two operating points for malignant are chosen for."""


def calibrate(
    validation: Predictions, temperature: float | None = None, folds: Sequence[Predictions] = ()
) -> dict[str, Any]:
    """The part of a card's ``calibration`` that validation decides.

    Parameters
    ----------
    validation : the validation slices of the weights to calibrate.
    temperature : 1 for what is calibrated already (the mean of an ensemble); fitted where None.
    folds : validation slices of other runs of the same recipe (a cross-validation's), each scored by weights that did
        not learn from them. Where given, they choose the threshold of the abstention rule instead of ``validation``,
        whose few groups can promise nothing. Leave the test groups out (`leaving_out`).
    """
    fitted = round(fit_temperature(validation) if temperature is None else temperature, 4)
    judged = [(validation, fitted)]
    if folds:
        judged = [(fold, fit_temperature(fold) if temperature is None else temperature) for fold in folds]
    probabilities = np.concatenate([predictions.probabilities(divisor) for predictions, divisor in judged])
    labels = np.concatenate([predictions.labels for predictions, _ in judged])
    groups = np.concatenate([predictions.groups for predictions, _ in judged])
    return {
        "split": "validation",
        "temperature": fitted,
        "confident_above": confidence_threshold(probabilities, labels, groups),
        "target_accuracy": TARGET_ACCURACY,
        "confidence_level": CONFIDENCE_LEVEL,
        "groups": len(np.unique(groups)),
        "operating_points": {
            name: {"threshold": threshold, "validation": operating_rates(validation, fitted, threshold)}
            for name, threshold in operating_thresholds(validation, fitted).items()
        },
    }


def leaving_out(folds: Sequence[Predictions], groups: np.ndarray) -> list[Predictions]:
    """``folds`` without the slices of ``groups``, so that slices to test on do not choose a threshold."""
    kept = []
    for fold in folds:
        mask = ~np.isin(fold.groups, groups)
        files = tuple(file for file, keep in zip(fold.files, mask, strict=True) if keep)
        kept.append(Predictions(files, fold.logits[mask], fold.labels[mask], fold.groups[mask]))
    return [fold for fold in kept if fold.files]


def fit_temperature(validation: Predictions) -> float:
    """The divisor of the logits that minimises the negative log-likelihood (Guo et al. 2017), in 1 to 10.

    Below 1 it would make the model surer of itself, on the word of a dozen validation groups.
    """

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(validation.probabilities(np.exp(log_temperature)), validation.labels)

    return float(np.exp(minimize_scalar(loss, bounds=(0, np.log(10)), method="bounded").x))


def confidence_threshold(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float | None:
    """The top probability from which predictions count as confident; None where nothing does.

    It is the lowest of `CANDIDATES` for which, of the slices at least as probable, the lower bound of the share that is
    right (`lower_bound`, at `CONFIDENCE_LEVEL`) reaches `TARGET_ACCURACY`. A bound and not the share itself, because
    106 validation slices are 13 groups: 37 right of 38 may be eight patients, and the next one may be all wrong. It
    takes at least 29 equally large groups without an error. The lowest of ten nested sets is taken, so the level is
    nominal: the promise rests on the bound's caution about groups as much as on it.

    More errors never lower the threshold: they lower the bound of every set they are in and leave the others'.

    Parameters
    ----------
    probabilities : (n, labels) calibrated.
    labels, groups : (n,) int, the truth, and which slices are similar.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    for candidate in CANDIDATES:
        chosen = confidence >= candidate
        if chosen.any() and lower_bound(right[chosen], groups[chosen]) >= TARGET_ACCURACY:
            return candidate
    return None


def lower_bound(right: np.ndarray, groups: np.ndarray, level: float = CONFIDENCE_LEVEL) -> float:
    """The one-sided lower confidence bound of the share of ``right`` (n,) bool, for slices that come in ``groups``.

    Clopper and Pearson's (1934) exact bound, with the number of slices replaced by the effective one, as Korn and
    Graubard (1998) do for clustered samples. The effective number is Kish's (1965) when slices of a group are all right
    or all wrong together, the worst case and on this dataset nearly the rule: groups of n₁, n₂, … slices count as
    (Σn)² / Σn², which is their number where they are equally large and less where one dominates.
    A bootstrap over groups would call any number of groups without an error certain.
    """
    sizes = np.unique(groups, return_counts=True)[1]
    effective = sizes.sum() ** 2 / (sizes**2).sum()
    successes = right.mean() * effective
    return float(beta.ppf(1 - level, successes, effective - successes + 1)) if successes > 0 else 0.0


def is_confident(probabilities: np.ndarray, calibration: dict[str, Any]) -> np.ndarray:
    """(n,) bool: which of the calibrated probabilities (n, labels) ``calibration``'s abstention rule lets stand."""
    threshold = calibration["confident_above"]
    return probabilities.max(axis=1) >= (np.inf if threshold is None else threshold)


def operating_thresholds(validation: Predictions, temperature: float) -> dict[str, float]:
    """Malignant probabilities, in steps of 0.0001, from which a slice is called malignant.

    ``sensitivity_95`` : the highest that finds 95 % of the malignant validation slices.
    ``specificity_95`` : the lowest that calls at most 5 % of the others malignant; above 1 where none does.
    """
    scores = _malignant(validation, temperature)
    malignant = np.sort(scores[validation.labels == MALIGNANT])[::-1]
    others = np.sort(scores[validation.labels != MALIGNANT])[::-1]
    needed = int(np.ceil(OPERATING_RATE * len(malignant) - 1e-9))
    allowed = int(np.floor((1 - OPERATING_RATE) * len(others) + 1e-9))
    return {
        "sensitivity_95": round(float(malignant[needed - 1]), 4),
        "specificity_95": round(float(others[allowed]) + 1e-4, 4),
    }


def operating_rates(predictions: Predictions, temperature: float, threshold: float) -> dict[str, float]:
    """Sensitivity and specificity for malignant where a slice is called so from ``threshold`` on."""
    called = _malignant(predictions, temperature) >= threshold
    malignant = predictions.labels == MALIGNANT
    return {
        "sensitivity": round(float(called[malignant].mean()), 4),
        "specificity": round(float((~called)[~malignant].mean()), 4),
    }


def calibration_figures(test: Predictions, temperature: float) -> dict[str, Any]:
    """How well probabilities say how often they are right, ``before`` (temperature 1) and ``after`` calibration."""
    return {
        "before": quality(test.probabilities(), test.labels),
        "after": quality(test.probabilities(temperature), test.labels),
    }


def quality(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Calibration error, Brier score, negative log-likelihood and reliability diagram of (n, labels)."""
    return {
        "ece": round(expected_calibration_error(probabilities, labels), 4),
        "brier": round(brier(probabilities, labels), 4),
        "nll": round(negative_log_likelihood(probabilities, labels), 4),
        "reliability": reliability(probabilities, labels),
    }


def _malignant(predictions: Predictions, temperature: float) -> np.ndarray:
    """(n,) in steps of 0.0001, so that a stored threshold means the same slices as the one it was rounded from."""
    return predictions.probabilities(temperature)[:, MALIGNANT].round(4)
