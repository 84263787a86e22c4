"""Temperature, operating points and the abstention rule on made-up cases and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.calibrate import (
    CANDIDATES,
    TARGET_ACCURACY,
    calibrate,
    calibration_figures,
    confidence_threshold,
    fit_temperature,
    is_confident,
    leaving_out,
    lower_bound,
    operating_rates,
    operating_thresholds,
)
from train.predict import Predictions


def made_predictions(temperature: float, n: int = 4000) -> Predictions:
    """Logits that are ``temperature`` times too sharp for how their labels were drawn."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (n, 3))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([random.choice(3, p=p) for p in true])
    return Predictions(("",) * n, logits * temperature, labels, np.arange(n))


@pytest.mark.parametrize("temperature", [1.2, 2.0, 3.0])
def test_the_temperature_of_overconfident_logits_is_found(temperature):
    assert fit_temperature(made_predictions(temperature)) == pytest.approx(temperature, rel=0.06)


def test_no_temperature_makes_a_model_surer_of_itself():
    assert fit_temperature(made_predictions(0.5)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_calibration_undoes_inflated_logits(factor):
    made = made_predictions(factor)
    found = calibration_figures(made, calibrate(made)["temperature"])
    assert found["before"]["ece"] > 0.1
    assert found["after"]["ece"] < 0.03
    for figure in ("brier", "nll"):
        assert found["after"][figure] < found["before"][figure]
    as_drawn = calibration_figures(made_predictions(1.0), 1.0)["before"]
    assert found["after"]["nll"] == pytest.approx(as_drawn["nll"], abs=0.002)
    assert found["after"]["brier"] == pytest.approx(as_drawn["brier"], abs=0.002)
    for diagram in (found["before"]["reliability"], found["after"]["reliability"]):
        assert sum(bin["n"] for bin in diagram) == len(made.labels)
    assert (
        max(abs(bin["confidence"] - bin["accuracy"]) for bin in found["after"]["reliability"] if bin["n"] > 200) < 0.04
    )


def predictions(malignant: list[float], labels: list[int], groups: list[int] | None = None) -> Predictions:
    """Whose probabilities are (1 - p, ~0, p)."""
    p = np.array(malignant)
    logits = np.log(np.stack([1 - p, np.full(len(p), 1e-12), p], axis=1))
    return Predictions(tuple(map(str, range(len(p)))), logits, np.array(labels), np.array(groups or range(len(p))))


def test_operating_points_by_hand():
    """Of 20 malignant slices 19 must be found, of 40 others 2 may be called malignant."""
    malignant = [0.05, *np.linspace(0.4, 0.9, 19)]
    others = [*np.linspace(0.01, 0.3, 35), 0.5, 0.6, 0.7, 0.8, 0.95]
    made = predictions([*malignant, *others], [2] * 20 + [0] * 40)
    found = operating_thresholds(made, 1.0)
    assert found == {"sensitivity_95": 0.4, "specificity_95": 0.7001}
    assert operating_rates(made, 1.0, found["sensitivity_95"]) == {"sensitivity": 0.95, "specificity": 0.875}
    rates = operating_rates(made, 1.0, found["specificity_95"])
    assert rates == {"sensitivity": round(np.mean(np.array(malignant) > 0.7), 4), "specificity": 0.95}
    assert operating_rates(made, 1.0, 0.7)["specificity"] < 0.95, "no lower threshold would do"


@given(seed=st.integers(0, 500), n=st.integers(4, 60))
@settings(max_examples=50, deadline=None)
def test_operating_points_keep_what_they_are_chosen_for(seed, n):
    random = np.random.default_rng(seed)
    made = predictions(random.uniform(0.001, 0.999, n).tolist(), [2, 0, *random.integers(0, 3, n - 2).tolist()])
    found = calibrate(made)
    points = {name: point["validation"] for name, point in found["operating_points"].items()}
    assert points["sensitivity_95"]["sensitivity"] >= 0.95
    assert points["specificity_95"]["specificity"] >= 0.95
    threshold = found["operating_points"]["sensitivity_95"]["threshold"]
    assert operating_rates(made, found["temperature"], threshold + 1e-4)["sensitivity"] < 0.95


def test_no_threshold_is_specific_where_others_are_surely_malignant():
    made = predictions([0.9] + [1 - 1e-9] * 9, [2] + [0] * 9)
    threshold = operating_thresholds(made, 1.0)["specificity_95"]
    assert threshold == 1.0001
    assert operating_rates(made, 1.0, threshold) == {"sensitivity": 0, "specificity": 1}


def test_the_lower_bound_by_hand():
    """Of n groups that are all right, it is the share whose n-th power is 5 %."""
    assert lower_bound(np.ones(29, bool), np.arange(29)) == pytest.approx(0.05 ** (1 / 29))
    assert lower_bound(np.ones(290, bool), np.repeat(np.arange(29), 10)) == pytest.approx(0.05 ** (1 / 29))
    assert lower_bound(np.zeros(9, bool), np.arange(9)) == 0
    # Clopper and Pearson's bound of 8 in 10, from the binomial distribution: P(X >= 8) = 5 %.
    bound = lower_bound(np.arange(10) < 8, np.arange(10))
    tail = sum(np.prod([(10 - i) / (i + 1) for i in range(k)]) * bound**k * (1 - bound) ** (10 - k) for k in (8, 9, 10))
    assert tail == pytest.approx(0.05)


def test_a_group_that_dominates_counts_for_less_than_equal_ones():
    right = np.ones(100, bool)
    equal = lower_bound(right, np.repeat(np.arange(10), 10))
    dominated = lower_bound(right, np.array([0] * 91 + list(range(1, 10))))
    assert dominated < equal < lower_bound(right, np.arange(100))


def test_the_lower_bound_holds_as_often_as_it_says():
    """Groups of one truth each: below the true share in 95 of 100 draws at least."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), random.integers(1, 9, 40))
    holds = [lower_bound((random.random(40) < 0.9)[groups], groups) <= 0.9 for _ in range(1000)]
    assert np.mean(holds) >= 0.94


def case(rows: list[tuple[float, bool, int]], repeat: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From (top probability, right, how many groups) to probabilities, labels and groups; ``repeat`` slices a group."""
    top = np.concatenate([np.full(count, p) for p, _, count in rows])
    right = np.concatenate([np.full(count, ok) for _, ok, count in rows])
    probabilities = np.stack([top, 1 - top, np.zeros(len(top))], axis=1)
    return tuple(
        np.repeat(values, repeat, axis=0) for values in (probabilities, np.where(right, 0, 1), np.arange(len(top)))
    )


def test_the_abstention_rule_by_hand():
    assert confidence_threshold(*case([(0.99, True, 29)])) == 0.90
    assert confidence_threshold(*case([(0.99, True, 28)])) is None, "28 groups without an error are not enough"
    # 46 groups may hold one error; two of 47 are one too many, and the second lies below 0.95
    assert confidence_threshold(*case([(0.955, True, 45), (0.955, False, 1)])) == 0.90
    assert confidence_threshold(*case([(0.955, True, 45), (0.955, False, 1), (0.935, False, 1)])) == 0.94


def test_nothing_below_ninety_percent_counts_as_confident_however_easy_the_validation():
    assert confidence_threshold(*case([(0.5, True, 50), (0.95, True, 50)])) == 0.9
    assert confidence_threshold(*case([(0.89, True, 500)])) is None


def test_slices_of_a_group_count_once():
    """Ten slices of each of ten patients are not a hundred."""
    probabilities, labels, groups = case([(0.99, True, 10)], repeat=10)
    assert confidence_threshold(probabilities, labels, groups) is None
    assert confidence_threshold(probabilities, labels, np.arange(100)) == 0.9


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_more_errors_never_lower_the_threshold(seed):
    random = np.random.default_rng(seed)
    top = random.uniform(0.85, 1, 400)
    probabilities = np.stack([top, 1 - top, np.zeros(400)], axis=1)
    groups = random.integers(0, 150, 400)
    labels = (random.random(400) < 4 * (1 - top) * random.random()).astype(int)
    worse = labels | (random.random(400) < 0.02)
    before, after = (confidence_threshold(probabilities, truth, groups) for truth in (labels, worse))
    assert (before or 2) <= (after or 2)


def test_the_abstention_rule_keeps_its_promise_on_new_groups():
    """Where one is given, new slices from it on are right as often as promised."""
    made = made_predictions(1.0)
    found = calibrate(made, temperature=1.0)
    assert found["confident_above"] in CANDIDATES
    new = made_predictions(1.0, 8000)
    new = Predictions((), new.logits[4000:], new.labels[4000:], new.groups[4000:])
    probabilities = new.probabilities()
    confident = is_confident(probabilities, found)
    assert confident.mean() > 0.1
    assert (probabilities.argmax(axis=1) == new.labels)[confident].mean() >= TARGET_ACCURACY


def test_nothing_is_confident_where_validation_is_bad():
    random = np.random.default_rng(0)
    made = Predictions(("",) * 300, random.normal(0, 9, (300, 3)), random.integers(0, 3, 300), np.arange(300))
    found = calibrate(made, temperature=1.0)
    assert found["confident_above"] is None
    assert not is_confident(np.array([[1.0, 0, 0]]), found).any(), "certainty is not confidence either"


def test_folds_choose_the_threshold_but_not_the_temperature():
    """Thirteen validation groups can promise nothing; a cross-validation's can."""
    own = made_predictions(2.0, 13)
    folds = [made_predictions(1.0, 4000), made_predictions(3.0, 4000)]
    alone, helped = calibrate(own), calibrate(own, folds=folds)
    assert alone["confident_above"] is None
    assert alone["groups"] == 13
    assert helped["confident_above"] in CANDIDATES
    assert helped["groups"] == 4000
    assert helped["temperature"] == alone["temperature"]
    assert helped["operating_points"] == alone["operating_points"]


def test_groups_to_test_on_can_be_left_out():
    first, second = predictions([0.1, 0.2, 0.3], [0, 0, 2], [5, 6, 5]), predictions([0.4], [2], [6])
    (kept,) = leaving_out([first, second], np.array([6, 9]))
    assert kept.files == ("0", "2")
    assert kept.labels.tolist() == [0, 2]
    assert kept.groups.tolist() == [5, 5]
    assert np.array_equal(kept.logits, first.logits[[0, 2]])
