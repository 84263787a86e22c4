"""Augmentation, figures, calibration, recipes, and a whole training run on a made-up dataset."""

from __future__ import annotations

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungapp.errors import WeightsMismatch, WeightsMissing
from lungapp.models import build_model, load_model
from lungapp.preprocessing import to_input
from lungapp.registry import LABELS, MODELS, get_spec
from tests.conftest import write_dataset
from train import augment, baselines, card, fit, pipeline, publish, recipes
from train.calibrate import calibrate, confidence_threshold, fit_temperature
from train.data import build_manifest, split, write_manifest, write_split
from train.evaluate import differences
from train.fused import with_fused_normalisation
from train.metrics import FIGURES, expected_calibration_error, figures, sensitivity_at_95_specificity
from train.pipeline import class_weights, training_batches
from train.predict import Predictions
from train.pretrained import load_backbone, silence_residuals
from train.recipes import recipe


@given(seed=st.integers(0, 1000), size=st.integers(16, 64))
@settings(max_examples=25, deadline=None)
def test_augmented_inputs_stay_inputs(seed, size):
    batch = np.random.default_rng(seed).uniform(0, 1, (3, size, size, 1)).astype(np.float32)
    before = batch.copy()
    changed = augment.augment(batch, np.random.default_rng(seed))
    assert changed.shape == batch.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert np.array_equal(batch, before)
    assert np.array_equal(changed, augment.augment(batch, np.random.default_rng(seed)))


def test_every_picture_is_changed_on_its_own(thorax):
    picture = to_input(thorax, MODELS[0])
    changed = augment.augment(np.stack([picture] * 4), np.random.default_rng(0))
    for index in range(3):
        assert np.abs(changed[index] - changed[index + 1]).mean() > 0.01


def test_jitter_leaves_the_outside_of_the_body_black(thorax):
    picture = to_input(thorax, MODELS[0])[..., 0]
    assert not augment.jitter_greys(picture, np.random.default_rng(0))[picture == 0].any()


def test_moving_stays_within_its_bounds():
    """A spot in the middle moves by no more than the shift and the flip's half pixel."""
    picture = np.zeros((101, 101), np.float32)
    picture[48:53, 48:53] = 1
    for seed in range(40):
        moved = augment.move(picture, np.random.default_rng(seed))
        rows, columns = np.nonzero(moved > 0.5)
        assert abs(rows.mean() - 50) < 101 * augment.ZOOM / 3 + 1
        assert abs(columns.mean() - 50) < 101 * augment.ZOOM / 3 + 1


def test_class_weights_give_each_class_the_same_sum():
    labels = np.array([0] * 60 + [1] * 10 + [2] * 30)
    weights = class_weights(labels)[labels]
    assert weights.sum() == pytest.approx(100)
    assert [weights[labels == label].sum() for label in range(3)] == pytest.approx([100 / 3] * 3)


def test_training_batches_cover_every_slice_once_an_epoch():
    inputs = np.linspace(0.1, 0.9, 20, dtype=np.float32)[:, None, None, None] * np.ones((20, 16, 16, 1), np.float32)
    part = pipeline.Part(("",) * 20, inputs, np.arange(20) % 3, np.arange(20))
    batches = list(training_batches(part, 8, seed=0))
    assert [len(x) for x, _, _ in batches] == [8, 8, 4]
    targets = np.concatenate([y for _, y, _ in batches])
    assert targets.sum(axis=0).tolist() == [7, 7, 6]


PERFECT = np.eye(3)[[0, 1, 2, 0, 2, 2]] * 0.97 + 0.01
TRUTH = np.array([0, 1, 2, 0, 2, 2])


def test_figures_of_a_perfect_model():
    found = figures(PERFECT[None], TRUTH, np.arange(6))
    for name in set(FIGURES) - {"ece"}:
        assert found[name] == {"value": 1.0, "interval": [1.0, 1.0]}
    assert found["confusion_matrix"] == [[2, 0, 0], [0, 1, 0], [0, 0, 3]]
    assert found["n"] == 6


def test_figures_by_hand():
    predicted = np.array([0, 0, 2, 2, 2, 2])
    found = figures((np.eye(3)[predicted])[None], TRUTH, np.arange(6))
    assert found["accuracy"]["value"] == pytest.approx(4 / 6, abs=1e-4)
    assert found["balanced_accuracy"]["value"] == pytest.approx((1 / 2 + 0 + 1) / 3, abs=1e-4)
    assert found["precision_macro"]["value"] == pytest.approx((1 / 2 + 0 + 3 / 4) / 3, abs=1e-4)
    assert found["confusion_matrix"] == [[1, 0, 1], [1, 0, 0], [0, 0, 3]]


def test_the_interval_of_an_accuracy_is_the_binomial_one():
    random = np.random.default_rng(0)
    labels = np.tile([0, 1, 2], 100)
    predicted = np.where(random.random(300) < 0.8, labels, (labels + 1) % 3)
    found = figures(np.eye(3)[predicted][None], labels, np.arange(300))["accuracy"]
    expected = 1.96 * np.sqrt(found["value"] * (1 - found["value"]) / 300)
    assert found["interval"][1] - found["interval"][0] == pytest.approx(2 * expected, rel=0.15)


def test_intervals_over_groups_are_wider_than_over_slices():
    """Ten slices that are right or wrong together say as much as one."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(30) % 3, 10)
    right = np.repeat(random.random(30) < 0.7, 10)
    probabilities = np.eye(3)[np.where(right, labels, (labels + 1) % 3)][None]
    slices = figures(probabilities, labels, np.arange(300))["accuracy"]["interval"]
    groups = figures(probabilities, labels, np.repeat(np.arange(30), 10))["accuracy"]["interval"]
    assert groups[1] - groups[0] > 2 * (slices[1] - slices[0])


def test_several_runs_are_averaged():
    wrong = np.roll(PERFECT, 1, axis=1)
    found = figures(np.stack([PERFECT, wrong]), TRUTH, np.arange(6))
    assert found["accuracy"]["value"] == 0.5
    assert found["runs"] == 2
    assert np.sum(found["confusion_matrix"]) == 12


def test_calibration_error_and_sensitivity_by_hand():
    probabilities = np.array([[0.9, 0.05, 0.05]] * 10)
    assert expected_calibration_error(probabilities, np.array([0] * 9 + [1])) == pytest.approx(0.0, abs=1e-9)
    assert expected_calibration_error(probabilities, np.array([0] * 5 + [1] * 5)) == pytest.approx(0.4)
    labels = np.array([2] * 10 + [0] * 40)
    malignant = np.concatenate([np.linspace(0.5, 0.95, 10), [0.9, 0.8], np.linspace(0, 0.4, 38)])
    scores = np.stack([1 - malignant, np.zeros(50), malignant], axis=1)
    assert sensitivity_at_95_specificity(scores, labels) == pytest.approx(1.0)


def made_predictions(temperature: float, n: int = 4000) -> Predictions:
    """Logits that are ``temperature`` times too sharp for how their labels were drawn."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (n, 3))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([random.choice(3, p=p) for p in true])
    return Predictions(("",) * n, logits * temperature, labels, np.arange(n))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_overconfident_logits_is_found(temperature):
    assert fit_temperature(made_predictions(temperature)) == pytest.approx(temperature, rel=0.06)


def test_calibration_lowers_the_calibration_error():
    made = made_predictions(3.0)
    found = calibrate(made)
    before = expected_calibration_error(made.probabilities(), made.labels)
    after = expected_calibration_error(made.probabilities(found["temperature"]), made.labels)
    assert after < 0.03 < 0.15 < before


def test_the_confidence_threshold_keeps_its_promise():
    made = made_predictions(1.0)
    probabilities = made.probabilities()
    threshold = confidence_threshold(probabilities, made.labels)
    confident = probabilities.max(axis=1) >= threshold
    assert 0.1 < confident.mean() < 0.9
    assert (probabilities.argmax(axis=1) == made.labels)[confident].mean() >= 0.9


def test_no_threshold_is_given_where_none_keeps_the_promise():
    random = np.random.default_rng(0)
    probabilities = random.dirichlet((1, 1, 1), 300)
    assert confidence_threshold(probabilities, random.integers(0, 3, 300)) == 1.0


def test_recipes_end_at_the_size_that_is_served():
    for spec in MODELS:
        for pretrained in ("none", "imagenet"):
            assert recipe(spec.name, pretrained)[-1].size == spec.size


def test_transfer_learning_first_freezes_the_backbone():
    stages = recipe("resnet50", "imagenet")
    model = build_model(get_spec("resnet50"))
    for stage, expected in zip(stages, ({"logits"}, {"conv5", "logits"}), strict=True):
        fit._set_trainable(model, stage.trainable)
        trained = {variable.path.split("/")[0].split("_")[0] for variable in model.trainable_variables}
        assert trained == expected


def test_silent_residuals_leave_a_block_its_shortcut():
    model = build_model(replace(get_spec("resnet50"), size=64))
    silence_residuals(model)
    view = keras.Model(model.input, [model.get_layer(f"conv2_block{block}_out").output for block in (1, 2, 3)])
    picture = np.random.default_rng(0).uniform(0, 1, (1, 64, 64, 1)).astype(np.float32)
    first, second, third = view.predict(picture, verbose=0)
    assert first.any()
    assert np.array_equal(first, second)
    assert np.array_equal(second, third)


def test_fused_normalisation_is_keras_normalisation():
    random = np.random.default_rng(0)
    inputs = keras.Input((6, 5, 4))
    model = keras.Model(inputs, keras.layers.BatchNormalization()(inputs))
    model.set_weights([random.uniform(0.5, 2, w.shape) for w in model.weights])
    fused = with_fused_normalisation(model)
    x = random.normal(size=(3, 6, 5, 4)).astype(np.float32)
    for training in (False, True):
        expected, found = (keras.ops.convert_to_numpy(m(x, training=training)) for m in (model, fused))
        assert np.allclose(found, expected, atol=1e-4)


@pytest.fixture(scope="module")
def backbone_file(tmp_path_factory):
    keras.utils.set_random_seed(4)
    path = tmp_path_factory.mktemp("backbone") / "resnet50.weights.h5"
    backbone = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(224, 224, 3))
    backbone.save_weights(path)
    return path, backbone


def test_a_backbone_comes_from_a_weights_file(backbone_file):
    path, backbone = backbone_file
    model = build_model(get_spec("resnet50"))
    load_backbone(model, str(path))
    expected = backbone.get_layer("conv5_block3_3_conv").get_weights()[0]
    assert np.array_equal(model.get_layer("conv5_block3_3_conv").get_weights()[0], expected)


def test_imagenet_weights_come_through_keras(backbone_file, monkeypatch):
    _, backbone = backbone_file
    asked = []
    monkeypatch.setattr(keras.applications, "ResNet50", lambda **options: asked.append(options) or backbone)
    model = keras.Model(backbone.input, backbone.output)
    load_backbone(model, "imagenet")
    assert asked == [{"include_top": False, "weights": "imagenet", "input_shape": (224, 224, 3)}]


def test_weights_that_cannot_be_had_say_what_to_do(monkeypatch, tmp_path):
    model = build_model(MODELS[0])
    with pytest.raises(WeightsMissing, match="Expected --pretrained"):
        load_backbone(model, str(tmp_path / "absent.h5"))
    (tmp_path / "other.weights.h5").write_bytes(b"no weights")
    with pytest.raises(WeightsMismatch, match="ResNet-50 without top"):
        load_backbone(model, str(tmp_path / "other.weights.h5"))

    def refuse(**options):
        raise ConnectionError("no route")

    monkeypatch.setattr(keras.applications, "ResNet50", refuse)
    with pytest.raises(WeightsMissing, match="--pretrained none"):
        load_backbone(model, "imagenet")


@pytest.fixture
def small_world(tmp_path, monkeypatch):
    """A made-up dataset with its own splits, short recipes, and folders that are not the project's."""
    root = write_dataset(tmp_path / "set", (24, 18, 30), size=140)
    splits, weights = tmp_path / "splits", tmp_path / "weights"
    splits.mkdir()
    weights.mkdir()
    entries = build_manifest(root)
    write_manifest(entries, splits / "manifest.csv")
    for protocol in ("grouped", "image_level"):
        write_split(split(entries, protocol), splits / f"{protocol}.csv")
    monkeypatch.setattr(pipeline, "read_manifest", lambda: entries)
    monkeypatch.setattr(card, "read_manifest", lambda: entries)
    monkeypatch.setattr(pipeline, "read_split", lambda protocol: split(entries, protocol))
    monkeypatch.setitem(recipes.RECIPES, "basic_cnn", (recipes.Stage(2, 1e-3, batch=8),))
    monkeypatch.setattr(publish, "WEIGHTS", weights)
    monkeypatch.setattr(publish, "PREDICTIONS", tmp_path / "results")
    return tmp_path, root


def test_a_run_from_pictures_to_a_card_that_loads(small_world):
    place, root = small_world
    runs = place / "runs"
    spec = get_spec("basic_cnn")
    common = ["--data", str(root), "--runs", str(runs), "--precision", "float32"]
    fit.main(["basic_cnn", "--protocol", "grouped", *common])
    for seed in ("0", "1"):
        fit.main(["basic_cnn", "--protocol", "image_level", "--seed", seed, *common])
    run = runs / "grouped" / "basic_cnn-seed0"
    expected = {
        "weights.safetensors",
        "card.json",
        "history.png",
        "confusion.png",
        "stage1.csv",
        "test.csv",
        "validation.csv",
    }
    assert expected <= {path.name for path in run.iterdir()}
    assert len((run / "stage1.csv").read_text().splitlines()) == 3
    before = (run / "weights.safetensors").read_bytes()
    fit.main(["basic_cnn", "--protocol", "grouped", *common])  # a finished run is not trained again
    assert (run / "weights.safetensors").read_bytes() == before
    publish.publish(spec, runs, 0)
    _, loaded = load_model(spec, place / "weights")
    assert loaded.data["metrics"]["image_level"]["seeds"] == [0, 1]
    assert loaded.data["metrics"]["grouped"]["runs"] == 1
    assert loaded.data["pretraining"] == "none"
    assert (
        sum(map(sum, loaded.data["metrics"]["grouped"]["confusion_matrix"])) == loaded.data["metrics"]["grouped"]["n"]
    )


def test_an_interrupted_run_goes_on_where_it_stopped(small_world, monkeypatch):
    place, root = small_world
    monkeypatch.setitem(recipes.RECIPES, "basic_cnn", (recipes.Stage(3, 1e-3, batch=8),))
    arguments = ["basic_cnn", "--data", str(root), "--runs", str(place / "runs"), "--precision", "float32"]
    seen = []

    class Interrupt(keras.callbacks.CSVLogger):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            seen.append(epoch)
            if len(seen) == 2:
                self.csv_file.close()
                raise KeyboardInterrupt

    monkeypatch.setattr(keras.callbacks, "CSVLogger", Interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit.main(arguments)
    fit.main(arguments)
    assert seen[:2] == [0, 1]
    assert seen[2] in (1, 2)  # from the backup of the last finished epoch, not from the start
    assert seen[-1] == 2


def test_pretrained_weights_are_for_resnet50_only(capsys):
    with pytest.raises(SystemExit, match="resnet50 only"):
        fit.main(["basic_cnn", "--pretrained", "imagenet"])


def test_the_baselines_see_what_they_say_they_see():
    random = np.random.default_rng(0)
    picture = random.uniform(0, 255, (64, 80))
    assert baselines.statistics(picture).shape == (14,)
    train = random.normal(size=(9, 50))
    labels = np.arange(9) % 3
    found = baselines.nearest_neighbour(train, labels, train * 3 + 5)
    assert found.argmax(axis=1).tolist() == labels.tolist()


def test_evaluation_names_every_difference():
    expected = {"a": {"value": 0.5, "interval": [0.1, 0.2]}, "n": 3, "m": [[1, 2]]}
    assert not list(differences(expected, {"a": {"value": 0.5004}, "m": [[1, 2]]}))
    found = list(differences(expected, {"a": {"value": 0.6, "interval": [0.1, 0.4]}, "n": 4, "m": [[1, 3]], "new": 1}))
    assert [line.split(":")[0] for line in found] == ["/a/value", "/a/interval/1", "/n", "/m/0/1", "/new"]


def test_training_and_serving_share_one_input(small_world, thorax):
    """The picture a model is trained on is the picture `to_input` gives, at any training size."""
    _, root = small_world
    entries = pipeline.entries_of("grouped", "test")
    spec = get_spec("basic_cnn")
    from lungapp.reading import read_slice

    part = pipeline.load_part(root, entries, spec, 112)
    for entry, picture in zip(entries, part.inputs, strict=True):
        assert np.array_equal(picture, to_input(read_slice(root / entry.file), replace(spec, size=112)))
    assert [LABELS[label] for label in part.labels] == [entry.label for entry in entries]
    assert json.dumps(part.groups.tolist())
