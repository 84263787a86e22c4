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
from train import card, ensemble
from train.calibrate import fit_temperature
from train.metrics import FIGURES
from train.pipeline import Part
from train.predict import Predictions, write_predictions

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


@pytest.fixture
def committed(tmp_path):
    """Held-out logits of three members: one grouped run each, image-level seeds 0 and 1, the last only of two."""
    for number, name in enumerate(NAMES):
        for protocol, seed in (("grouped", 0), ("image_level", 0), ("image_level", 1)):
            if number == 2 and seed == 1:
                continue
            folder = tmp_path / "results" / protocol / f"{name}-seed{seed}"
            folder.mkdir(parents=True)
            for offset, part in ((0, "validation"), (500, "test")):
                made = predictions(offset + 10 * seed + number, sharpness=1 + number)
                rows = Part(made.files, np.zeros((60, 1, 1, 1), np.float32), made.labels, made.groups)
                write_predictions(folder / f"{part}.csv", rows, made.logits)
    return tmp_path / "results"


def cards_of(seeds: tuple[int, ...] = (0, 0, 0)) -> list[ModelCard]:
    return [
        ModelCard(
            {"name": name, "labels": list(LABELS), "weights_sha256": name * 2, "data": {"seed": seed}, "licence": "MIT"}
        )
        for name, seed in zip(NAMES, seeds, strict=True)
    ]


def test_only_seeds_that_all_members_have_run_are_averaged(committed):
    found = ensemble.shared_runs(cards_of(), committed)
    assert {protocol: [ensemble.seeds_of(members) for members in seeds] for protocol, seeds in found.items()} == {
        "grouped": [[0, 0, 0]],
        "image_level": [[0, 0, 0]],
    }
    two = ensemble.shared_runs(cards_of()[:2], committed)
    assert [ensemble.seeds_of(members) for members in two["image_level"]] == [[0, 0], [1, 1]]


def test_members_of_several_seeds_or_without_a_run_are_refused(committed):
    with pytest.raises(ValueError, match="of one seed"):
        ensemble.shared_runs(cards_of((0, 0, 1)), committed)
    shutil.rmtree(committed / "grouped" / f"{NAMES[1]}-seed0")
    with pytest.raises(ValueError, match="grouped run of every member"):
        ensemble.shared_runs(cards_of(), committed)


def test_the_card_is_a_models_card(committed):
    runs = ensemble.shared_runs(cards_of(), committed)
    made = ensemble.make_ensemble_card(cards_of(), runs)
    assert json.loads(json.dumps(made)) == made
    assert made["members"] == {name: name * 2 for name in NAMES}
    assert made["calibration"]["temperature"] == 1.0
    tests = [card.read_predictions(run / "test.csv") for run in runs["grouped"][0]]
    temperatures = [fit_temperature(card.read_predictions(run / "validation.csv")) for run in runs["grouped"][0]]
    assert temperatures[2] > 1.5
    mean = np.mean([test.probabilities(t) for test, t in zip(tests, temperatures, strict=True)], axis=0)
    for protocol in ("grouped", "image_level"):
        assert made["metrics"][protocol]["seeds"] == [0]
    for name, figure in FIGURES.items():
        assert made["metrics"]["grouped"][name]["value"] == pytest.approx(figure(mean, tests[0].labels), abs=2e-3)
    assert (made["metrics"]["grouped"]["bootstrap_units"], made["metrics"]["image_level"]["bootstrap_units"]) == (
        30,
        60,
    )
    found = made["calibration"]
    assert found["after"]["brier"] == made["metrics"]["grouped"]["brier"]["value"]
    raw = np.mean([test.probabilities() for test in tests], axis=0)
    assert found["before"]["brier"] == pytest.approx(FIGURES["brier"](raw, tests[0].labels), abs=1e-4)
    single = card.calibration_of(runs["grouped"][0][0])
    assert found.keys() == single.keys()
    assert found["operating_points"]["sensitivity_95"].keys() == {"threshold", "validation", "test"}
    assert sum(part["n"] for part in found["test"].values()) == 60


def test_folds_may_choose_the_threshold_but_for_groups_to_test_on(committed):
    runs = ensemble.shared_runs(cards_of(), committed)["grouped"][0]
    sure = Predictions(("",) * 80, np.tile([9.0, 0, 0], (80, 1)), np.zeros(80, int), np.arange(80))
    elsewhere = Predictions(sure.files, sure.logits, sure.labels, sure.groups + 100)
    for made in (ensemble.calibration_of_mean, lambda paths, folds: card.calibration_of(paths[0], folds)):
        assert made(runs, [elsewhere])["confident_above"] == 0.9
        assert made(runs, [sure])["groups"] == 50, "30 of the 80 groups are tested on"


def test_the_cross_validation_goes_into_the_card(tmp_path, monkeypatch):
    monkeypatch.setattr(card, "CROSSVAL", tmp_path / "crossval.json")
    assert card.crossval_of(ENSEMBLE) == {}
    summary = {"settings": {"folds": 5}, "results": {ENSEMBLE: {"grouped": {"n": 3}}}, "audit": {}}
    card.CROSSVAL.write_text(json.dumps(summary))
    assert card.crossval_of(ENSEMBLE) == {"crossval": {"settings": {"folds": 5}, "grouped": {"n": 3}}}
    assert card.crossval_of("resnet50") == {}
    summary["results"] |= {"resnet50": {}, "nearest_neighbour": {"grouped": {"n": 4}}}
    summary["audit"] = {"resnet50": {"clean": {"accuracy": 1.0}}}
    card.CROSSVAL.write_text(json.dumps(summary))
    found = card.crossval_of("resnet50")["crossval"]
    assert found["audit"] == {"clean": {"accuracy": 1.0}}
    assert found["baselines"] == {"nearest_neighbour": {"grouped": {"n": 4}}}


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
