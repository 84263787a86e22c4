"""Temperature, answer sets and their evidence: by hand, on made-up cases, and on what each fold's others promise."""

from __future__ import annotations

import numpy as np
import pytest

from lungapp.calibration import read_calibration
from lungapp.registry import LABELS
from train.calibrate import (
    LEVEL,
    Answered,
    answer,
    calibrate,
    calibration_of,
    coverage,
    evidence,
    exact_bounds,
    fit_temperature,
    leaving_out,
    mean,
    rules_of,
    thresholds_of,
)
from train.predict import Predictions


def made_predictions(temperature: float, n: int = 4000, seed: int = 0, size: int = 1, first: int = 0) -> Predictions:
    """Logits that are ``temperature`` times too sharp for how their labels were drawn; groups of ``size``."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (n, 3))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([random.choice(3, p=p) for p in true])
    return Predictions(("",) * n, logits * temperature, labels, first + np.arange(n) // size)


@pytest.mark.parametrize("temperature", [1.1, 1.6, 3.0])
def test_the_temperature_of_logits_is_found(temperature):
    assert fit_temperature(made_predictions(temperature)) == pytest.approx(temperature, rel=0.06)


@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_probabilities_are_never_sharpened(temperature):
    assert fit_temperature(made_predictions(temperature)) == pytest.approx(1.0, rel=1e-3)


def test_what_is_calibrated_already_keeps_its_temperature():
    assert calibrate(made_predictions(3.0), temperature=1.0)["temperature"] == 1.0


def test_thresholds_by_hand():
    """Nineteen groups of one slice each: (19 + 1) · 0.9 = 18 of them must reach the threshold."""
    scores = np.arange(1, 20) / 20
    probabilities = np.stack([scores, 1 - scores, 0 * scores], axis=1)
    found = thresholds_of(probabilities, np.zeros(19, int), np.arange(19))
    assert found.tolist() == [0.1, 0.0, 0.0]


def test_too_few_groups_exclude_nothing():
    """With eight groups 8.1 would have to reach the threshold."""
    probabilities = np.tile([0.8, 0.1, 0.1], (80, 1))
    labels = np.zeros(80, int)
    assert thresholds_of(probabilities, labels, np.arange(80) % 8)[0] == 0
    assert thresholds_of(probabilities, labels, np.arange(80) % 9)[0] == pytest.approx(0.8, abs=1e-4)


def test_a_group_weighs_one_however_many_slices_it_has():
    scores = np.concatenate([np.full(19, 0.9), np.full(500, 0.2)])
    probabilities = np.stack([scores, 1 - scores, 0 * scores], axis=1)
    groups = np.concatenate([np.arange(19), np.full(500, 99)])
    assert thresholds_of(probabilities, np.zeros(519, int), groups)[0] == 0.9


def test_what_is_promised_holds_on_groups_not_seen():
    """By class, on average over draws of as few groups as there are."""
    covered = []
    for seed in range(60):
        known = made_predictions(1.0, 240, seed, size=2)
        rule = calibrate(known, 1.0)
        fresh = made_predictions(1.0, 600, 1000 + seed)
        answered = answer([fresh], [rule])
        covered.append([answered.sets[fresh.labels == label, label].mean() for label in range(3)])
    assert np.mean(covered, axis=0) == pytest.approx([LEVEL + 0.01] * 3, abs=0.02)


def test_no_fold_judges_itself():
    folds = [made_predictions(1.0, 200, seed, first=1000 * seed) for seed in range(5)]
    rest = leaving_out(folds, 2)
    assert set(rest.groups.tolist()).isdisjoint(folds[2].groups.tolist())
    assert len(rest.files) == 800
    spoilt = Predictions(folds[2].files, -folds[2].logits, folds[2].labels, folds[2].groups)
    rules = rules_of([*folds[:2], spoilt, *folds[3:]])
    assert rules[2] == rules_of(folds)[2]
    assert rules[0] != rules_of(folds)[0]


def case() -> Answered:
    """Six slices in three groups: decided malignant (right, wrong), not malignant (right, wrong), undecided twice."""
    sets = np.array([[0, 0, 1], [0, 0, 1], [1, 1, 0], [1, 0, 0], [1, 0, 1], [1, 1, 1]], bool)
    malignant = np.array([0.9, 0.7, 0.1, 0.2, 0.5, 0.4])
    probabilities = np.stack([1 - malignant, 0 * malignant, malignant], axis=1)
    return Answered(probabilities, np.array([2, 0, 1, 2, 2, 0]), np.array([0, 0, 1, 1, 2, 2]), sets)


def test_coverage_by_hand():
    found = coverage(case())
    assert case().decisions.tolist() == ["malignant"] * 2 + ["not_malignant"] * 2 + ["undecided"] * 2
    assert found["covered"]["value"] == pytest.approx(4 / 6, abs=1e-4)
    assert {label: entry["value"] for label, entry in found["by_class"].items()} == {
        "normal": 0.5, "benign": 1.0, "malignant": pytest.approx(2 / 3, abs=1e-4),
    }  # fmt: skip
    assert found["classes"]["value"] == pytest.approx(10 / 6, abs=1e-4)
    assert found["decided"]["value"] == pytest.approx(4 / 6, abs=1e-4)
    assert found["right"]["value"] == 0.5


def test_evidence_by_hand():
    by_decision = {name: [band for band in evidence(case()) if band["decision"] == name] for name in
                   ("malignant", "not_malignant", "undecided")}  # fmt: skip
    assert [band["right"] for band in by_decision["malignant"]] == [0.0, 1.0]
    assert [band["right"] for band in by_decision["not_malignant"]] == [1.0, 0.0]
    assert [(band["low"], band["high"], band["right"]) for band in by_decision["undecided"]] == [
        (0.4, 0.45, 0.0), (0.45, 0.5001, 1.0),
    ]  # fmt: skip
    assert sum(band["slices"] for bands in by_decision.values() for band in bands) == 6
    (low, _), (_, high) = ((band["low"], band["high"]) for band in by_decision["malignant"])
    assert (low, high) == (0.7, 1.0), "no farther down than what was tested, and up to certainty"
    assert (by_decision["not_malignant"][0]["low"], by_decision["not_malignant"][-1]["high"]) == (0.0, 0.2001)
    assert by_decision["malignant"][1]["interval"] == exact_bounds(1.0, 1), "one group promises next to nothing"


def test_what_never_failed_is_not_certain():
    assert exact_bounds(1.0, 1) == [0.025, 1.0]
    assert exact_bounds(1.0, 35) == [pytest.approx(0.9, abs=0.001), 1.0]
    assert exact_bounds(0.0, 35) == [0.0, pytest.approx(0.1, abs=0.001)]
    assert exact_bounds(0.97, 35) is None


def test_the_interval_counts_groups():
    values, groups = np.tile([1, 0], 50).repeat(10), np.arange(100).repeat(10)
    wide, narrow = mean(values, groups)["interval"], mean(values, np.arange(1000))["interval"]
    assert wide[1] - wide[0] == pytest.approx(2 * 1.96 * 0.05, rel=0.15)
    assert narrow[1] - narrow[0] == pytest.approx(2 * 1.96 * 0.0158, rel=0.15)
    assert mean(values, groups) == mean(values, groups), "seeded"


def test_a_cards_calibration_is_what_the_application_reads():
    folds = [made_predictions(2.0, 300, seed, first=1000 * seed) for seed in range(5)]
    found = calibration_of(folds)
    read = read_calibration(found)
    assert read.temperature == pytest.approx(2, rel=0.1)
    assert read.thresholds == {label: found["thresholds"][label] for label in LABELS}
    assert (read.slices, read.groups, read.level) == (1500, 1500, LEVEL)
    assert sum(band.slices for band in read.evidence) == 1500
    for decision, bands in (("malignant", 3), ("not_malignant", 3), ("undecided", 2)):
        own = [band for band in read.evidence if band.decision == decision]
        assert len(own) == bands
        assert (own[0].low == 0) == (decision == "not_malignant")
        assert (own[-1].high == 1) == (decision == "malignant")
        assert max(band.slices for band in own) < 1.2 * min(band.slices for band in own)
    assert found["after"]["ece"] < found["before"]["ece"]
