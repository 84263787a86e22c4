"""The ensemble: its figures, its card, and what the engine and the page make of it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from lungapp.cards import ENSEMBLE, ModelCard, read_card, read_ensemble_card, write_card
from lungapp.engine import Engine
from lungapp.errors import WeightsMismatch, WeightsMissing
from lungapp.registry import LABELS, MODELS
from tests.fakes import make_calibration
from tests.folds import write_results
from train import ensemble
from train.calibrate import fit_temperature, leaving_out
from train.metrics import FIGURES
from train.predict import Predictions, pooled, read_folds

NAMES = [spec.name for spec in MODELS]


def predictions(seed: int, n: int = 60, sharpness: float = 1.0) -> Predictions:
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    logits = sharpness * (random.normal(0, 1, (n, 3)) + 1.5 * np.eye(3)[labels])
    return Predictions(tuple(f"{index}.png" for index in range(n)), logits, labels, np.arange(n) // 2)


def test_the_mean_is_of_calibrated_probabilities():
    members = [predictions(1), predictions(2, sharpness=3)]
    found = ensemble.mean_of(members, [1.0, 3.0])
    expected = (members[0].probabilities() + members[1].probabilities(3.0)) / 2
    assert np.allclose(found.probabilities(), expected)
    assert np.array_equal(found.labels, members[0].labels)
    assert found.files == members[0].files


@pytest.mark.parametrize("change", ["order", "label", "group", "fewer"])
def test_members_must_have_scored_the_same_slices(change):
    one, other = predictions(1), predictions(2)
    files, labels, groups, logits = other.files, other.labels.copy(), other.groups.copy(), other.logits
    if change == "order":
        files = files[::-1]
    elif change == "label":
        labels[3] = 2 - labels[3]
    elif change == "group":
        groups[-1] = 99
    else:
        files, labels, groups, logits = files[:-1], labels[:-1], groups[:-1], logits[:-1]
    with pytest.raises(ValueError, match="same slices in the same order"):
        ensemble.mean_of([one, Predictions(files, logits, labels, groups)], [1, 1])


def cards() -> list[ModelCard]:
    return [
        ModelCard({"name": name, "labels": list(LABELS), "weights_sha256": name * 2, "licence": "MIT"})
        for name in NAMES
    ]


def test_the_card_is_a_models_card_of_the_members_calibrated_mean(tmp_path):
    write_results(tmp_path, NAMES)
    made = ensemble.make_ensemble_card(cards(), tmp_path)
    assert json.loads(json.dumps(made)) == made
    assert made["members"] == {name: name * 2 for name in NAMES}
    assert made["calibration"]["temperature"] == 1.0
    found = ensemble.mean_folds(NAMES, "grouped", tmp_path)
    members = [read_folds(name, "grouped", tmp_path) for name in NAMES]
    temperatures = [fit_temperature(leaving_out(folds, 1)) for folds in members]
    mean = np.mean([folds[1].probabilities(t) for folds, t in zip(members, temperatures, strict=True)], axis=0)
    assert found[1].probabilities() == pytest.approx(mean, abs=1e-4)
    whole = pooled(found)
    for name, figure in FIGURES.items():
        value = made["metrics"]["grouped"][name]["value"]
        assert value == pytest.approx(figure(whole.probabilities(), whole.labels), abs=1e-3)
    units = {protocol: made["metrics"][protocol]["bootstrap_units"] for protocol in ("grouped", "image_level")}
    assert units == {"grouped": 117, "image_level": 1054}
    assert made["metrics"]["grouped"]["shipped_fold"]["n"] == len(found[0].files)


def test_without_every_member_there_is_no_mean(tmp_path):
    write_results(tmp_path, NAMES[:2], ["grouped"])
    assert ensemble.mean_folds(NAMES, "grouped", tmp_path) == []


@pytest.fixture
def folder(toy_weights, tmp_path):
    """The toy weights with an ensemble's card that fits them."""
    for path in toy_weights.iterdir():
        shutil.copy(path, tmp_path)
    write_ensemble(tmp_path)
    return tmp_path


def write_ensemble(folder, **change):
    members = {spec.name: read_card(spec, folder).weights_sha256 for spec in MODELS}
    data = {"labels": list(LABELS), "members": members, "calibration": make_calibration(0.3, None), "metrics": {}}
    write_card(data | {"name": ENSEMBLE}, folder)
    if change:
        (folder / f"{ENSEMBLE}.json").write_text(json.dumps(data | {"name": ENSEMBLE} | change))


def test_the_ensembles_card_is_read(folder):
    found = read_ensemble_card(folder)
    assert (found.name, found.labels, found.calibration.thresholds) == (ENSEMBLE, LABELS, dict.fromkeys(LABELS, 0.3))
    assert list(found.members) == NAMES
    assert Engine(folder).ensemble_card() == found


def test_an_ensemble_of_other_weights_is_refused(folder):
    path = folder / f"{NAMES[2]}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"weights_sha256": "0" * 64}))
    with pytest.raises(WeightsMismatch, match=f"weights of {NAMES[2]}. Received: another digest"):
        read_ensemble_card(folder)
    assert Engine(folder).ensemble_card() is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"members": {}}, "members"),
        ({"members": {"vgg": "0"}}, "members"),
        ({"members": ["basic_cnn"]}, "members"),
        ({"labels": ["malignant"]}, "labels"),
        ({"name": "basic_cnn"}, "name"),
    ],
)
def test_a_card_of_something_else_is_refused(folder, change, word):
    write_ensemble(folder, **change)
    with pytest.raises(WeightsMismatch, match=f"Expected {word}"):
        read_ensemble_card(folder)


def test_missing_and_damaged_cards_are_named(folder, tmp_path):
    (folder / f"{ENSEMBLE}.json").write_text("{")
    with pytest.raises(WeightsMismatch, match="JSON model card"):
        read_ensemble_card(folder)
    write_ensemble(folder)
    (folder / f"{NAMES[0]}.json").unlink()
    with pytest.raises(WeightsMissing, match=NAMES[0]):
        read_ensemble_card(folder)
    (folder / f"{ENSEMBLE}.json").unlink()
    with pytest.raises(WeightsMissing, match=f"{ENSEMBLE}.json"):
        read_ensemble_card(folder)
    assert Engine(folder).ensemble_card() is None


def only(label: str) -> dict:
    """A calibration that leaves ``label`` alone, whatever its probability."""
    return make_calibration() | {"thresholds": dict.fromkeys(LABELS, 1.0) | {label: 0.0}}


@pytest.mark.parametrize(("label", "decision"), [("malignant", "malignant"), ("benign", "not_malignant")])
def test_the_ensembles_card_decides_its_answer(folder, thorax, label, decision):
    write_ensemble(folder, calibration=only(label))
    found = Engine(folder).analyse(thorax, "all")
    assert (found.ensemble.answer_set, found.decision, found.status) == ((label,), decision, "confident")
    assert found.ensemble.answer_set not in {prediction.answer_set for prediction in found.predictions}


def test_without_its_card_it_excludes_what_every_member_excludes(folder, thorax):
    """As where one of its members cannot be loaded: the card speaks of another mean."""
    for spec, label in zip(MODELS, ("malignant", "benign", "normal"), strict=True):
        write_card(read_card(spec, folder).data | {"calibration": only(label)}, folder)
    write_ensemble(folder, calibration=only("malignant"))
    (folder / f"{NAMES[1]}.safetensors").unlink()
    analysis = Engine(folder).analyse(thorax, "all")
    assert [prediction.model for prediction in analysis.predictions] == [NAMES[0], NAMES[2]]
    assert analysis.ensemble.answer_set == ("normal", "malignant"), "in the order of the labels"
    assert (analysis.decision, analysis.agreement) == ("undecided", False)
    (folder / f"{NAMES[2]}.safetensors").unlink()
    assert Engine(folder).analyse(thorax, "all").decision == "malignant", "one model alone is its own mean"


def test_an_ensemble_whose_calibration_is_damaged_is_refused(folder):
    write_ensemble(folder, calibration={"level": 0.9, "thresholds": {"malignant": 0.5}})
    with pytest.raises(WeightsMismatch, match=f"calibration in {ENSEMBLE}.json"):
        read_ensemble_card(folder)
    assert Engine(folder).ensemble_card() is None
