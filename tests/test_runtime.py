"""The served graphs: they are what the networks are, and answer as Keras does."""

from __future__ import annotations

import keras
import numpy as np
import onnx
import pytest

from benchmarks.precision import ALLOWED, inputs_of, predictions
from lungapp import runtime
from lungapp.anatomy import Anatomy
from lungapp.cards import shipped
from lungapp.engine import Engine
from lungapp.errors import WeightsMismatch
from lungapp.models import build_model, load_model
from lungapp.preprocessing import to_input
from lungapp.registry import MODELS, ModelSpec, get_spec
from lungapp.runtime import GRAPHS, fastest, open_graphs
from lungapp.settings import WEIGHTS
from lungapp.weights_io import read_tensors, tensors_of, variables_of
from train.graphs import outputs_of, to_onnx

every_model = pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
every_shipped_model = pytest.mark.parametrize("spec", shipped(WEIGHTS), ids=lambda spec: spec.name)

AGREE = 1e-4
"""Of probabilities and logits; of feature maps, as a share of their highest value."""


@pytest.fixture(scope="module")
def pictures(thorax) -> np.ndarray:
    """Three pictures (3, 224, 224, 1): a slice, what is left of one, and noise."""
    picture = to_input(Anatomy(thorax), MODELS[0])
    noise = np.random.default_rng(0).random(picture.shape, np.float32)
    return np.stack([picture, picture[::-1] * 0.5, noise])


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@every_model
def test_the_committed_graph_is_the_network(spec):
    """After a change of `lungapp.models`: python -m train.graphs"""
    assert (GRAPHS / f"{spec.name}.onnx").read_bytes() == to_onnx(build_model(spec), spec).SerializeToString(
        deterministic=True
    )


@every_model
def test_a_graph_holds_no_weights(spec):
    graph = onnx.load(GRAPHS / f"{spec.name}.onnx").graph
    assert max(np.prod(constant.dims) for constant in graph.initializer) < 100


@pytest.fixture(scope="module", params=MODELS, ids=lambda spec: spec.name)
def network(request) -> tuple[ModelSpec, keras.Model]:
    """Weights at random, statistics of batch normalisation too, or it would do nothing."""
    keras.utils.set_random_seed(3)
    model = build_model(request.param)
    random = np.random.default_rng(3)
    for path, variable in variables_of(model).items():
        if "moving" in path:
            variable.assign(np.asarray(variable) + random.uniform(0, 0.3, variable.shape))
    return request.param, model


def test_keras_and_the_graph_agree(network, pictures):
    spec, model = network
    tensors = {path: np.asarray(variable) for path, variable in variables_of(model).items()}
    assert_agree(spec, model, tensors, pictures)


@every_shipped_model
def test_keras_and_the_graph_agree_on_the_shipped_weights(spec, pictures):
    model, _ = load_model(spec, WEIGHTS)
    assert_agree(spec, model, read_tensors(WEIGHTS / f"{spec.name}.safetensors"), pictures)


def assert_agree(spec: ModelSpec, model: keras.Model, tensors: dict[str, np.ndarray], pictures: np.ndarray) -> None:
    outputs = outputs_of(model, spec)
    theirs = keras.Model(model.input, list(outputs.values())).predict(pictures, verbose=0)
    ours = open_graphs(spec.name, tensors)[0](pictures)
    assert list(outputs) == ["features", "logits"]
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() < AGREE * max(1, np.abs(other).max())
    assert np.abs(softmax(ours[1]) - softmax(theirs[1])).max() < AGREE


def test_a_batch_is_its_pictures_one_by_one(network, pictures):
    spec, model = network
    graph = open_graphs(spec.name, tensors_of(model))[0]
    together = graph(pictures)
    for number, picture in enumerate(pictures):
        for one, all_ in zip(graph(picture[None]), together, strict=True):
            assert np.allclose(one[0], all_[number], atol=AGREE * max(1, np.abs(all_).max()), rtol=AGREE)


def test_an_answer_outlives_the_next(pictures):
    graph = open_graphs("basic_cnn", tensors_of(build_model(get_spec("basic_cnn"))))[0]
    first = graph(pictures[:1])
    kept = [found.copy() for found in first]
    graph(pictures[1:2])
    assert all(np.array_equal(one, other) for one, other in zip(first, kept, strict=True))


def test_the_faster_precision_is_for_resnet50_alone_and_gives_what_the_exact_one_does(network, pictures, monkeypatch):
    spec, model = network
    parts = []
    whole = runtime._at_first_pooling
    monkeypatch.setattr(runtime, "_at_first_pooling", lambda model: parts.append(1) or whole(model))
    exact, fast = (open_graphs(spec.name, tensors_of(model), way)[0](pictures) for way in ("f32", "bf16"))
    assert bool(parts) == (spec.name == "resnet50")
    for one, other in zip(exact, fast, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() < 0.05 * np.abs(one).max()


@every_shipped_model
def test_the_faster_precision_changes_no_answer_on_held_out_slices(spec, dataset):
    """What lets it be the default where the processor has it; on others this compares float32 with itself."""
    inputs = inputs_of(dataset, spec)
    exact, fast = (predictions(spec, way, inputs) for way in ("f32", "bf16"))
    assert [found.label for found in fast] == [found.label for found in exact]
    moved = [np.abs(one.probabilities - other.probabilities).max() for one, other in zip(exact, fast, strict=True)]
    assert len(moved) > 100
    assert max(moved) <= ALLOWED


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 avx512_vbmi2\n", "bf16"),
        ("processor\t: 0\nflags\t\t: fpu amx_bf16 amx_tile\n", "bf16"),
        ("flags\t\t: fpu avx512f avx512bw\n", "f32"),
        ("Features\t: fp asimd bf16\n", "f32"),
        ("", "f32"),
        (None, "f32"),
    ],
)
def test_the_faster_precision_is_for_processors_that_compute_with_it(flags, expected, tmp_path):
    file = tmp_path / "cpuinfo"
    if flags is not None:
        file.write_text(flags)
    assert fastest(file) == expected


def test_a_model_says_what_it_was_computed_in(toy_weights, thorax):
    for asked, expected in (("f32", "f32"), ("bf16", "bf16"), ("auto", fastest())):
        analysis = Engine(toy_weights, asked).analyse(thorax, "all", override=True)
        assert {found.precision for found in (*analysis.predictions, analysis.ensemble)} == {expected}


@pytest.mark.parametrize("change", ["missing", "renamed", "shape"])
def test_other_weights_are_refused(change):
    tensors = tensors_of(build_model(get_spec("basic_cnn")))
    name = next(iter(tensors))
    if change == "missing":
        del tensors[name]
    elif change == "renamed":
        tensors["another"] = tensors.pop(name)
    else:
        tensors[name] = tensors[name][:1]
    with pytest.raises(WeightsMismatch, match=r"Expected the 12 tensors of basic_cnn. Received: .+ different, first"):
        open_graphs("basic_cnn", tensors)


def test_an_unknown_layer_is_no_graph():
    inputs = keras.Input((8, 8, 1))
    features = keras.layers.Conv2D(2, 3, name="features", padding="same")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(features)
    model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(x))
    with pytest.raises(ValueError, match=r"Expected a layer out of: .+ Received: GlobalAveragePooling2D\."):
        to_onnx(model, get_spec("basic_cnn"))
