"""What a card's answers promise, from slices that the scoring weights had not learnt from.

Temperature, class-wise thresholds of the answer sets, and how answers of each kind went. The thresholds of a card come
from all folds; every figure on a fold comes from the temperature and the thresholds of the other folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from lungapp.registry import LABELS
from lungapp.results import DECISIONS
from train.metrics import (
    Judged,
    expected_calibration_error,
    group_resamples,
    interval,
    negative_log_likelihood,
    reliability,
)
from train.predict import Predictions, pooled
from train.scores import MALIGNANT

LEVEL = 0.9
"""The share of each class's slices whose answer sets hold that class."""

TEMPERATURES = (1.0, 10.0)
"""Probabilities are softened and never sharpened: what is held steady in training (`train.recipes`) are logits, and
sharper ones would move more with every pixel."""

BANDS = {"malignant": 3, "not_malignant": 3, "undecided": 2}
"""How many bands of malignant probability each decision's evidence comes in."""


@dataclass(frozen=True, eq=False)
class Answered:
    """Held-out slices and the answers to them: ``probabilities`` (n, labels), ``labels`` and ``groups`` (n,) int the
    truth and its groups, ``sets`` (n, labels) bool which classes cannot be excluded.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    sets: np.ndarray

    @property
    def decisions(self) -> np.ndarray:
        """(n,) str, as `lungapp.results.Prediction.decision` has it."""
        malignant = self.sets[:, MALIGNANT]
        return np.where(~malignant, "not_malignant", np.where(self.sets.sum(axis=1) == 1, "malignant", "undecided"))


def calibrate(predictions: Predictions, temperature: float | None = None) -> dict[str, Any]:
    """Temperature and thresholds from out-of-fold ``predictions``.

    ``temperature`` is 1 for what is calibrated already (the mean of an ensemble); fitted where None.
    """
    fitted = round(fit_temperature(predictions) if temperature is None else temperature, 4)
    thresholds = thresholds_of(predictions.probabilities(fitted), predictions.labels, predictions.groups)
    return {
        "temperature": fitted,
        "level": LEVEL,
        "thresholds": dict(zip(LABELS, thresholds.tolist(), strict=True)),
        "slices": len(predictions.files),
        "groups": len(np.unique(predictions.groups)),
    }


def calibration_of(folds: Sequence[Predictions], temperature: float | None = None) -> dict[str, Any]:
    """A card's whole ``calibration``: `calibrate` on all ``folds``, and how answers on each fold went by the others."""
    rules = rules_of(folds, temperature)
    answered = answer(folds, rules)
    before = pooled(folds)
    return {
        **calibrate(before, temperature),
        "evidence": evidence(answered),
        "coverage": coverage(answered),
        "before": quality(before.probabilities(), before.labels),
        "after": quality(answered.probabilities, answered.labels),
    }


def rules_of(folds: Sequence[Predictions], temperature: float | None = None) -> list[dict[str, Any]]:
    """For each fold what `calibrate` makes of the others."""
    return [calibrate(leaving_out(folds, fold), temperature) for fold in range(len(folds))]


def leaving_out(folds: Sequence[Predictions], fold: int) -> Predictions:
    """The slices of all ``folds`` but one."""
    return pooled([other for number, other in enumerate(folds) if number != fold])


def judge(folds: Sequence[Predictions], rules: Sequence[dict[str, Any]], protocol: str) -> list[Judged]:
    """What the figures of ``protocol`` need: calibrated probabilities, truth, and what the bootstrap draws."""
    numbers = {file: number for number, file in enumerate(sorted(file for fold in folds for file in fold.files))}
    return [
        Judged(
            fold.probabilities(rule["temperature"]),
            fold.labels,
            fold.groups if protocol == "grouped" else np.array([numbers[file] for file in fold.files]),
        )
        for fold, rule in zip(folds, rules, strict=True)
    ]


def answer(folds: Sequence[Predictions], rules: Sequence[dict[str, Any]]) -> Answered:
    """The answers to the slices of ``folds``, each fold's by its own rule."""
    probabilities, sets = [], []
    for fold, rule in zip(folds, rules, strict=True):
        scores = fold.probabilities(rule["temperature"])
        chosen = scores >= [rule["thresholds"][label] for label in LABELS]
        probabilities.append(scores)
        sets.append(chosen | ~chosen.any(axis=1, keepdims=True))
    whole = pooled(folds)
    return Answered(np.concatenate(probabilities), whole.labels, whole.groups, np.concatenate(sets))


def fit_temperature(predictions: Predictions) -> float:
    """The divisor of the logits that minimises the negative log-likelihood (Guo et al. 2017), in `TEMPERATURES`."""

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(predictions.probabilities(np.exp(log_temperature)), predictions.labels)

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def thresholds_of(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(labels,) float, rounded down to 4 digits: from which probability on a class stays in an answer set.

    Class-conditional conformal prediction (Vovk 2012) with groups as what is exchangeable: a slice weighs 1 over the
    number of its class's slices in its group, so that each of a class's m groups weighs 1. The threshold is the highest
    for which slices of weight (m + 1) · `LEVEL` reach it, the 1 standing for the group to come; 0, which excludes
    nothing, where m is too few for that.
    """
    thresholds = np.zeros(len(LABELS))
    for label in range(len(LABELS)):
        members = labels == label
        _, places, sizes = np.unique(groups[members], return_inverse=True, return_counts=True)
        scores = probabilities[members, label]
        order = np.argsort(-scores, kind="stable")
        reached = np.cumsum((1 / sizes)[places][order])
        enough = np.flatnonzero(reached >= (len(sizes) + 1) * LEVEL - 1e-9)
        if len(enough):
            thresholds[label] = np.floor(scores[order][enough[0]] * 1e4) / 1e4
    return thresholds


def coverage(answered: Answered) -> dict[str, Any]:
    """How often answer sets hold the true class (in all and by class), how many classes they have, how often they
    decide malignant or not, and how often such decisions are right; each ``value`` with its ``interval``.
    """
    true = answered.sets[np.arange(len(answered.labels)), answered.labels]
    decided = answered.decisions != "undecided"
    right = (answered.decisions == "malignant") == (answered.labels == MALIGNANT)
    groups = answered.groups
    by_class = {label: answered.labels == index for index, label in enumerate(LABELS)}
    found = {
        "covered": mean(true, groups),
        "by_class": {label: mean(true[own], groups[own]) for label, own in by_class.items() if own.any()},
        "classes": mean(answered.sets.sum(axis=1), groups),
        "decided": mean(decided, groups),
    }
    return found | ({"right": mean(right[decided], groups[decided])} if decided.any() else {})


def evidence(answered: Answered) -> list[dict[str, Any]]:
    """How answers went: for each decision, bands of malignant probability with about equally many slices.

    ``right`` is the share of a band's slices for which the decision held; of undecided ones, that were malignant. Bands
    reach no farther than what was tested, but to 1 for malignant and to 0 for not malignant.
    """
    bands = []
    scores = answered.probabilities[:, MALIGNANT]
    for decision in DECISIONS:
        own = answered.decisions == decision
        if not own.any():
            continue
        inner = np.quantile(scores[own], np.linspace(0, 1, BANDS[decision] + 1)[1:-1]).round(4)
        low = 0.0 if decision == "not_malignant" else np.floor(1e4 * scores[own].min()) / 1e4
        high = 1.0 if decision == "malignant" else min(1.0, (np.floor(1e4 * scores[own].max()) + 1) / 1e4)
        edges = np.unique([low, *inner, high])
        malignant = answered.labels == MALIGNANT
        right = ~malignant if decision == "not_malignant" else malignant
        which = np.digitize(scores, edges[1:-1])
        for band, (low, high) in enumerate(pairwise(edges.tolist())):
            inside = own & (which == band)
            if inside.any():
                share = mean(right[inside], answered.groups[inside])
                groups = len(np.unique(answered.groups[inside]))
                bands.append(
                    {
                        "decision": decision,
                        "low": low,
                        "high": high,
                        "slices": int(inside.sum()),
                        "groups": groups,
                        "right": share["value"],
                        "interval": exact_bounds(share["value"], groups) or share["interval"],
                    }
                )
    return bands


def exact_bounds(share: float, groups: int) -> list[float] | None:
    """The 95 % interval of a ``share`` of 0 or 1 over ``groups`` (Clopper and Pearson 1934); None for others.

    All resamples of what is all alike are alike, and would promise certainty. Groups count, not slices.
    """
    least = round(0.025 ** (1 / groups), 4)
    return {0.0: [0.0, round(1 - least, 4)], 1.0: [least, 1.0]}.get(share)


def mean(values: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """The mean of ``values`` (n,), with its 95 % interval from resamples of the ``groups`` (n,) int."""
    times = group_resamples(groups)
    draws = times @ values.astype(float) / times.sum(axis=1)
    return {"value": round(float(values.mean()), 4), "interval": interval(draws)}


def quality(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """How well probabilities (n, labels) say how often they are right: calibration error and reliability diagram."""
    return {
        "ece": round(expected_calibration_error(probabilities, labels), 4),
        "nll": round(negative_log_likelihood(probabilities, labels), 4),
        "reliability": reliability(probabilities, labels),
    }
