"""The three graphs, their weights on disk, and the one-pass maps against tf-keras-vis, fresh and reloaded."""

from __future__ import annotations

import json
import shutil

import keras
import numpy as np
import pytest
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
from tf_keras_vis.layercam import Layercam
from tf_keras_vis.utils.scores import CategoricalScore

from lungapp.anatomy import Anatomy
from lungapp.cards import read_card, shipped, write_card
from lungapp.errors import UnknownModel, WeightsMismatch, WeightsMissing
from lungapp.inference import LoadedModel
from lungapp.models import BACKBONE, LogMeanExp, build_model, load_model
from lungapp.preprocessing import to_input
from lungapp.registry import LABELS, MODELS, ModelSpec, get_spec
from lungapp.runtime import open_graphs
from lungapp.saliency import ONE_PASS, class_weights
from lungapp.settings import WEIGHTS
from lungapp.weights_io import read_weights, variables_of, write_weights

SHIPPED = shipped(WEIGHTS)
every_shipped_model = pytest.mark.parametrize("spec", SHIPPED, ids=lambda spec: spec.name)
every_model = pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)


@every_model
def test_graphs_are_flat_and_carry_the_agreed_layers(spec):
    model = build_model(spec)
    assert model.input_shape == (None, *spec.input_shape)
    assert model.output_shape == (None, len(LABELS))
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    names = [layer.name for layer in model.layers]
    assert names[-1] == "probabilities"
    assert names.index("features") < names.index("logits") < names.index("probabilities")
    assert model.get_layer("features").output.shape[1] >= 7


def test_resnet50_is_the_published_one():
    model = build_model(get_spec("resnet50"))
    reference = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(224, 224, 3))
    for layer in reference.layers:
        if layer.weights:
            assert [w.shape for w in model.get_layer(layer.name).weights] == [w.shape for w in layer.weights]
    behind = (2048 + 1) * 160 + 4 * 160 + (160 + 1) * 128 + (128 + 1) * 32 + (32 + 1) * 3
    assert model.count_params() == reference.count_params() + behind


@every_model
def test_what_is_frozen_ends_before_what_is_taught(spec):
    model = build_model(spec)
    assert model.get_layer("neck_bn").input is model.get_layer(BACKBONE[spec.name]).output


def test_an_unknown_spec_is_refused():
    with pytest.raises(UnknownModel, match="Expected a model out of"):
        build_model(ModelSpec("vgg", "VGG", ""))


REFERENCES = {"gradcam": Gradcam, "gradcam_plus_plus": GradcamPlusPlus, "layercam": Layercam}


def reference_map(method: str, model: keras.Model, picture: np.ndarray, index: int) -> np.ndarray:
    """tf-keras-vis's map of the logit, at the feature maps' resolution."""
    view = keras.Model(model.input, model.get_layer("logits").output)
    computed = REFERENCES[method](view, clone=False)(
        CategoricalScore(index),
        picture[None],
        penultimate_layer="features",
        seek_penultimate_conv_layer=False,  # else it walks back to the convolution before the activation
        expand_cam=False,
        normalize_cam=False,
    )
    return np.asarray(computed)[0]


def assert_same_maps(method: str, model: keras.Model, spec: ModelSpec, picture: np.ndarray) -> None:
    tensors = {path: np.asarray(variable) for path, variable in variables_of(model).items()}
    features, _ = open_graphs(spec.name, tensors)[0](picture[None])
    weights = class_weights(tensors)
    compared = 0
    for index in range(len(LABELS)):
        ours = ONE_PASS[method](features[0], weights[:, index])
        theirs = reference_map(method, model, picture, index)
        assert ours.shape == theirs.shape
        if not theirs.any():
            assert ours.max() < 1e-5 * features.max()  # blank for the one is blank for the other
            continue
        assert np.allclose(ours / ours.max(), theirs / theirs.max(), atol=0.005)
        compared += 1
    assert compared


@pytest.mark.parametrize("method", ONE_PASS)
@every_model
def test_one_pass_maps_equal_tf_keras_vis_fresh_and_reloaded(spec, method, tmp_path, thorax):
    keras.utils.set_random_seed(5)
    model = build_model(spec)
    picture = to_input(Anatomy(thorax), spec)
    assert_same_maps(method, model, spec, picture)
    write_weights(model, tmp_path / "weights.safetensors")
    reloaded = build_model(spec)
    read_weights(reloaded, tmp_path / "weights.safetensors")
    assert_same_maps(method, reloaded, spec, picture)


@pytest.mark.parametrize("method", ONE_PASS)
@every_shipped_model
def test_one_pass_maps_equal_tf_keras_vis_on_the_shipped_weights(spec, method, thorax):
    model, _ = load_model(spec, WEIGHTS)
    assert_same_maps(method, model, spec, to_input(Anatomy(thorax), spec))


def test_pooling_is_the_logarithm_of_the_mean_exponential():
    maps = np.random.default_rng(0).normal(0, 3, (2, 5, 4, 3)).astype(np.float32)
    expected = np.log(np.exp(maps.astype(np.float64)).mean(axis=(1, 2)))
    assert np.allclose(LogMeanExp()(maps), expected, atol=1e-5)
    assert np.isfinite(np.asarray(LogMeanExp()(maps + 500))).all(), "no exponential overflows"


@every_model
def test_weights_survive_the_disk_within_half_precision(spec, tmp_path):
    keras.utils.set_random_seed(1)
    model = build_model(spec)
    write_weights(model, tmp_path / "w.safetensors")
    keras.utils.set_random_seed(2)
    other = build_model(spec)
    read_weights(other, tmp_path / "w.safetensors")
    for before, after in zip(model.get_weights(), other.get_weights(), strict=True):
        if before.dtype == np.float32:
            assert np.allclose(before, after, rtol=1e-3, atol=1e-6)
    assert (tmp_path / "w.safetensors").stat().st_size < 2.1 * model.count_params() + 200_000


def test_kernels_out_of_half_precision_range_are_not_written(tmp_path):
    model = build_model(MODELS[0])
    model.get_layer("logits").kernel.assign(np.full(model.get_layer("logits").kernel.shape, 1e6))
    with pytest.raises(ValueError, match="float16"):
        write_weights(model, tmp_path / "w.safetensors")


@pytest.fixture
def spoilt(toy_weights, tmp_path):
    """A copy of the toy weights of basic_cnn, to spoil."""
    for path in toy_weights.glob("basic_cnn.*"):
        shutil.copy(path, tmp_path)
    return tmp_path


def test_toy_weights_load(spoilt):
    model, card = load_model(MODELS[0], spoilt)
    assert card.labels == LABELS
    assert model.name == "basic_cnn"


def test_a_digest_mismatch_is_refused(spoilt):
    path = spoilt / "basic_cnn.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsMismatch, match="digest"):
        load_model(MODELS[0], spoilt)


def test_truncated_weights_are_refused_even_with_their_digest(spoilt):
    from lungapp.weights_io import digest_of

    path = spoilt / "basic_cnn.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    change_card(spoilt, weights_sha256=digest_of(path))
    with pytest.raises(WeightsMismatch, match="safetensors"):
        load_model(MODELS[0], spoilt)


def test_another_models_weights_are_refused(spoilt, toy_weights):
    from lungapp.weights_io import digest_of

    path = spoilt / "basic_cnn.safetensors"
    shutil.copy(toy_weights / "advanced_cnn.safetensors", path)
    change_card(spoilt, weights_sha256=digest_of(path))
    with pytest.raises(WeightsMismatch, match="tensors of basic_cnn"):
        load_model(MODELS[0], spoilt)


@pytest.mark.parametrize("name", ["basic_cnn.safetensors", "basic_cnn.json"])
def test_missing_files_are_named(spoilt, name):
    (spoilt / name).unlink()
    with pytest.raises(WeightsMissing, match=name):
        load_model(MODELS[0], spoilt)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"labels": ["benign", "normal", "malignant"]}, "labels"),
        ({"input": {"size": 128, "channels": 1, "range": [0, 1]}}, "input"),
        ({"name": "resnet50"}, "name"),
        ({"target_layer": "other"}, "target_layer"),
    ],
)
def test_a_card_of_another_spec_is_refused(spoilt, change, word):
    change_card(spoilt, **change)
    with pytest.raises(WeightsMismatch, match=f"Expected {word}"):
        read_card(MODELS[0], spoilt)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "basic_cnn"}', "\x00"])
def test_a_damaged_card_is_refused(spoilt, text):
    (spoilt / "basic_cnn.json").write_text(text)
    with pytest.raises(WeightsMismatch):
        read_card(MODELS[0], spoilt)


def test_cards_put_lists_of_numbers_on_one_line(tmp_path):
    data = {"name": "x", "a": [0.5, None, -1e-05, 3], "b": [[1, 2], [3, 4]], "c": ["l", "u"], "d": [], "e": [{"n": 1}]}
    write_card(data, tmp_path)
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text) == data
    assert '"a": [0.5, null, -1e-05, 3],' in text
    assert "    [1, 2],\n" in text


def change_card(folder, **change):
    path = folder / "basic_cnn.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def test_weights_are_shipped():
    assert {"basic_cnn", "advanced_cnn"} <= {spec.name for spec in SHIPPED}


@every_shipped_model
def test_golden_probabilities_of_the_shipped_weights(spec):
    """Any drift of reading, preprocessing, weights or arithmetic shows here."""
    from lungapp.reading import read_slice
    from tests.conftest import EXAMPLES

    loaded = LoadedModel(spec, WEIGHTS)
    golden = loaded.card.data["golden"]
    output = loaded.run(to_input(Anatomy(read_slice(EXAMPLES / golden["file"])), spec))
    assert np.allclose(loaded.predict(output.logits).probabilities, golden["probabilities"], atol=0.005)


def test_the_shipped_weights_stay_small():
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 60e6
