"""Pictures drawn for training, heads taught on cached features, backbones filled and distilled: small and made up."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from lungapp.anatomy import Anatomy
from lungapp.errors import DatasetDamaged, InvalidSetting
from lungapp.models import BACKBONE, build_model
from lungapp.preprocessing import to_input
from lungapp.registry import LABELS, get_spec
from lungapp.weights_io import variables_of
from train import backbone, crossval, features
from train.data import PROTOCOLS, Entry, distinct_entries
from train.features import Features
from train.fit import LESION, Head, fit, fit_thawed, weights_of_slices
from train.folds import FOLDS, fold_parts, held_out, learnt_from
from train.lesions import add_harmless, add_lesions
from train.pictures import KINDS, MOVES, Crop, Picture, crop_of, crops_of, draw, drawn, training_pictures
from train.predict import read_predictions
from train.recipes import GROUPED, IMAGE_LEVEL, changed, recipe
from train.steady import moved, steady
from train.style import noised, vary_pose, vary_style

TINY = replace(get_spec("advanced_cnn"), size=32)
"""Maps of 2 x 2 places behind its backbone."""


@pytest.fixture(scope="module")
def crop(thorax) -> Crop:
    return crop_of(thorax, replace(TINY, size=64))


@pytest.fixture(scope="module")
def grey(crop) -> np.ndarray:
    return crop.grey.astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_the_same_every_time_and_an_input(crop, kind):
    first, again, other = (draw(Picture(5, kind, number), crop) for number in (0, 0, 1))
    for one, same in zip(first, again, strict=True):
        assert np.array_equal(one, same)
        assert (one.shape, one.dtype) == ((64, 64), np.float32)
        assert one.min() >= 0
        assert one.max() <= 1 + 1e-6  # averaging rounds
    assert np.array_equal(first[0], other[0]) == (kind == "as served")


def test_a_picture_as_served_is_what_the_page_gives_a_model(crop, thorax):
    served = to_input(Anatomy(thorax), replace(TINY, size=64))[..., 0]
    assert np.allclose(draw(Picture(0, "as served"), crop)[0], served, atol=1e-3)  # crops are kept in 16 bit


@pytest.mark.parametrize("number", range(len(MOVES)))
def test_a_moved_picture_is_the_crop_that_begins_one_row_or_column_later(crop, number):
    down, right = MOVES[number]
    later = replace(crop.frame, top=down, left=right)
    wider = [(0, down), (0, right)]
    expected = later.to_square(np.pad(crop.grey.astype(np.float32), wider), np.pad(crop.cavity, wider))
    moved, lesions = draw(Picture(0, "moved", number), crop)
    assert np.array_equal(moved, expected)
    assert not lesions.any()
    assert not np.array_equal(moved, draw(Picture(0, "as served"), crop)[0])


def test_a_noised_picture_differs_by_noise_alone(crop):
    served = draw(Picture(0, "as served"), crop)[0]
    for number in range(4):
        noised, lesions = draw(Picture(0, "noised", number), crop)
        assert not lesions.any()
        assert abs(float((noised - served).mean())) < 0.01
        assert np.corrcoef(noised.ravel(), served.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("seed", range(8))
def test_a_lesion_changes_what_its_mask_marks_and_nothing_else(crop, grey, seed):
    before = grey.copy()
    picture, mask = add_lesions(grey, crop.lungs, np.random.default_rng(seed))
    assert np.array_equal(grey, before)
    assert picture.shape == mask.shape == grey.shape
    assert (mask.min(), mask.max() > 0.5) == (0, True)
    assert mask.max() <= 1
    assert np.array_equal(picture[mask == 0], grey[mask == 0])
    assert not np.array_equal(picture[mask > 0.5], grey[mask > 0.5])


@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_a_lesion_at_a_corner_stays_there(grey, corner):
    lungs = np.zeros(grey.shape, bool)
    lungs[corner] = True
    for seed in range(6):
        picture, mask = add_lesions(grey, lungs, np.random.default_rng(seed))
        assert np.isfinite(picture).all()
        assert mask[corner] > 0.5
        assert mask[-1 - corner[0], -1 - corner[1]] == 0, "nothing comes in at the other side"


def test_without_lungs_nothing_is_drawn(grey):
    nowhere = np.zeros(grey.shape, bool)
    picture, mask = add_lesions(grey, nowhere, np.random.default_rng(0))
    assert np.array_equal(picture, grey)
    assert not mask.any()
    assert np.array_equal(add_harmless(grey, nowhere, np.random.default_rng(0)), grey)


@pytest.mark.parametrize("seed", range(8))
def test_harmless_structures_stay_in_the_lungs_and_leave_no_mask(crop, grey, seed):
    picture = add_harmless(grey, crop.lungs, np.random.default_rng(seed))
    assert not np.array_equal(picture, grey)
    assert np.array_equal(picture[~crop.lungs], grey[~crop.lungs])
    assert not draw(Picture(seed, "harmless"), crop)[1].any()


@pytest.mark.parametrize("seed", range(12))
def test_style_keeps_the_range_and_changes_the_slice(grey, seed):
    varied = vary_style(grey, np.random.default_rng(seed))
    assert (varied.shape, varied.dtype) == (grey.shape, np.float32)
    assert varied.min() >= 0
    assert varied.max() <= 1
    assert not np.array_equal(varied, grey)


def test_pose_moves_picture_and_mask_together(grey):
    for seed in range(6):
        one, other = vary_pose((grey, grey * 0.5), np.random.default_rng(seed))
        assert np.allclose(one * 0.5, other, atol=1e-6)
        assert not np.array_equal(one, grey)


def test_every_slice_has_its_pictures_and_those_as_served_come_first():
    normal, benign, malignant = range(3)
    pictures = training_pictures(np.array([normal, benign, malignant, normal]))
    assert pictures[:4] == [Picture(place, "as served") for place in range(4)]
    assert len(set(pictures)) == len(pictures)
    counts = {
        kind: [sum(p.kind == kind and p.slice == place for p in pictures) for place in range(4)] for kind in KINDS
    }
    assert counts == {
        "as served": [1, 1, 1, 1],
        "moved": [2, 2, 2, 2],
        "noised": [2, 2, 2, 2],
        "varied": [2, 2, 2, 2],
        "harmless": [3, 0, 0, 3],
        "lesions": [5, 1, 1, 5],
    }


def test_pictures_are_drawn_in_their_order(crop):
    pictures = [Picture(0, "varied", number) for number in range(5)]
    batches = list(drawn(pictures, [crop], batch=2))
    assert [greys.shape for greys, _ in batches] == [(2, 64, 64, 1), (2, 64, 64, 1), (1, 64, 64, 1)]
    together = np.concatenate([greys for greys, _ in batches])[..., 0]
    assert np.array_equal(together, np.stack([draw(picture, crop)[0] for picture in pictures]))


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(DatasetDamaged, match=r"Missing: 1, first 'a\.png'"):
        crops_of(tmp_path, [Entry("a.png", "normal", "", 9, 9)], TINY)


def toy(slices: int = 60) -> tuple[Features, np.ndarray, np.ndarray]:
    """Features in which one channel marks each class and another, at one place of four, a drawn lesion."""
    random = np.random.default_rng(0)
    labels, groups = np.arange(slices) % 3, np.arange(slices) // 2
    kinds = [("as served", 0), *(("moved", number) for number in range(len(MOVES))), ("lesions", 0)]
    rows = [(place, *kind) for kind in kinds for place in range(slices)]
    maps = np.zeros((len(rows), 2, 2, 112))
    maps[..., :12] = random.normal(0, 0.3, (len(rows), 2, 2, 12))
    lesions = np.zeros((len(rows), 2, 2))
    for row, (place, kind, _) in enumerate(rows):
        maps[row, ..., labels[place]] += 3
        if kind == "lesions":
            at = tuple(random.integers(2, size=2))
            maps[row, *at, 10] += 6
            lesions[row, *at] = 1
    columns = (np.array(column) for column in zip(*rows, strict=True))
    places, names, numbers = columns
    return Features(maps.astype(np.float16), lesions.astype(np.float16), places, names, numbers), labels, groups


@pytest.fixture(scope="module")
def taught() -> tuple[keras.Model, Features, np.ndarray]:
    made, labels, groups = toy()
    how = replace(GROUPED, epochs=25, batch=16, steadiness=0.1)
    return fit(TINY, {}, made, labels, groups, np.arange(45), how), made, labels


def test_a_head_learns_what_tells_the_classes(taught):
    model, made, labels = taught
    logits = crossval.head_of(model).predict(made.maps[45:60].astype(np.float32), verbose=0)
    assert (logits.argmax(axis=1) == labels[45:60]).mean() > 0.9


def test_a_head_learns_where_lesions_are(taught):
    model, made, _ = taught
    rows = np.flatnonzero((made.kinds == "lesions") & (made.slices >= 45))
    last = keras.Model(model.get_layer("neck_bn").input, model.get_layer("features").output)
    lesion = last.predict(made.maps[rows].astype(np.float32), verbose=0)[..., 0].reshape(len(rows), -1)
    assert (lesion.argmax(axis=1) == made.lesions[rows].reshape(len(rows), -1).argmax(axis=1)).mean() > 0.9


def test_what_is_served_is_what_was_taught():
    """The lesion map's share is written into the dense layer, and the logits stay what they were."""
    model = build_model(TINY)
    head = Head(model, replace(GROUPED, lesion_weight=3.0))
    maps = np.random.default_rng(1).normal(0, 1, (5, 2, 2, 112)).astype(np.float32)
    logits, _, _ = head(tf.constant(maps), training=False)
    served = crossval.head_of(model)
    assert not np.allclose(served.predict(maps, verbose=0), logits, atol=1e-3)
    head.finish()
    assert np.allclose(served.predict(maps, verbose=0), logits, atol=1e-4)
    assert np.array_equal(np.asarray(model.get_layer("logits").kernel)[0], 3 * LESION)


def test_labels_teach_the_lesion_map_nothing():
    model = build_model(TINY)
    head = Head(model, GROUPED)
    maps = tf.random.stateless_normal((4, 2, 2, 112), (1, 2))
    kernel = model.get_layer("features").kernel.value
    with tf.GradientTape() as tape:
        logits, _, _ = head(maps, training=False)
        loss = tf.reduce_sum(logits[:, 2])
    slope = tape.gradient(loss, kernel).numpy()
    assert not slope[..., 0].any()
    assert slope[..., 1:].any()


def test_rare_classes_and_short_series_weigh_more():
    labels, groups = np.array([0, 0, 0, 0, 1, 2]), np.array([1, 1, 1, 2, 3, 4])
    weights = weights_of_slices(labels, groups, GROUPED)
    assert weights.mean() == pytest.approx(1)
    assert weights[0] == weights[2] < weights[3] < weights[4] == weights[5]
    assert np.allclose(weights_of_slices(labels, groups, replace(GROUPED, class_power=0.0, group_power=0.0)), 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_slice_is_held_out_once_and_no_group_is_on_two_sides(protocol):
    entries = distinct_entries()
    folds = [fold_parts(entries, protocol, fold) for fold in range(FOLDS)]
    test = [file for parts in folds for file, part in parts.items() if part == "test"]
    assert sorted(test) == sorted(entry.file for entry in entries)
    if protocol == "grouped":
        for parts in folds:
            sides = [{entry.group for entry in entries if parts[entry.file] == part} for part in ("train", "test")]
            assert not sides[0] & sides[1]


def test_the_shipped_weights_are_judged_by_what_they_did_not_learn_from():
    judged, learnt = held_out(), learnt_from()
    assert not {entry.group for entry in judged} & {entry.group for entry in learnt}
    assert len(judged) + len(learnt) == len(distinct_entries())


@pytest.mark.parametrize(("protocol", "fold"), [("grouped", 5), ("grouped", -1), ("by patient", 0)])
def test_a_fold_that_is_none_is_refused(protocol, fold):
    with pytest.raises(ValueError, match="Expected image_level or grouped and a fold from 0 to 4"):
        fold_parts(distinct_entries(), protocol, fold)


def test_settings_of_a_recipe_can_be_changed_for_a_trial():
    assert (recipe("grouped"), recipe("image_level")) == (GROUPED, IMAGE_LEVEL)
    trial = changed(GROUPED, ["lesion_weight=4", "epochs=2"])
    assert trial == replace(GROUPED, lesion_weight=4.0, epochs=2)
    assert isinstance(trial.epochs, int)
    with pytest.raises(InvalidSetting, match="Expected a setting of a recipe"):
        changed(GROUPED, ["mixup=1"])
    for setting in ("epochs=many", "epochs", "epochs=2.5"):
        with pytest.raises(InvalidSetting, match="Expected NAME=NUMBER"):
            changed(GROUPED, [setting])


def pytorch_tensors() -> dict[str, np.ndarray]:
    """Arrays of EfficientNet-Lite0's names and shapes, at random."""
    random = np.random.default_rng(4)
    tensors = {}

    def convolution(name: str, *shape: int) -> None:
        tensors[f"{name}.weight"] = random.normal(0, 0.3, shape).astype(np.float32)

    def normalisation(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{name}.{part}"] = random.uniform(0.5, 1.5, channels).astype(np.float32)

    convolution("_conv_stem", 32, 3, 3, 3)
    normalisation("_bn0", 32)
    blocks = [(32, 1, 3, 16)]
    for before, kernel, channels, repeats in ((16, 3, 24, 2), (24, 5, 40, 2), (40, 3, 80, 3), (80, 5, 112, 3)):
        blocks += [(before if number == 0 else channels, 6, kernel, channels) for number in range(repeats)]
    for number, (before, expansion, kernel, channels) in enumerate(blocks):
        name, wide = f"_blocks.{number}", before * expansion
        if expansion > 1:
            convolution(f"{name}._expand_conv", wide, before, 1, 1)
            normalisation(f"{name}._bn0", wide)
        convolution(f"{name}._depthwise_conv", wide, 1, kernel, kernel)
        normalisation(f"{name}._bn1", wide)
        convolution(f"{name}._project_conv", channels, wide, 1, 1)
        normalisation(f"{name}._bn2", channels)
    return tensors


def block_in_numpy(x: np.ndarray, tensors: dict[str, np.ndarray], name: str) -> np.ndarray:
    """An inverted residual block of stride 2 and kernel 3 on (rows, columns, channels), by PyTorch's arrays.

    What stride 2 skips is low-passed first.
    """

    def normalised(x: np.ndarray, bn: str) -> np.ndarray:
        gamma, beta, mean, variance = (
            tensors[f"{name}.{bn}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    x = np.clip(normalised(x @ tensors[f"{name}._expand_conv.weight"][:, :, 0, 0].T, "_bn0"), 0, 6)
    kernel = tensors[f"{name}._depthwise_conv.weight"][:, 0]
    size = x.shape[0] // 2
    for axis in (0, 1):  # a low-pass, over the border too, as the kernel reads what the low-pass makes there
        low = np.pad(x, [(2, 2) if each == axis else (0, 0) for each in range(3)])
        count = low.shape[axis] - 2
        first, middle, last = (np.take(low, np.arange(count) + step, axis) for step in range(3))
        x = (first + 2 * middle + last) / 4
    padded = x[1:, 1:]
    convolved = sum(
        padded[row : row + 2 * size : 2, column : column + 2 * size : 2] * kernel[:, row, column]
        for row in range(3)
        for column in range(3)
    )
    x = np.clip(normalised(convolved, "_bn1"), 0, 6)
    return normalised(x @ tensors[f"{name}._project_conv.weight"][:, :, 0, 0].T, "_bn2")


def test_a_backbone_takes_efficientnet_lites_weights():
    tensors, model = pytorch_tensors(), build_model(TINY)
    before = {layer.name: layer.get_weights() for layer in model.layers}
    backbone.fill_advanced(model, tensors)
    head = {"neck_bn", "neck", "features", "logits"}
    for layer in model.layers:
        same = [np.array_equal(old, new) for old, new in zip(before[layer.name], layer.get_weights(), strict=True)]
        assert all(same) if layer.name in head else not any(same), layer.name
    stem = np.asarray(model.get_layer("stem").kernel)
    grey = tensors["_conv_stem.weight"].sum(axis=1)
    assert stem.shape == (5, 5, 1, 32)
    assert np.allclose(stem[0, 4, 0], grey[:, 0, 2] / 16)
    assert np.allclose(stem.sum((0, 1, 2)), grey.sum((1, 2)), atol=1e-5)
    ends = [model.get_layer(name).output for name in ("stage1_block1_project_bn", "stage2_block1_project_bn")]
    picture = np.random.default_rng(0).random((1, 32, 32, 1), np.float32)
    into, out = (np.asarray(maps)[0] for maps in keras.Model(model.input, ends)(picture))
    assert np.allclose(out, block_in_numpy(into, tensors, "_blocks.1"), rtol=1e-3, atol=1e-3)


def test_a_backbone_is_written_in_full_and_read_again(tmp_path):
    model = build_model(TINY)
    whole = keras.Model(model.input, model.get_layer("stage5_block3_add").output)
    backbone.write_backbone(whole, tmp_path / "backbones" / "advanced_cnn.safetensors")
    read = features.backbone_of(TINY, tmp_path / "backbones" / "advanced_cnn.safetensors")
    picture = np.random.default_rng(0).random((2, 32, 32, 1), np.float32)
    expected = whole.predict(picture, verbose=0)
    assert np.allclose(read.predict(picture, verbose=0), expected, atol=1e-6)
    assert np.allclose(backbone.compiled(read)(picture)[0], expected, atol=1e-3 * np.abs(expected).max())


def test_a_student_is_taught_by_the_teacher_and_by_no_slice_that_weights_are_judged_by(crop, thorax, monkeypatch):
    distilling = pytest.importorskip("train.distil", reason="PyTorch is not installed", exc_type=ImportError)
    entries = [Entry(f"{place}.png", "malignant", "", 9, 9, group=place) for place in range(2)]
    monkeypatch.setattr(backbone, "distinct_entries", lambda: entries)
    monkeypatch.setattr(backbone, "fold_parts", lambda *_: {"0.png": "train", "1.png": "test"})
    monkeypatch.setattr(distilling, "CROPS", 2)
    monkeypatch.setattr(distilling, "WHOLE", 1)
    asked = []
    whole = crop_of(thorax, get_spec("basic_cnn"))
    monkeypatch.setattr(backbone, "crops_of", lambda root, entries, spec: asked.extend(entries) or [whole])
    student = distilling.student_of("basic_cnn")
    before = student.conv1.weight.detach().clone()
    monkeypatch.setattr(distilling, "student_of", lambda name: student)
    teacher = build_model(get_spec("advanced_cnn"))
    made = backbone.distil("basic_cnn", teacher, None, steps=30)
    assert [entry.file for entry in asked] == ["0.png"]
    assert not np.array_equal(before, student.conv1.weight.detach())
    kernel = np.asarray(made.get_layer("conv1").kernel)
    assert np.array_equal(kernel, student.conv1.weight.detach().permute(2, 3, 1, 0).numpy())


@pytest.mark.parametrize("name", ["basic_cnn", "resnet50"])
def test_the_keras_network_says_what_the_student_says(name):
    distilling = pytest.importorskip("train.distil", reason="PyTorch is not installed", exc_type=ImportError)
    torch = distilling.torch
    student = distilling.student_of(name).eval()
    for layer in student.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1)
            torch.nn.init.uniform_(layer.running_var, 1, 2)
    model = build_model(get_spec(name))
    distilling.fill(model, student)
    picture = np.random.default_rng(0).random((1, 224, 224, 1), np.float32)
    last = model.get_layer(BACKBONE[name]).output
    said = []
    layer = student.conv2 if name == "basic_cnn" else student.summary
    layer.register_forward_hook(lambda _, __, maps: said.append(maps.detach().permute(0, 2, 3, 1).numpy()))
    student(torch.from_numpy(picture).permute(0, 3, 1, 2))
    expected = np.maximum(said[0], 0) if name == "basic_cnn" else said[0]
    assert np.allclose(keras.Model(model.input, last).predict(picture, verbose=0), expected, atol=1e-4)


def test_coarser_students_aim_at_the_mean_and_the_maximum():
    distilling = pytest.importorskip("train.distil", reason="PyTorch is not installed", exc_type=ImportError)
    maps = distilling.torch.arange(16.0).reshape(1, 1, 4, 4)
    assert distilling.pooled(maps, 2)[0, :, 0].tolist() == [[2.5, 4.5], [5.0, 7.0]]
    assert distilling.pooled(maps, 4) is maps


def test_features_are_made_once_for_the_same_weights(tmp_path, monkeypatch):
    made, _, _ = toy(3)
    calls = []
    monkeypatch.setattr(features, "compute", lambda *_: calls.append(1) or made)
    weights = tmp_path / "weights"
    for content, expected in (("one", 1), ("one", 1), ("other", 2)):
        weights.write_text(content)
        read = features.features(TINY, weights, tmp_path, tmp_path)
        assert len(calls) == expected
        assert np.array_equal(read.maps, made.maps)
        assert read.kinds.tolist() == made.kinds.tolist()


def test_a_finished_fold_is_not_taught_again(tmp_path, monkeypatch):
    entries = [Entry(f"{place}.png", LABELS[place % 3], "", 9, 9, group=place // 3) for place in range(60)]
    made, _, _ = toy(60)
    calls = []

    def teach(spec, tensors, made, labels, groups, chosen, how, seed):
        calls.append(chosen)
        return build_model(spec)

    monkeypatch.setattr(crossval, "distinct_entries", lambda: entries)
    monkeypatch.setattr(crossval, "fit", teach)
    body = tmp_path / "backbone.safetensors"
    backbone.write_backbone(build_model(TINY), body)
    teacher = crossval.with_frozen_body(TINY, made, body)
    arguments = (TINY, teacher, body, "grouped", 1, GROUPED, tmp_path / "fold")
    crossval.run_fold(*arguments)
    written = {path.name: path.read_bytes() for path in (tmp_path / "fold").iterdir()}
    assert set(written) == {"weights.safetensors", "run.json", "test.csv", "moved.csv"}
    files = read_predictions(tmp_path / "fold" / "test.csv").files
    assert not {entries[place].file for place in calls[0]} & set(files)
    assert len(calls[0]) + len(files) == len(entries)
    crossval.run_fold(*arguments)
    assert len(calls) == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "fold").iterdir()} == written
    for move in range(len(MOVES)):
        assert read_predictions(tmp_path / "fold" / "moved.csv", f"moved_{move}").files == files
    crossval.run_fold(*arguments[:5], replace(GROUPED, epochs=1), tmp_path / "fold")
    assert len(calls) == 2, "another recipe is taught anew"


def striped() -> tuple[np.ndarray, np.ndarray]:
    """Slices that are bright above, in the middle, or below, as their labels say."""
    labels = np.arange(48) % 3
    inputs = np.random.default_rng(0).uniform(0, 0.2, (48, 32, 32, 1)).astype(np.float32)
    for place, label in enumerate(labels):
        inputs[place, 10 * label : 10 * label + 10] += 0.6
    return inputs, labels


def test_a_thawed_network_learns_from_labels():
    inputs, labels = striped()
    spec = replace(get_spec("basic_cnn"), size=32)
    model = fit_thawed(spec, {}, inputs, labels, replace(IMAGE_LEVEL, epochs=40, batch=16))
    logits = keras.Model(model.input, model.get_layer("logits").output).predict(inputs, verbose=0)
    assert (logits.argmax(axis=1) == labels).mean() > 0.9


def test_what_stands_before_the_thawed_part_stays_and_so_do_the_averages_of_the_body():
    inputs, labels = striped()
    keras.utils.set_random_seed(1)
    body = {path: np.asarray(variable).copy() for path, variable in variables_of(build_model(TINY)).items()}
    model = fit_thawed(TINY, body, inputs, labels, replace(IMAGE_LEVEL, epochs=1, batch=16))
    after = {path: np.asarray(variable) for path, variable in variables_of(model).items()}
    frozen = [path for path in body if path.startswith(("stem", "stage1", "stage2", "stage3"))]
    averages = [path for path in body if path.startswith("stage") and "moving" in path]
    assert frozen
    assert averages
    assert all(np.array_equal(body[path], after[path]) for path in frozen + averages)
    assert not np.array_equal(body["stage5_block3_project/kernel"], after["stage5_block3_project/kernel"])


def test_a_body_becomes_steadier_and_says_nearly_the_same(crop):
    """Noised and a pixel aside, it moves less than before; what it says of a picture stays close to what it said."""
    model = build_model(replace(TINY, size=64))
    body = keras.Model(model.input, model.get_layer("stage2_block2_add").output)
    before = keras.models.clone_model(body)
    before.set_weights(body.get_weights())
    pictures = [Picture(0, "varied", number) for number in range(16)]

    def say(network, greys):
        return network.predict(greys, verbose=0)

    def unsteadiness(network):
        random = np.random.default_rng(3)
        greys = np.concatenate([batch for batch, _ in drawn(pictures, [crop])])
        other = np.stack([noised(moved(grey[..., 0], 2, random), random) for grey in greys])[..., None]
        first, second = say(network, greys), say(network, other)
        return float(np.mean((first - second) ** 2) / first.var())

    steady(body, lambda greys: [say(before, greys)], pictures, [crop], steps=60)
    assert unsteadiness(body) < 0.8 * unsteadiness(before)
    greys, _ = next(drawn(pictures, [crop]))
    assert np.corrcoef(say(body, greys).ravel(), say(before, greys).ravel())[0, 1] > 0.8


def test_a_picture_moved_by_pixels_keeps_its_values():
    random = np.random.default_rng(0)
    picture = np.pad(random.random((20, 20)), 6).astype(np.float32)
    shown = [moved(picture, 4, random) for _ in range(30)]
    assert all(np.array_equal(np.sort(one.ravel()), np.sort(picture.ravel())) for one in shown)
    assert len({one.tobytes() for one in shown}) > 15


def test_noise_stays_inside_the_cavity():
    picture = np.zeros((40, 40), np.float32)
    picture[10:30, 10:30] = 0.5
    shown = noised(picture, np.random.default_rng(1))
    assert not shown[picture == 0].any()
    assert (shown[picture > 0] != 0.5).any()
