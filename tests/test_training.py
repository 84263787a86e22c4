"""Augmentation, recipes, and a whole training run on a made-up dataset."""

from __future__ import annotations

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungapp.errors import InvalidSetting, WeightsMismatch, WeightsMissing
from lungapp.models import FINER, build_model, load_model
from lungapp.preprocessing import to_input
from lungapp.registry import LABELS, MODELS, get_spec
from lungapp.weights_io import digest_of, read_weights, write_weights
from tests.conftest import write_dataset
from train import augment, baselines, card, fit, pipeline, publish, recipes
from train.conditions import add_noise, lung_region, noise_level
from train.data import build_manifest, split, write_manifest
from train.evaluate import differences
from train.fused import with_fused_normalisation
from train.group_head import keep_largest_groups, with_group_head
from train.history import read_history
from train.net2net import grow
from train.pipeline import sample_weights, training_batches, validation_batches
from train.pretrained import load_backbone
from train.recipes import Augmentation, Recipe, Stage, changed, recipe

HOW = Augmentation(equalised=0.5)


@given(seed=st.integers(0, 1000), size=st.integers(16, 64))
@settings(max_examples=25, deadline=None)
def test_augmented_inputs_stay_inputs(seed, size):
    batch = np.random.default_rng(seed).uniform(0, 1, (3, size, size, 1)).astype(np.float32)
    before = batch.copy()
    changed = augment.augment(batch, HOW, 0.03, np.random.default_rng(seed))
    assert changed.shape == batch.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert np.array_equal(batch, before)
    assert np.array_equal(changed, augment.augment(batch, HOW, 0.03, np.random.default_rng(seed)))


def test_every_picture_is_changed_on_its_own(thorax):
    picture = to_input(thorax, MODELS[0])
    changed = augment.augment(np.stack([picture] * 4), HOW, 0.03, np.random.default_rng(0))
    for index in range(3):
        assert np.abs(changed[index] - changed[index + 1]).mean() > 0.01


def test_jitter_leaves_the_outside_of_the_body_black(thorax):
    picture = to_input(thorax, MODELS[0])[..., 0]
    for equalised in (0.0, 1.0):
        how = replace(HOW, equalised=equalised)
        assert not augment.jitter_greys(picture, how, 0.05, np.random.default_rng(0))[picture == 0].any()


def test_moving_stays_within_its_bounds():
    """A spot in the middle moves by no more than the shift and the flip's half pixel."""
    picture = np.zeros((101, 101), np.float32)
    picture[48:53, 48:53] = 1
    for seed in range(40):
        moved = augment.move(picture, HOW, np.random.default_rng(seed))
        rows, columns = np.nonzero(moved > 0.5)
        assert abs(rows.mean() - 50) < 101 * HOW.zoom / 3 + 1
        assert abs(columns.mean() - 50) < 101 * HOW.zoom / 3 + 1


def made_part(labels, groups, size=8):
    labels, groups = np.array(labels), np.array(groups)
    inputs = np.random.default_rng(0).uniform(0.1, 0.9, (len(labels), size, size, 1)).astype(np.float32)
    return pipeline.Part(tuple(f"{index}.png" for index in range(len(labels))), inputs, labels, groups)


def test_class_weights_go_with_the_square_root():
    labels = np.array([0] * 90 + [1] * 10 + [2] * 40)
    weights = sample_weights(made_part(labels, np.arange(140)), class_power=0.5, group_power=0)
    assert [weights[labels == label].mean() / weights[0] for label in range(3)] == pytest.approx([1, 3, 1.5])
    assert weights.mean() == pytest.approx(1)


def test_long_series_weigh_no_more_than_short_ones_at_full_power():
    labels, groups = np.repeat([0, 0, 1, 2], (16, 4, 5, 5)), np.repeat([0, 1, 2, 3], (16, 4, 5, 5))
    full = sample_weights(made_part(labels, groups), class_power=0, group_power=1)
    assert full[groups == 0].sum() == pytest.approx(full[groups == 1].sum())
    half = sample_weights(made_part(labels, groups), class_power=0, group_power=0.5)
    assert half[groups == 1][0] / half[groups == 0][0] == pytest.approx(2)
    balanced = sample_weights(made_part(labels, groups), class_power=1, group_power=1)
    assert [balanced[labels == label].sum() for label in range(3)] == pytest.approx([10, 10, 10])


def test_masked_slices_show_the_lungs_alone():
    batch = np.random.default_rng(0).uniform(0.1, 1, (3, 8, 8, 1)).astype(np.float32)
    regions = np.zeros((3, 8, 8), bool)
    regions[:2, 2:5, 3:6] = True  # the third has no lungs
    masked = augment.mask(batch, regions, 1.0, np.random.default_rng(0))
    assert np.array_equal(masked[:2, ..., 0], np.where(regions[:2], batch[:2, ..., 0], 0))
    assert np.array_equal(masked[2], batch[2])
    assert np.array_equal(augment.mask(batch, regions, 0.0, np.random.default_rng(0)), batch)


def test_emptied_slices_show_nothing_of_the_lungs(thorax):
    picture = to_input(thorax, MODELS[0])
    batch = np.stack([picture] * 24)
    region = lung_region(picture[..., 0])
    emptied, which = augment.hollow(batch, 1.0, np.random.default_rng(0))
    assert which.all()
    vessels = picture[..., 0][region].std()
    spreads = [one[..., 0][region].std() for one in emptied]
    assert max(spreads) < vessels / 2
    assert len({round(float(spread), 4) for spread in spreads}) >= 3  # all three ways come up
    kept, which = augment.hollow(batch, 0.0, np.random.default_rng(0))
    assert not which.any()
    assert np.array_equal(kept, batch)


@pytest.mark.parametrize("group_head", [True, False])
def test_emptied_slices_are_taught_as_any_class(group_head):
    part = made_part([0, 1, 2] * 4, [0, 1, 2] * 4, size=16)
    part.inputs[:] = 0.5
    stage = Stage(1, 1e-3, batch=12, group_head=group_head, augmentation=Augmentation(interpolated=0, hollow=1.0))
    (batch,) = list(training_batches(part, Recipe((stage,)), stage, seed=0))
    for targets in batch[1].values():
        assert np.allclose(targets, 1 / targets.shape[-1])
    some = replace(stage, augmentation=Augmentation(interpolated=0, hollow=0.5))
    (batch,) = list(training_batches(part, Recipe((some,)), some, seed=0))
    best = batch[1]["probabilities"].numpy().max(axis=1)
    assert set(best.round(2).astype(str)) == {"0.33", "1.0"}


def test_equalised_slices_have_noise_of_about_one_level(thorax):
    picture = to_input(thorax, MODELS[0])[..., 0]
    how = Augmentation(rotation=0, zoom=0, window=0, blur=0, noise=0, equalised=1.0)
    levels = [
        noise_level(augment.jitter_greys(add_noise(picture, own, np.random.default_rng(1)), how, 0.05, random))
        for own, random in ((0.0, np.random.default_rng(2)), (0.03, np.random.default_rng(2)))
    ]
    assert levels[0] == pytest.approx(levels[1], rel=0.1)
    assert 0.04 < levels[0] < 0.07


def test_mixup_mixes_pictures_labels_and_weights_alike():
    """Pictures that show their own label stay true to their mixed targets."""
    part = made_part([0, 1, 2] * 4, [0, 1, 2] * 4, size=16)
    part.inputs[:] = (part.labels[:, None, None, None] + 1) / 4
    how = Augmentation(0, 0, 0, 0, 0, interpolated=0, mixup=1.0)
    stage = Stage(1, 1e-3, batch=12, augmentation=how)
    (batch,) = list(training_batches(part, Recipe((stage,), class_power=0), stage, seed=0))
    x, y, weights = (batch[0].numpy(), batch[1]["probabilities"].numpy(), batch[2]["probabilities"].numpy())
    assert np.allclose(y.sum(axis=1), 1)
    assert (y.max(axis=1) < 0.999).any()
    assert np.allclose(x[:, 8, 8, 0], y @ [0.25, 0.5, 0.75], atol=1e-4)
    assert np.allclose(weights, 1)


def test_settings_of_a_recipe_can_be_changed_for_a_trial():
    base = recipe("advanced_cnn", "none", "grouped")
    trial = changed(base, ["mixup=0.1", "group_loss=0", "epochs=3"])
    assert {stage.augmentation.mixup for stage in trial.stages} == {0.1}
    assert (trial.group_loss, trial.stages[-1].epochs) == (0, 3)
    assert changed(base, []) == base
    for wrong in ("mixup", "mixup=much", "stages=1", "colour=1"):
        with pytest.raises(InvalidSetting):
            changed(base, [wrong])


@pytest.mark.parametrize("name", ["basic_cnn", "advanced_cnn", "resnet50"])
def test_shortcuts_are_taken_away_from_the_shipped_weights_alone(name):
    shipped, random_split = (recipe(name, "none", protocol) for protocol in ("grouped", "image_level"))
    assert shipped.stages[-1].augmentation.masked > 0
    assert not shipped.stages[-1].group_head
    assert all(stage.augmentation.masked == 0 for stage in random_split.stages)


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
    found = augment.interpolate(inputs, chosen, near, 0.6, random)
    low, high = np.minimum(inputs[chosen], inputs[near[chosen, 0]]), np.maximum(inputs[chosen], inputs[near[chosen, 0]])
    assert found.dtype == np.float32
    assert (found >= low - 1e-6).all()
    assert (found <= high + 1e-6).all()
    assert np.abs(found - inputs[chosen]).max() <= np.abs(high - low).max() / 2 + 1e-6
    assert np.allclose(found[4], inputs[4])


def test_training_batches_cover_every_slice_once_an_epoch():
    inputs = np.linspace(0.1, 0.9, 20, dtype=np.float32)[:, None, None, None] * np.ones((20, 16, 16, 1), np.float32)
    part = pipeline.Part(("",) * 20, inputs, np.arange(20) % 3, np.arange(20))
    stage = Stage(1, 1e-3, batch=8)
    batches = list(training_batches(part, Recipe((stage,)), stage, seed=0))
    assert [len(x) for x, _, _ in batches] == [8, 8, 4]
    targets = np.concatenate([y["probabilities"] for _, y, _ in batches])
    assert targets.sum(axis=0).tolist() == [7, 7, 6]
    groups = np.concatenate([y["groups"] for _, y, _ in batches])
    assert groups.sum(axis=0).tolist() == [1] * 20
    (_, targets, weights), *_ = training_batches(part, Recipe((stage,)), replace(stage, group_head=False), seed=0)
    assert set(targets) == set(weights) == {"probabilities"}


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
    found = two_headed.evaluate(validation_batches(part, 5, Recipe(())), return_dict=True, verbose=0)
    probabilities = model.predict(inputs, verbose=0)[np.arange(8), part.labels]
    expected = np.mean(-np.log(probabilities) * sample_weights(part, 0.5, 0))
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


def test_transfer_learning_first_freezes_the_backbone():
    stages = recipe("resnet50", "imagenet", "grouped").stages
    model = with_group_head(build_model(get_spec("resnet50")), 4)
    heads = {"logits", "group"}
    for stage, expected in zip(stages, (heads, {"conv5", *heads}, {"conv5", *heads}), strict=True):
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
    for module in (pipeline, fit):
        monkeypatch.setattr(module, "read_split", lambda protocol, seed: split(entries, protocol, seed))
    monkeypatch.setattr(card, "CROSSVAL", tmp_path / "none.json")
    for table in (recipes.RECIPES, recipes.RANDOM_SPLIT):
        monkeypatch.setitem(table, "basic_cnn", Recipe((Stage(2, 1e-3, batch=8),)))
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
    monkeypatch.setitem(recipes.RECIPES, "basic_cnn", Recipe((Stage(3, 1e-3, batch=8),)))
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
    stages = Recipe((Stage(1, 1e-3, batch=8), Stage(3, 1e-3, batch=8, averaged=True)))
    monkeypatch.setitem(recipes.RECIPES, "basic_cnn", stages)
    groups = len({(entry.group, entry.label) for entry in pipeline.entries_of("grouped", "train")})
    kernels = []
    for share in (1e12, 1e-9):  # of momentum 1 and 0
        monkeypatch.setattr(fit, "AVERAGED_SHARE", share)
        runs = place / f"runs-{share}"
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


def test_curves_are_compared_by_their_area():
    curve = {"false_positive_rate": [0.0, 0.5, 1.0], "true_positive_rate": [0.0, 1.0, 1.0]}
    same = {"false_positive_rate": [0.0, 0.25, 0.5, 1.0], "true_positive_rate": [0.0, 0.5, 1.0, 1.0]}
    lower = {"false_positive_rate": [0.0, 1.0], "true_positive_rate": [0.0, 1.0]}
    assert not list(differences({"roc": curve}, {"roc": same}))
    assert len(list(differences({"roc": curve}, {"roc": lower}))) == 1


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


def test_a_last_stage_goes_on_from_served_weights(small_world, monkeypatch):
    """``--start`` runs the last stage alone, on the network as it is served, and says what it started from."""
    place, root = small_world
    start = place / "start.safetensors"
    keras.utils.set_random_seed(8)
    model = build_model(get_spec("basic_cnn"))
    write_weights(model, start)
    stages = (Stage(50, 1e-3, batch=8), Stage(1, 1e-9, batch=8, averaged=True, group_head=False))
    monkeypatch.setitem(recipes.RECIPES, "basic_cnn", Recipe(stages))
    runs = place / "runs"
    fit.main(["basic_cnn", "--data", str(root), "--runs", str(runs), "--start", str(start)])
    run = runs / "grouped" / "basic_cnn-seed0"
    assert not (run / "stage1.csv").exists()
    assert [row["stage"] for row in read_history(run)] == [2]
    ended = build_model(get_spec("basic_cnn"))
    read_weights(ended, run / "weights.safetensors")
    for before, after in zip(model.get_weights(), ended.get_weights(), strict=True):
        assert np.allclose(before, after, atol=1e-3)
    settings = json.loads((run / "run.json").read_text())
    assert settings["start"] == {"model": "basic_cnn", "weights_sha256": digest_of(start)}
    card = json.loads((run / "card.json").read_text())
    assert card["start"] == settings["start"]
    assert len(card["history"]) == 1


def test_publishing_keeps_the_audit_of_the_weights_before(small_world, monkeypatch):
    place, root = small_world
    runs, weights = place / "runs", place / "weights"
    spec = get_spec("basic_cnn")
    fit.main(["basic_cnn", "--data", str(root), "--runs", str(runs)])
    publish.publish(spec, runs, 0)
    path = weights / "basic_cnn.json"
    audit = {"conditions": {"clean": {"accuracy": 0.6}}, "before": {"conditions": {"clean": {"accuracy": 0.5}}}}
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | {"audit": audit}))
    publish.publish(spec, runs, 0)
    assert json.loads(path.read_text())["audit"] == audit  # the same weights
    path.write_text(json.dumps(card | {"audit": audit, "weights_sha256": "of others"}))
    publish.publish(spec, runs, 0)
    assert json.loads(path.read_text())["audit"] == {"before": audit["before"]}
    assert json.loads(path.read_text())["weights_sha256"] == card["weights_sha256"]
