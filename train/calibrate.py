"""Temperature and the confidence threshold, from the validation split only."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from train.predict import Predictions

TARGET_ACCURACY = 0.90
"""A prediction counts as confident where validation slices at least as probable were right this often, and where the
model itself gives it this probability: validation alone would let one at 45 % pass."""

MIN_COVERAGE = 0.10
"""A threshold that fewer validation slices than this pass says nothing."""


def calibrate(validation: Predictions) -> dict[str, Any]:
    """A card's ``calibration``.

    ``confident_above`` is the lowest top probability from `TARGET_ACCURACY` on above which that share of the
    validation slices is right; where none reaches it with `MIN_COVERAGE`, it is 1.0 and nothing counts as confident.
    """
    temperature = fit_temperature(validation)
    threshold = confidence_threshold(validation.probabilities(temperature), validation.labels)
    return {
        "split": "validation",
        "temperature": round(temperature, 4),
        "confident_above": round(threshold, 4),
        "target_accuracy": TARGET_ACCURACY,
    }


def fit_temperature(validation: Predictions) -> float:
    """The divisor of the logits that minimises the negative log-likelihood (Guo et al. 2017), in 1 to 10.

    Below 1 it would make the model surer of itself, on the word of a dozen validation groups.
    """

    def loss(log_temperature: float) -> float:
        chosen = validation.probabilities(np.exp(log_temperature))[np.arange(len(validation.labels)), validation.labels]
        return -float(np.mean(np.log(chosen + 1e-12)))

    return float(np.exp(minimize_scalar(loss, bounds=(0, np.log(10)), method="bounded").x))


def confidence_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """At least `TARGET_ACCURACY`; see `calibrate`. Probabilities (n, labels), labels (n,) int."""
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = (probabilities.argmax(axis=1) == labels)[order]
    accuracy = np.cumsum(right) / np.arange(1, len(right) + 1)
    enough = np.arange(1, len(right) + 1) >= MIN_COVERAGE * len(right)
    passing = np.flatnonzero((accuracy >= TARGET_ACCURACY) & enough)
    return max(TARGET_ACCURACY, float(confidence[order][passing[-1]])) if len(passing) else 1.0
