"""What a card's calibration makes of probabilities: answer sets, decisions, and the evidence behind them."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest

from lungapp.calibration import read_calibration
from lungapp.cards import ModelCard, read_card
from lungapp.engine import Engine
from lungapp.errors import WeightsMismatch
from lungapp.registry import LABELS, get_spec
from tests.fakes import make_calibration

THRESHOLDS = {"normal": 0.2, "benign": 0.1, "malignant": 0.3}


def card(**change) -> ModelCard:
    calibration = make_calibration() | {"thresholds": THRESHOLDS} | change
    return ModelCard({"name": "basic_cnn", "labels": list(LABELS), "calibration": calibration})


@pytest.mark.parametrize(
    ("scores", "answer_set", "decision", "status"),
    [
        ((0.05, 0.05, 0.9), ("malignant",), "malignant", "confident"),
        ((0.6, 0.3, 0.1), ("normal", "benign"), "not_malignant", "uncertain"),
        ((0.9, 0.05, 0.05), ("normal",), "not_malignant", "confident"),
        ((0.05, 0.9, 0.05), ("benign",), "not_malignant", "confident"),
        ((0.1, 0.4, 0.5), ("benign", "malignant"), "undecided", "uncertain"),
        ((0.4, 0.3, 0.3), LABELS, "undecided", "uncertain"),
        ((0.2, 0.5, 0.3), LABELS, "undecided", "uncertain"),  # a class at its threshold stays
    ],
)
def test_a_class_stays_while_it_reaches_its_own_threshold(scores, answer_set, decision, status):
    found = card().predict(np.array(scores), "bf16")
    assert (found.answer_set, found.decision, found.status) == (tuple(answer_set), decision, status)
    assert (found.model, found.labels, found.precision) == ("basic_cnn", LABELS, "bf16")
    assert list(found.scores().values()) == list(scores)


def test_where_no_class_is_left_nothing_can_be_excluded():
    found = card(thresholds=dict.fromkeys(LABELS, 0.9)).predict(np.array([0.5, 0.3, 0.2]))
    assert (found.answer_set, found.decision, found.status) == (LABELS, "undecided", "uncertain")


def test_a_forced_answer_excludes_nothing():
    found = card().predict(np.array([0.05, 0.05, 0.9])).forced()
    assert (found.answer_set, found.decision, found.status) == (LABELS, "undecided", "uncertain")
    assert found.probability == 0.9


@pytest.mark.parametrize(
    ("scores", "right"),
    [
        ((0.05, 0.05, 0.9), 0.9),  # from its lower end on
        ((0.0, 0.0, 1.0), 0.9),  # 1 belongs to the last band
        ((0.05, 0.0999, 0.8501), 0.8),
        ((0.1, 0.4, 0.5), 0.3),  # of its own decision
        ((0.9, 0.05, 0.05), None),  # nothing like it was tested
    ],
)
def test_the_evidence_is_of_the_same_decision_and_band(scores, right):
    band = make_calibration()["evidence"][0]
    bands = [band | {"low": low, "high": high, "right": share, "interval": [0.0, 1.0], "decision": decision}
             for decision, low, high, share in (("malignant", 0.7, 0.9, 0.8), ("malignant", 0.9, 1.0, 0.9),
                                                ("undecided", 0.3, 1.0, 0.3))]  # fmt: skip
    asked = card(evidence=bands)
    evidence = asked.calibration.evidence_for(asked.predict(np.array(scores)))
    assert (evidence and evidence.right) == right


def test_bands_may_be_missing():
    stated = make_calibration()
    del stated["evidence"]
    assert read_calibration(stated).evidence == ()


DAMAGED = {
    "nothing": None,
    "a list": [],
    "no thresholds": {"thresholds": None},
    "thresholds in a list": {"thresholds": [0.2, 0.1, 0.3]},
    "a missing class": {"thresholds": {"normal": 0.2, "malignant": 0.3}},
    "a foreign class": {"thresholds": THRESHOLDS | {"other": 0.1}},
    "NaN": {"thresholds": THRESHOLDS | {"malignant": math.nan}},
    "a negative one": {"thresholds": THRESHOLDS | {"malignant": -0.1}},
    "one above 1": {"thresholds": THRESHOLDS | {"malignant": 1.01}},
    "null": {"thresholds": THRESHOLDS | {"malignant": None}},
    "text": {"thresholds": THRESHOLDS | {"malignant": "0.3"}},
    "true": {"thresholds": THRESHOLDS | {"malignant": True}},
    "one nested": {"thresholds": THRESHOLDS | {"malignant": {"value": 0.3}}},
    "thresholds nested": {"thresholds": {"thresholds": THRESHOLDS}},
    "no temperature": {"temperature": None},
    "temperature 0": {"temperature": 0},
    "temperature infinite": {"temperature": math.inf},
    "no level": {"level": None},
    "level 0": {"level": 0},
    "level 1": {"level": 1.0},
    "level in per cent": {"level": 90},
    "no slices": {"slices": 0},
    "half a group": {"groups": 2.5},
    "evidence as an object": {"evidence": {}},
    "a band as a list": {"evidence": [[0, 1]]},
}
BANDS = {
    "of no decision": {"decision": "benign"},
    "turned": {"low": 0.9, "high": 0.5},
    "without an end": {"high": None},
    "NaN": {"right": math.nan},
    "above 1": {"right": 94},
    "no interval": {"interval": None},
    "half an interval": {"interval": [0.9]},
    "an interval turned": {"interval": [0.97, 0.89]},
    "an interval of text": {"interval": ["0.9", "1"]},
    "no slices": {"slices": None},
}
DAMAGED |= {f"a band {name}": {"evidence": [make_calibration()["evidence"][0] | band]} for name, band in BANDS.items()}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_calibration_makes_the_card_unusable(toy_weights, tmp_path, name):
    """And never an answer confident: the model cannot be asked."""
    change = DAMAGED[name]
    data = copy.deepcopy(read_card(get_spec("basic_cnn"), toy_weights).data)
    data["calibration"] = data["calibration"] | change if isinstance(change, dict) else change
    (tmp_path / "basic_cnn.json").write_text(json.dumps(data))
    with pytest.raises(WeightsMismatch, match=r"Expected (the calibration in )?basic_cnn\.json"):
        read_card(get_spec("basic_cnn"), tmp_path)
    assert Engine(tmp_path).cards() == ()
