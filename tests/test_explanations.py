"""The explanations: what they return, that they follow the class and the weights, and how they relate to tf-keras-vis.

The sanity check is that of Adebayo et al. (2018, "Sanity checks for saliency maps"): a map that stays as it was when
the weights are drawn anew explains the picture, not the model.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest
from scipy.stats import spearmanr

from lungapp.anatomy import Anatomy
from lungapp.engine import Engine
from lungapp.errors import UnknownMethod
from lungapp.inference import LoadedModel
from lungapp.methods import METHODS, WITHOUT_TENSORFLOW, available_methods, get_method
from lungapp.models import LogMeanExp
from lungapp.preprocessing import to_input
from lungapp.registry import LABELS, MODELS
from lungapp.saliency import ONE_PASS
from lungapp.saliency.scorecam import scorecam
from lungapp.settings import WEIGHTS
from lungapp.ui.analyse import describe_method
from tests.conftest import write_toy

ROOT = WEIGHTS.parent
NAMES = [method.name for method in METHODS]
WITHOUT_GRADIENTS = [method.name for method in METHODS if not method.gradients]
every_method = pytest.mark.parametrize("method", NAMES)
every_asking_method = pytest.mark.parametrize("method", [name for name in NAMES if name not in ONE_PASS])
SMALL = [spec for spec in MODELS if spec.name != "resnet50"]

ALIKE = 0.7
"""Rank correlation inside the body from which two maps count as the same. Measured on phantoms with weights drawn anew,
at most: Grad-CAM 0.22, Grad-CAM++ 0.43, Score-CAM 0.53, Layer-CAM 0.27, SmoothGrad 0.46. Over the whole picture it is
more, since every network tells the body from the black around it."""


@pytest.fixture(scope="module")
def engine(toy_weights):
    return Engine(toy_weights)


@pytest.fixture(scope="module")
def picture(thorax) -> np.ndarray:
    return to_input(Anatomy(thorax), MODELS[0])


@pytest.fixture(scope="module")
def loaded(toy_weights) -> LoadedModel:
    return LoadedModel(SMALL[0], toy_weights)


@pytest.fixture(scope="module")
def other_weights(tmp_path_factory):
    """The small models with weights drawn anew."""
    folder = tmp_path_factory.mktemp("anew")
    for spec in SMALL:
        write_toy(spec, folder, seed=12)
    return folder


def map_of(model: LoadedModel, picture: np.ndarray, label: str, method: str) -> np.ndarray:
    return model.explain(picture, model.run(picture), label, method)


@every_method
def test_every_method_gives_a_map_that_is_repeatable(engine, thorax, method):
    told: list[float] = []
    found = engine.analyse(thorax, "basic_cnn", "malignant", method, progress=told.append).maps[0]
    assert (found.method, found.target) == (method, "malignant")
    assert found.values.shape == thorax.pixels.shape
    assert found.values.dtype == np.float32
    assert np.isfinite(found.values).all()
    assert found.values.min() >= 0
    assert found.blank or found.values.max() == pytest.approx(1)
    assert found.blank == (found.inside_lungs is None)
    assert np.array_equal(engine.analyse(thorax, "basic_cnn", "malignant", method).maps[0].values, found.values)
    assert bool(told) == get_method(method).slow
    assert told == sorted(told)
    assert not told or told[-1] == 1


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_every_model_can_be_explained(engine, thorax, spec):
    found = engine.analyse(thorax, spec.name, "benign", "layercam").maps[0]
    assert np.isfinite(found.values).all()
    assert found.values.max() == pytest.approx(1)


def test_progress_over_all_models_is_that_of_the_whole(toy_weights, tmp_path, thorax):
    for name in ("basic_cnn", "advanced_cnn"):
        for path in toy_weights.glob(f"{name}.*"):
            shutil.copy(path, tmp_path)
    told: list[float] = []
    Engine(tmp_path).analyse(thorax, "all", method="smoothgrad", progress=told.append)
    assert told == sorted(told)
    assert (told[0], told[15], told[-1]) == (1 / 32, 0.5, 1)


@every_method
def test_the_target_matters(loaded, picture, method, monkeypatch):
    # Untrained, the network is undecided whatever it is shown; surer of itself, its classes differ for Score-CAM too.
    logits_of = loaded._logits
    monkeypatch.setattr(loaded, "_logits", lambda pictures: 30 * logits_of(pictures))
    maps = [map_of(loaded, picture, label, method) for label in LABELS]
    scaled = [values / max(values.max(), 1e-9) for values in maps]
    assert not np.allclose(scaled[0], scaled[2], atol=0.01)


@every_method
@pytest.mark.parametrize("spec", SMALL, ids=lambda spec: spec.name)
def test_weights_drawn_anew_change_the_map(spec, picture, method, toy_weights, other_weights):
    one, anew = LoadedModel(spec, toy_weights), LoadedModel(spec, other_weights)
    # The class whose map has most to lose: another's may be blank inside the body.
    mine = {label: map_of(one, picture, label, method) for label in LABELS}
    label = max(LABELS, key=lambda label: np.ptp(mine[label][inside(picture, mine[label].shape)]))
    assert likeness(mine[label], mine[label], picture) == pytest.approx(1)
    assert likeness(mine[label], map_of(anew, picture, label, method), picture) < ALIKE


@every_method
def test_the_likeness_of_a_map_with_itself_is_one(loaded, picture, method):
    """Without this, the sanity check would pass on any map at all."""
    values = map_of(loaded, picture, "malignant", method)
    assert likeness(values, values * 3, picture) == pytest.approx(1)


def likeness(one: np.ndarray, other: np.ndarray, picture: np.ndarray) -> float:
    """Rank correlation of two maps inside the body; 0 where one of them is the same throughout."""
    body = inside(picture, one.shape)
    if not np.ptp(one[body]) or not np.ptp(other[body]):
        return 0.0
    return float(spearmanr(one[body], other[body]).statistic)


def inside(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``shape`` bool: where a map of that shape lies on the body of ``picture``."""
    return cv2.resize((picture[..., 0] > 0).astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA) > 0.5


PLAIN = {
    "penultimate_layer": "features",
    "seek_penultimate_conv_layer": False,
    "expand_cam": False,
    "normalize_cam": False,
}


@pytest.fixture(scope="module", params=["relu", "linear"])
def averaging(request) -> keras.Model:
    """A toy network that ends as the models do, with and without an activation before the pooling."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((32, 32, 1))
    x = keras.layers.Conv2D(6, 5, 2, activation="relu")(inputs)
    x = keras.layers.Conv2D(9, 3, 2, activation=request.param, name="features")(x)
    x = LogMeanExp()(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(x))


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """Patches, so that each class has some place that speaks for it."""
    coarse = np.random.default_rng(8).random((5, 5), np.float32)
    return cv2.resize(coarse, (32, 32), interpolation=cv2.INTER_CUBIC)[..., None]


def features_of(model: keras.Model, picture: np.ndarray) -> np.ndarray:
    return np.asarray(keras.Model(model.input, model.get_layer("features").output)(picture[None]))[0]


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("method", ONE_PASS)
def test_the_one_pass_maps_are_those_of_tf_keras_vis(averaging, texture, method, index):
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    from tf_keras_vis.layercam import Layercam
    from tf_keras_vis.utils.scores import CategoricalScore

    reference = {"gradcam": Gradcam, "gradcam_plus_plus": GradcamPlusPlus, "layercam": Layercam}[method]
    theirs = np.asarray(reference(averaging, clone=False)(CategoricalScore(index), texture[None], **PLAIN))[0]
    weights = np.asarray(averaging.get_layer("logits").kernel)[:, index]
    ours = ONE_PASS[method](features_of(averaging, texture), weights)
    assert theirs.max() > 0, "a blank map compares nothing"
    assert np.allclose(ours / ours.max(), theirs / theirs.max(), atol=1e-5)


@pytest.mark.parametrize("channels", [4, 64])
def test_scorecam_is_that_of_tf_keras_vis(averaging, texture, monkeypatch, channels):
    """With fewer feature maps than there are, and with all of them."""
    from tf_keras_vis.scorecam import Scorecam
    from tf_keras_vis.utils.scores import CategoricalScore

    monkeypatch.setattr("lungapp.saliency.scorecam.CHANNELS", channels)
    features = features_of(averaging, texture)
    ours = scorecam(texture, features, 2, lambda pictures: averaging(pictures).numpy())
    most = min(channels, features.shape[-1])
    view = keras.Model([averaging.input], averaging.outputs)
    monkeypatch.setattr(view, "predict", lambda batch, batch_size: view(batch).numpy(), raising=False)
    theirs = np.asarray(Scorecam(view)(CategoricalScore(2), texture[None], max_N=most, **PLAIN))[0]
    assert np.allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_scorecam_is_bounded_and_tells_how_far_it_is():
    asked, told = [], []

    def forward(pictures: np.ndarray) -> np.ndarray:
        asked.append(len(pictures))
        return np.zeros((len(pictures), 3), np.float32)

    features = np.random.default_rng(0).random((3, 3, 300), np.float32)
    scorecam(np.ones((12, 12, 1), np.float32), features, 0, forward, told.append)
    assert sum(asked) == 64
    assert told == sorted(told)
    assert told[-1] == 1


def test_smoothgrad_is_that_of_tf_keras_vis_with_noise_of_our_own(averaging, texture, monkeypatch):
    from tf_keras_vis.saliency import Saliency
    from tf_keras_vis.utils.scores import CategoricalScore

    from lungapp.saliency.smoothgrad import smoothgrad

    monkeypatch.setattr("lungapp.saliency.smoothgrad.CEILING", 100)
    monkeypatch.setattr("lungapp.saliency.smoothgrad.SAMPLES", 3)
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    ours = smoothgrad(averaging, texture, 2)
    assert np.random.get_state()[1].tolist() == state, "NumPy's global state is not touched"  # noqa: NPY002
    random = np.random.default_rng(0)
    monkeypatch.setattr(np.random, "normal", random.normal)
    view = keras.Model([averaging.input], averaging.outputs)
    theirs = Saliency(view)(
        CategoricalScore(2), texture[None], smooth_samples=3, smooth_noise=0.2, normalize_map=False
    )[0]
    assert np.allclose(ours, theirs, rtol=1e-3, atol=1e-6)


@every_asking_method
def test_concurrent_calls_give_what_single_calls_give(engine, thorax, method):
    alone = {label: engine.analyse(thorax, "basic_cnn", label, method).maps[0].values for label in LABELS}
    with ThreadPoolExecutor(3) as pool:
        together = pool.map(lambda label: engine.analyse(thorax, "basic_cnn", label, method).maps[0].values, LABELS)
        for label, values in zip(LABELS, together, strict=True):
            assert np.allclose(values, alone[label], atol=1e-4)


def test_only_gradients_wait_for_tensorflow(toy_weights, thorax):
    engine = Engine(toy_weights)
    for method in NAMES:
        if method != "smoothgrad":
            engine.analyse(thorax, "basic_cnn", method=method)
    assert [method for method in NAMES if engine.must_load("basic_cnn", method)] == ["smoothgrad"]
    engine.analyse(thorax, "basic_cnn", method="smoothgrad")
    assert not any(engine.must_load("basic_cnn", method) for method in NAMES)


def test_an_unknown_method_is_refused(loaded, picture):
    with pytest.raises(UnknownMethod, match=r"Expected .+ Received: 'x-ray'"):
        map_of(loaded, picture, "malignant", "x-ray")
    with pytest.raises(UnknownMethod, match="gradcam, gradcam_plus_plus, scorecam, layercam, smoothgrad"):
        get_method("x-ray")


@pytest.fixture
def no_tensorflow(monkeypatch):
    for name in ("tensorflow", "keras", "tf_keras_vis"):
        monkeypatch.setitem(sys.modules, name, None)


def test_without_tensorflow_what_needs_gradients_is_absent_and_the_page_says_why(no_tensorflow, toy_weights, thorax):
    assert [method.name for method in available_methods()] == WITHOUT_GRADIENTS
    engine = Engine(toy_weights)
    assert engine.analyse(thorax, "basic_cnn").maps
    with pytest.raises(UnknownMethod, match="It needs TensorFlow, which this server was set up without"):
        engine.analyse(thorax, "basic_cnn", method="smoothgrad")
    assert describe_method("gradcam").endswith(str(WITHOUT_TENSORFLOW))


WITHOUT = """
import json, sys
sys.modules |= dict.fromkeys(("tensorflow", "keras", "tf_keras_vis"))
import app, lungapp
assert app.engine.analyse(lungapp.read_slice("examples/phantom-mass.png"), "basic_cnn").maps
(choice,) = [block for block in app.demo.blocks.values() if getattr(block, "elem_id", "") == "la-method"]
print(json.dumps([[name for _, name in choice.choices], choice.info, app.demo.get_api_info()]))
"""


def test_the_page_starts_without_tensorflow():
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True, check=True)
    names, info, api = json.loads(done.stdout.splitlines()[-1])
    assert names == WITHOUT_GRADIENTS
    assert str(WITHOUT_TENSORFLOW) in info
    assert "smoothgrad" not in json.dumps(api)


def test_a_batch_gives_what_single_passes_give(loaded, picture):
    pictures = np.stack([picture, picture[::-1], picture * 0.5])
    for alone, together in zip([loaded.run(p) for p in pictures], loaded.run_batch(pictures), strict=True):
        for one, other in zip(alone, together, strict=True):
            assert one.shape == other.shape
            assert np.allclose(one, other, rtol=1e-2, atol=1e-3)


def test_faithfulness_is_measured_on_demand(engine, thorax):
    analysis = engine.analyse(thorax, "basic_cnn", "malignant", "layercam")
    assert analysis.maps[0].faithfulness is None
    tested = engine.measure_faithfulness(analysis)
    found = tested.maps[0].faithfulness
    assert found.share == pytest.approx(0.1, abs=0.01)
    assert found.probability == pytest.approx(analysis.predictions[0].scores()["malignant"], abs=1e-3)
    assert tested.timings_ms["faithfulness"] > 0
    assert engine.measure_faithfulness(analysis).maps[0].faithfulness == found
    assert np.array_equal(tested.maps[0].values, analysis.maps[0].values)


def test_a_blank_map_and_a_rejected_slice_are_not_tested(engine, thorax):
    analysis = engine.analyse(thorax, "basic_cnn")
    blank = replace(analysis.maps[0], values=np.zeros_like(analysis.maps[0].values))
    assert engine.measure_faithfulness(replace(analysis, maps=(blank,))).maps[0].faithfulness is None
    assert engine.measure_faithfulness(replace(analysis, predictions=(), maps=())).maps == ()
