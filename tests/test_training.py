"""Augmentation, figures, calibration, recipes, and a whole training run on a made-up dataset."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungapp.errors import WeightsMismatch, WeightsMissing
from lungapp.models import FINER, build_model, load_model
from lungapp.preprocessing import to_input
from lungapp.registry import LABELS, MODELS, get_spec
from lungapp.weights_io import read_weights, write_weights
from tests.conftest import write_dataset
from train import augment, baselines, card, fit, pipeline, publish, recipes
from train.calibrate import calibrate, confidence_threshold, fit_temperature
from train.data import build_manifest, split, write_manifest
from train.evaluate import differences
from train.fused import with_fused_normalisation
from train.group_head import keep_largest_groups, with_group_head
from train.metrics import FIGURES, Judged, expected_calibration_error, figures, sensitivity_at_95_specificity
from train.net2net import grow
from train.pipeline import class_weights, training_batches, validation_batches
from train.predict import Predictions
from train.pretrained import load_backbone
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


def test_class_weights_go_with_the_square_root():
    labels = np.array([0] * 90 + [1] * 10 + [2] * 40)
    weights = class_weights(labels)
    assert weights / weights[0] == pytest.approx([1, 3, 1.5])
    assert weights[labels].mean() == pytest.approx(1)


def test_neighbours_are_the_most_similar_slices_of_the_group():
    greys = np.array([0.1, 0.2, 0.35, 0.9, 0.21, 0.5])
    groups = np.array([7, 7, 7, 7, 4, 2])
    inputs = greys.astype(np.float32)[:, None, None, None] * np.ones((6, 32, 32, 1), np.float32)
    near = augment.neighbours(inputs, groups)
    assert near.shape == (6, augment.NEIGHBOURS)
    assert near[0].tolist() == [1, 2, 3]
    assert near[3].tolist() == [2, 1, 0]
    assert near[4].tolist() == [4, 4, 4]


@given(seed=st.integers(0, 1000))
def test_interpolation_stays_between_a_slice_and_a_neighbour(seed):
    random = np.random.default_rng(seed)
    inputs = random.uniform(0, 1, (5, 8, 8, 1)).astype(np.float32)
    near = np.array([[1, 1, 1], [2, 2, 2], [3, 3, 3], [4, 4, 4], [4, 4, 4]])
    chosen = np.array([0, 1, 2, 3, 4, 0])
    found = augment.interpolate(inputs, chosen, near, random)
    low, high = np.minimum(inputs[chosen], inputs[near[chosen, 0]]), np.maximum(inputs[chosen], inputs[near[chosen, 0]])
    assert found.dtype == np.float32
    assert (found >= low - 1e-6).all()
    assert (found <= high + 1e-6).all()
    assert np.abs(found - inputs[chosen]).max() <= np.abs(high - low).max() / 2 + 1e-6
    assert np.allclose(found[4], inputs[4])


def test_training_batches_cover_every_slice_once_an_epoch():
    inputs = np.linspace(0.1, 0.9, 20, dtype=np.float32)[:, None, None, None] * np.ones((20, 16, 16, 1), np.float32)
    part = pipeline.Part(("",) * 20, inputs, np.arange(20) % 3, np.arange(20))
    batches = list(training_batches(part, 8, seed=0))
    assert [len(x) for x, _, _ in batches] == [8, 8, 4]
    targets = np.concatenate([y["probabilities"] for _, y, _ in batches])
    assert targets.sum(axis=0).tolist() == [7, 7, 6]
    groups = np.concatenate([y["groups"] for _, y, _ in batches])
    assert groups.sum(axis=0).tolist() == [1] * 20


def test_a_group_on_two_labels_makes_two_classes():
    part = pipeline.Part(("",) * 4, np.zeros((4, 8, 8, 1), np.float32), np.array([0, 1, 1, 0]), np.array([5, 5, 9, 5]))
    assert pipeline.group_classes(part).tolist() == [0, 1, 2, 0]


def test_validation_judges_the_labels_alone():
    """The loss that picks the epoch is the labels': validation groups are unknown to the model."""
    inputs = np.random.default_rng(0).uniform(0, 1, (8, 224, 224, 1)).astype(np.float32)
    part = pipeline.Part(("",) * 8, inputs, np.arange(8) % 3, np.arange(8) + 100)
    model = build_model(get_spec("basic_cnn"))
    two_headed = with_group_head(model, 5)
    loss = keras.losses.CategoricalCrossentropy()
    two_headed.compile(loss={"probabilities": loss, "groups": loss}, loss_weights={"probabilities": 1, "groups": 0.5})
    found = two_headed.evaluate(validation_batches(part, 5), return_dict=True, verbose=0)
    probabilities = model.predict(inputs, verbose=0)[np.arange(8), part.labels]
    expected = np.mean(-np.log(probabilities) * class_weights(part.labels)[part.labels])
    assert found["loss"] == pytest.approx(expected, rel=1e-4)


def test_the_group_head_leaves_the_model_as_it_was():
    model = build_model(get_spec("basic_cnn"))
    before = len(model.weights)
    two_headed = with_group_head(model, 7)
    picture = np.full((1, 224, 224, 1), 0.5, np.float32)
    found = two_headed.predict(picture, verbose=0)
    assert found["groups"].shape == (1, 7)
    assert np.allclose(found["probabilities"], model.predict(picture, verbose=0), atol=1e-6)
    assert len(model.weights) == before


def test_the_served_model_keeps_the_largest_groups_of_each_label():
    """Its probabilities are the geometric mean of the labels' head and of the summed groups it kept."""
    keras.utils.set_random_seed(3)
    model = build_model(get_spec("advanced_cnn"))
    sizes = np.concatenate([np.arange(1, FINER + 5), [2, 3], [4]])  # more groups than fit, fewer, one alone
    group_labels = np.repeat([0, 1, 2], [FINER + 4, 2, 1])
    trained = with_group_head(model, len(sizes))
    trained.get_layer("group_logits").bias.assign(np.random.default_rng(0).normal(size=len(sizes)))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    keep_largest_groups(model, trained, groups, group_labels[groups])
    picture = np.random.default_rng(1).uniform(0, 1, (1, 224, 224, 1)).astype(np.float32)
    both = trained.predict(picture, verbose=0)
    kept = both["groups"][0].astype(np.float64)
    kept[:4] = 0  # the smallest of the first label
    summed = np.bincount(group_labels, kept)
    expected = np.sqrt(summed / summed.sum() * both["probabilities"][0])
    assert np.allclose(model.predict(picture, verbose=0)[0], expected / expected.sum(), atol=1e-4)
    logits = keras.Model(model.input, model.get_layer("label_logits").output)
    assert np.allclose(logits.predict(picture, verbose=0).sum(), 0, atol=1e-4)  # centred


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A teacher that has seen better days, the ResNet-50 that starts as it, and the slices it was measured on."""
    keras.utils.set_random_seed(2)
    random = np.random.default_rng(0)
    teacher = build_model(get_spec("advanced_cnn"))
    for layer in teacher.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, array.shape) for array in layer.get_weights()])
        elif layer.name != "logits":
            layer.set_weights([array + random.normal(0, 0.02, array.shape) for array in layer.get_weights()])
    path = tmp_path_factory.mktemp("teacher") / "weights.safetensors"
    write_weights(teacher, path)
    pictures = random.uniform(0, 1, (4, 224, 224, 1)).astype(np.float32)
    model = build_model(get_spec("resnet50"))
    grow(model, path, pictures)
    read_weights(teacher, path)
    return teacher, model, pictures


@pytest.mark.parametrize(
    ("layer", "channels", "of_teacher", "edge"),
    [
        ("pool1_pool", slice(0, 32), "stage1_pool", 3),
        ("conv2_block1_out", slice(0, 48), "stage2_conv1", 4),
        ("conv3_block2_out", slice(96, 192), "stage3_conv2", 5),
        ("conv4_block3_out", slice(320, 576), "features", 6),
    ],
)
def test_resnet_starts_with_the_feature_maps_of_its_teacher(grown, layer, channels, of_teacher, edge):
    """Away from the edges, where folding meets padding, they are the same to the rounding of stored weights."""
    teacher, model, pictures = grown
    expected = keras.Model(teacher.input, teacher.get_layer(of_teacher).output).predict(pictures, verbose=0)
    found = keras.Model(model.input, model.get_layer(layer).output).predict(pictures, verbose=0)[..., channels]
    inside = (slice(None), slice(edge, -edge), slice(edge, -edge))
    assert expected[inside].std() > 0
    assert np.allclose(found[inside], expected[inside], atol=1e-3 * expected.std())


def test_resnet_starts_with_the_pooled_features_of_its_teacher(grown):
    teacher, model, pictures = grown
    maps = keras.Model(teacher.input, teacher.get_layer("features").output).predict(pictures, verbose=0)
    expected = maps.reshape(len(maps), 7, 2, 7, 2, 256).max(axis=(2, 4))
    found = keras.Model(model.input, model.get_layer("features").output)(pictures).numpy()
    assert np.allclose(found[:, 3, 3, :256], expected[:, 3, 3], atol=1e-3 * expected.std())
    assert found[..., 256:].std() > 0


def test_training_starts_from_what_was_measured(grown):
    """Batch statistics and moving averages are the same on the slices that set them."""
    _, model, pictures = grown
    features = keras.Model(model.input, model.get_layer("features").output)
    served = features(pictures, training=False).numpy()
    assert np.allclose(features(pictures, training=True), served, atol=1e-3 * served.std())


def test_resnet_needs_a_trained_teacher(tmp_path):
    model = build_model(get_spec("resnet50"))
    with pytest.raises(WeightsMissing, match="trained advanced_cnn to start from"):
        grow(model, tmp_path / "absent.safetensors", np.zeros((1, 224, 224, 1), np.float32))


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


PERFECT = np.eye(3)[[0, 1, 2, 0, 2, 2]] * 0.97 + 0.01
TRUTH = np.array([0, 1, 2, 0, 2, 2])


def test_figures_of_a_perfect_model():
    found = figures([Judged(PERFECT, TRUTH, np.arange(6))])
    for name in set(FIGURES) - {"ece"}:
        assert found[name] == {"value": 1.0, "interval": [1.0, 1.0]}
    assert found["confusion_matrix"] == [[2, 0, 0], [0, 1, 0], [0, 0, 3]]
    assert found["n"] == 6


def test_figures_by_hand():
    predicted = np.array([0, 0, 2, 2, 2, 2])
    found = figures([Judged(np.eye(3)[predicted], TRUTH, np.arange(6))])
    assert found["accuracy"]["value"] == pytest.approx(4 / 6, abs=1e-4)
    assert found["balanced_accuracy"]["value"] == pytest.approx((1 / 2 + 0 + 1) / 3, abs=1e-4)
    assert found["precision_macro"]["value"] == pytest.approx((1 / 2 + 0 + 3 / 4) / 3, abs=1e-4)
    assert found["confusion_matrix"] == [[1, 0, 1], [1, 0, 0], [0, 0, 3]]


def test_the_interval_of_an_accuracy_is_the_binomial_one():
    random = np.random.default_rng(0)
    labels = np.tile([0, 1, 2], 100)
    predicted = np.where(random.random(300) < 0.8, labels, (labels + 1) % 3)
    found = figures([Judged(np.eye(3)[predicted], labels, np.arange(300))])["accuracy"]
    expected = 1.96 * np.sqrt(found["value"] * (1 - found["value"]) / 300)
    assert found["interval"][1] - found["interval"][0] == pytest.approx(2 * expected, rel=0.15)


def test_intervals_over_groups_are_wider_than_over_slices():
    """Ten slices that are right or wrong together say as much as one."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(30) % 3, 10)
    right = np.repeat(random.random(30) < 0.7, 10)
    probabilities = np.eye(3)[np.where(right, labels, (labels + 1) % 3)]
    slices = figures([Judged(probabilities, labels, np.arange(300))])["accuracy"]["interval"]
    groups = figures([Judged(probabilities, labels, np.repeat(np.arange(30), 10))])["accuracy"]["interval"]
    assert groups[1] - groups[0] > 2 * (slices[1] - slices[0])


def test_several_runs_are_averaged():
    wrong = np.roll(PERFECT, 1, axis=1)
    found = figures([Judged(PERFECT, TRUTH, np.arange(6)), Judged(wrong, TRUTH, np.arange(6))])
    assert found["accuracy"]["value"] == 0.5
    assert found["runs"] == 2
    assert np.sum(found["confusion_matrix"]) == 12


def test_runs_on_other_slices_say_more_than_runs_on_the_same():
    """A slice tested twice is drawn for both runs: repeating a test makes no interval narrower."""
    random = np.random.default_rng(0)
    labels = np.tile([0, 1, 2], 30)
    answers = [np.eye(3)[np.where(random.random(90) < 0.8, labels, (labels + 1) % 3)] for _ in range(4)]

    def width(units):
        runs = [Judged(answer, labels, unit) for answer, unit in zip(answers, units, strict=True)]
        low, high = figures(runs)["accuracy"]["interval"]
        return high - low

    once = figures([Judged(answers[0], labels, np.arange(90))])["accuracy"]["interval"]
    answers = [answers[0]] * 4
    assert width([np.arange(90)] * 4) == pytest.approx(once[1] - once[0], abs=0.01)
    assert width([np.arange(90) + 90 * run for run in range(4)]) < 0.7 * (once[1] - once[0])


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


@pytest.mark.parametrize("temperature", [1.2, 2.0, 3.0])
def test_the_temperature_of_overconfident_logits_is_found(temperature):
    assert fit_temperature(made_predictions(temperature)) == pytest.approx(temperature, rel=0.06)


def test_no_temperature_makes_a_model_surer_of_itself():
    assert fit_temperature(made_predictions(0.5)) == pytest.approx(1, abs=1e-3)


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


def test_nothing_below_ninety_percent_counts_as_confident_however_easy_the_validation():
    probabilities = np.repeat([[0.5, 0.3, 0.2], [0.95, 0.03, 0.02]], 50, axis=0)
    assert confidence_threshold(probabilities, np.zeros(100, int)) == 0.9


def test_no_threshold_is_given_where_none_keeps_the_promise():
    random = np.random.default_rng(0)
    probabilities = random.dirichlet((1, 1, 1), 300)
    assert confidence_threshold(probabilities, random.integers(0, 3, 300)) == 1.0


def test_transfer_learning_first_freezes_the_backbone():
    stages = recipe("resnet50", "imagenet")
    model = with_group_head(build_model(get_spec("resnet50")), 4)
    for stage, expected in zip(stages, ({"logits", "group"}, {"conv5", "logits", "group"}), strict=True):
        fit._set_trainable(model, stage.trainable)
        trained = {variable.path.split("/")[0].split("_")[0] for variable in model.trainable_variables}
        assert trained == expected


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
    monkeypatch.setattr(pipeline, "read_manifest", lambda: entries)
    monkeypatch.setattr(card, "read_manifest", lambda: entries)
    monkeypatch.setattr(pipeline, "read_split", lambda protocol, seed: split(entries, protocol, seed))
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


def test_an_averaged_stage_ends_with_its_average(small_world, monkeypatch):
    """An average that never forgets its first step stays within one step of where the stage began."""
    place, root = small_world
    stages = (recipes.Stage(1, 1e-3, batch=8), recipes.Stage(3, 1e-3, batch=8, averaged=True))
    monkeypatch.setitem(recipes.RECIPES, "basic_cnn", stages)
    groups = len({(entry.group, entry.label) for entry in pipeline.entries_of("grouped", "train")})
    kernels = []
    for momentum in (1.0, 0.0):
        monkeypatch.setattr(fit, "AVERAGE_MOMENTUM", momentum)
        runs = place / f"runs-{momentum}"
        fit.main(["basic_cnn", "--data", str(root), "--runs", str(runs), "--precision", "float32"])
        for number in (1, 2):
            model = with_group_head(build_model(get_spec("basic_cnn")), groups)
            model.load_weights(runs / "grouped" / "basic_cnn-seed0" / f"stage{number}.weights.h5")
            kernels.append(model.get_layer("features").kernel.numpy())
    before, remembering, start, forgetting = kernels
    assert np.array_equal(before, start)
    assert 0 < np.abs(remembering - before).max() < 1.2e-3
    assert np.abs(forgetting - before).max() > 2e-3


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
    """The picture a model is trained on is the picture `to_input` gives."""
    _, root = small_world
    entries = pipeline.entries_of("grouped", "test")
    spec = get_spec("basic_cnn")
    from lungapp.reading import read_slice

    part = pipeline.load_part(root, entries, spec)
    for entry, picture in zip(entries, part.inputs, strict=True):
        assert np.array_equal(picture, to_input(read_slice(root / entry.file), spec))
    assert [LABELS[label] for label in part.labels] == [entry.label for entry in entries]
    assert json.dumps(part.groups.tolist())
