"""Figures and their intervals: against scikit-learn, by hand, and against known cases."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from train.metrics import (
    FIGURES,
    Judged,
    balanced_accuracy,
    brier,
    expected_calibration_error,
    negative_log_likelihood,
    pooled_figures,
    reliability,
    roc,
    sensitivity_at_95_specificity,
)
from train.scores import MALIGNANT, SCORES

PERFECT = np.eye(3)[[0, 1, 2, 0, 2, 2]] * 0.97 + 0.01
TRUTH = np.array([0, 1, 2, 0, 2, 2])


def test_figures_of_a_perfect_model():
    found = pooled_figures([Judged(PERFECT, TRUTH, np.arange(6))])
    for name in set(FIGURES) - {"ece", "brier"}:
        assert found[name] == {"value": 1.0, "interval": [1.0, 1.0], "folds": [1.0]}
    assert found["confusion_matrix"] == [[2, 0, 0], [0, 1, 0], [0, 0, 3]]
    assert found["n"] == 6


def test_figures_by_hand():
    predicted = np.array([0, 0, 2, 2, 2, 2])
    found = pooled_figures([Judged(np.eye(3)[predicted], TRUTH, np.arange(6))])
    assert found["accuracy"]["value"] == pytest.approx(4 / 6, abs=1e-4)
    assert found["balanced_accuracy"]["value"] == pytest.approx((1 / 2 + 0 + 1) / 3, abs=1e-4)
    assert found["precision_macro"]["value"] == pytest.approx((1 / 2 + 0 + 3 / 4) / 3, abs=1e-4)
    assert found["confusion_matrix"] == [[1, 0, 1], [1, 0, 0], [0, 0, 3]]


def test_the_interval_of_an_accuracy_is_the_binomial_one():
    random = np.random.default_rng(0)
    labels = np.tile([0, 1, 2], 100)
    predicted = np.where(random.random(300) < 0.8, labels, (labels + 1) % 3)
    found = pooled_figures([Judged(np.eye(3)[predicted], labels, np.arange(300))])["accuracy"]
    expected = 1.96 * np.sqrt(found["value"] * (1 - found["value"]) / 300)
    assert found["interval"][1] - found["interval"][0] == pytest.approx(2 * expected, rel=0.15)


def test_intervals_over_groups_are_wider_than_over_slices():
    """Ten slices that are right or wrong together say as much as one."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(30) % 3, 10)
    right = np.repeat(random.random(30) < 0.7, 10)
    probabilities = np.eye(3)[np.where(right, labels, (labels + 1) % 3)]
    slices = pooled_figures([Judged(probabilities, labels, np.arange(300))])["accuracy"]["interval"]
    groups = pooled_figures([Judged(probabilities, labels, np.repeat(np.arange(30), 10))])["accuracy"]["interval"]
    assert groups[1] - groups[0] > 2 * (slices[1] - slices[0])


def test_calibration_error_and_sensitivity_by_hand():
    probabilities = np.array([[0.9, 0.05, 0.05]] * 10)
    assert expected_calibration_error(probabilities, np.array([0] * 9 + [1])) == pytest.approx(0.0, abs=1e-9)
    assert expected_calibration_error(probabilities, np.array([0] * 5 + [1] * 5)) == pytest.approx(0.4)
    labels = np.array([2] * 10 + [0] * 40)
    malignant = np.concatenate([np.linspace(0.5, 0.95, 10), [0.9, 0.8], np.linspace(0, 0.4, 38)])
    scores = np.stack([1 - malignant, np.zeros(50), malignant], axis=1)
    assert sensitivity_at_95_specificity(scores, labels) == pytest.approx(1.0)


def made(seed: int, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities in coarse steps, so that many are tied, and labels that go with them now and then."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    logits = random.normal(0, 1.5, (n, 3)).round(0 if seed % 2 else 2) + np.eye(3)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


def by_sklearn(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    predicted, malignant = probabilities.argmax(axis=1), labels == MALIGNANT
    false_positive, true_positive, _ = sk.roc_curve(malignant, probabilities[:, MALIGNANT], drop_intermediate=False)
    macro = {"average": "macro", "zero_division": 0}
    return {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "precision_macro": sk.precision_score(labels, predicted, **macro),
        "recall_macro": sk.recall_score(labels, predicted, **macro),
        "f1_macro": sk.f1_score(labels, predicted, **macro),
        "auc_malignant": sk.roc_auc_score(malignant, probabilities[:, MALIGNANT]),
        "sensitivity_at_95_specificity": true_positive[false_positive <= 0.05].max(),
        "brier": sum(np.mean((probabilities[:, k] - (labels == k)) ** 2) for k in range(3)),
    }


@pytest.mark.parametrize("seed", range(6))
def test_figures_are_those_of_sklearn_also_of_resamples(seed):
    probabilities, labels = made(seed)
    weights = np.random.default_rng(seed).multinomial(len(labels), np.full(len(labels), 1 / len(labels)), size=5)
    found = {name: figure(probabilities, labels, weights) for name, figure in SCORES.items()}
    for index, times in enumerate(weights):
        drawn = np.repeat(np.arange(len(labels)), times)
        for name, expected in by_sklearn(probabilities[drawn], labels[drawn]).items():
            assert found[name][index] == pytest.approx(expected, abs=1e-12), name
        assert found["ece"][index] == pytest.approx(expected_calibration_error(probabilities[drawn], labels[drawn]))
    for name, expected in by_sklearn(probabilities, labels).items():
        assert FIGURES[name](probabilities, labels) == pytest.approx(expected, abs=1e-12)


def test_a_class_that_is_never_called_has_no_precision():
    probabilities = np.eye(3)[[0, 0, 2, 2]]
    assert FIGURES["precision_macro"](probabilities, np.array([0, 1, 2, 2])) == pytest.approx((1 / 2 + 0 + 1) / 3)


def test_brier_score_by_hand():
    labels = np.array([0, 1, 2])
    assert brier(np.eye(3), labels) == 0
    assert brier(np.eye(3)[[1, 2, 0]], labels) == 2
    assert brier(np.full((3, 3), 1 / 3), labels) == pytest.approx(2 / 3)
    assert brier(np.array([[0.7, 0.2, 0.1]]), np.array([0])) == pytest.approx(0.09 + 0.04 + 0.01)


def test_likelihood_by_hand():
    assert negative_log_likelihood(np.array([[0.5, 0.25, 0.25]] * 2), np.array([0, 1])) == pytest.approx(
        1.5 * np.log(2)
    )


def test_reliability_by_hand():
    top = np.array([0.5, 0.55, 0.6, 0.95, 1.0])
    probabilities = np.stack([top, 1 - top, np.zeros(5)], axis=1)
    assert reliability(probabilities, np.array([0, 1, 0, 0, 0])) == [
        {"low": 0.5, "high": 0.6, "n": 2, "confidence": 0.525, "accuracy": 0.5},
        {"low": 0.6, "high": 0.7, "n": 1, "confidence": 0.6, "accuracy": 1.0},
        {"low": 0.9, "high": 1.0, "n": 2, "confidence": 0.975, "accuracy": 1.0},
    ]


def test_the_calibration_error_follows_from_the_reliability_diagram():
    probabilities, labels = made(0)
    gaps = [bin["n"] * abs(bin["confidence"] - bin["accuracy"]) for bin in reliability(probabilities, labels)]
    assert sum(gaps) / len(labels) == pytest.approx(expected_calibration_error(probabilities, labels), abs=1e-4)


def test_a_roc_curve_by_hand():
    malignant = np.array([0.9, 0.8, 0.7, 0.1])
    found = roc(np.stack([1 - malignant, np.zeros(4), malignant], axis=1), np.array([2, 0, 2, 0]))
    assert found == {"false_positive_rate": [0, 0, 0.5, 0.5, 1], "true_positive_rate": [0, 0.5, 0.5, 1, 1]}


@pytest.mark.parametrize("seed", range(4))
def test_a_thinned_roc_curve_keeps_its_ends_and_its_area(seed):
    probabilities, labels = made(seed, 3000)
    found = roc(probabilities, labels)
    x, y = found["false_positive_rate"], found["true_positive_rate"]
    assert 10 < len(x) <= 64
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert (np.diff(x) >= 0).all()
    assert (np.diff(y) >= 0).all()
    assert np.trapezoid(y, x) == pytest.approx(FIGURES["auc_malignant"](probabilities, labels), abs=0.005)


def folds_of(probabilities: np.ndarray, labels: np.ndarray, units: np.ndarray, folds: int = 5) -> list[Judged]:
    which = units % folds
    return [Judged(probabilities[which == k], labels[which == k], units[which == k]) for k in range(folds)]


def test_pooled_figures_are_of_all_slices_and_tell_each_folds_own():
    probabilities, labels = made(2, 500)
    folds = folds_of(probabilities, labels, np.arange(500))
    found = pooled_figures(folds)
    assert (found["n"], found["folds"], found["bootstrap_units"]) == (500, 5, 500)
    for name, figure in FIGURES.items():
        assert found[name]["value"] == round(figure(probabilities, labels), 4)
        assert found[name]["folds"] == [round(figure(fold.probabilities, fold.labels), 4) for fold in folds]
        low, high = found[name]["interval"]
        assert low < high
        assert low <= found[name]["value"] <= high or name == "ece"  # resampling adds noise to the gaps
    assert np.array(found["confusion_matrix"]).sum() == 500
    assert found["roc"] == roc(probabilities, labels)
    assert found["reliability"] == reliability(probabilities, labels)


def test_a_fold_without_a_class_has_no_figure_that_needs_it():
    probabilities, labels = made(2, 60)
    without = labels != 1
    folds = [
        Judged(probabilities, labels, np.arange(60)),
        Judged(probabilities[without], labels[without], np.arange(60, 60 + without.sum())),
    ]
    found = pooled_figures(folds)
    for name in ("balanced_accuracy", "precision_macro", "recall_macro", "f1_macro"):
        assert found[name]["folds"][1] is None
    for name in ("accuracy", "auc_malignant", "sensitivity_at_95_specificity", "ece", "brier"):
        assert None not in found[name]["folds"]
    assert np.isnan(FIGURES["auc_malignant"](probabilities[labels != MALIGNANT], labels[labels != MALIGNANT]))
    assert np.isnan(sensitivity_at_95_specificity(probabilities[labels == MALIGNANT], labels[labels == MALIGNANT]))
    assert np.isnan(balanced_accuracy(probabilities[without], labels[without]))


def test_a_class_that_is_nowhere_is_an_error():
    with pytest.raises(ValueError, match="every class"):
        pooled_figures([Judged(PERFECT[:1], TRUTH[:1], np.arange(1))])


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927)."""
    centre, spread = share + 1.96**2 / (2 * n), 1.96 * np.sqrt(share * (1 - share) / n + 1.96**2 / (4 * n**2))
    return (centre - spread) / (1 + 1.96**2 / n), (centre + spread) / (1 + 1.96**2 / n)


@pytest.mark.parametrize("share", [0.6, 0.8, 0.95])
def test_the_pooled_interval_of_an_accuracy_is_the_binomial_one(share):
    labels = np.tile([0, 1, 2], 200)
    predicted = np.where(np.random.default_rng(1).random(600) < share, labels, (labels + 1) % 3)
    found = pooled_figures(folds_of(np.eye(3)[predicted], labels, np.arange(600)))["accuracy"]
    assert found["interval"] == pytest.approx(wilson(found["value"], 600), abs=0.008)


@pytest.mark.parametrize("size", [2, 9])
def test_groups_that_are_right_or_wrong_together_count_as_one_slice_each(size):
    """The interval is that of the number of groups, however many slices each has."""
    labels = np.tile([0, 1, 2], 30)
    predicted = np.where(np.random.default_rng(3).random(90) < 0.7, labels, (labels + 1) % 3)
    once = pooled_figures(folds_of(np.eye(3)[predicted], labels, np.arange(90)))["accuracy"]
    groups = np.repeat(np.arange(90), size)
    several = pooled_figures(folds_of(np.eye(3)[predicted][groups], labels[groups], groups))
    assert several["bootstrap_units"] == 90
    assert several["accuracy"]["interval"] == once["interval"] == pytest.approx(wilson(once["value"], 90), abs=0.03)
