"""The engine on toy weights: results, errors, concurrency, and a broken model that takes nothing else down."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from lungapp.anatomy import Anatomy
from lungapp.cards import read_card, write_card
from lungapp.engine import Engine
from lungapp.errors import UnknownMethod, UnknownModel, UnknownTarget, WeightsMissing
from lungapp.methods import METHODS
from lungapp.preprocessing import to_input
from lungapp.registry import LABELS, MODELS
from lungapp.slices import Entry, Slice


@pytest.fixture(scope="module")
def engine(toy_weights):
    return Engine(toy_weights)


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_one_model(engine, thorax, spec):
    analysis = engine.analyse(thorax, spec.name)
    (prediction,), (found,) = analysis.predictions, analysis.maps
    assert prediction.labels == LABELS
    assert prediction.probabilities.sum() == pytest.approx(1)
    assert prediction.answer_set == tuple(label for label, p in prediction.scores().items() if p >= 0.2)
    assert prediction.status == ("confident" if len(prediction.answer_set) == 1 else "uncertain")
    assert found.target == prediction.label
    assert found.values.shape == thorax.pixels.shape
    assert found.blank or found.values.max() == pytest.approx(1)
    assert found.values.min() >= 0
    assert found.inside_lungs is None or 0 <= found.inside_lungs <= 1
    assert np.array_equal(analysis.model_input, to_input(Anatomy(thorax), spec)[..., 0])
    assert analysis.timings_ms["total"] >= analysis.timings_ms["forward"] > 0
    assert analysis.ensemble is None
    assert analysis.agreement is None


@pytest.mark.parametrize("method", [method.name for method in METHODS])
def test_nothing_is_coloured_outside_what_the_model_was_given(engine, thorax, method):
    """Coarse feature maps reach beyond it: without the cut the test would find colour there."""
    found = engine.analyse(thorax, "basic_cnn", "malignant", method).maps[0]
    assert found.region.shape == found.values.shape
    assert 0 < found.region.sum() < found.region.size
    assert found.values[found.region].any()
    assert not found.values[~found.region].any()
    assert found.values.max() == pytest.approx(1), "scaled after the cut"


def test_of_a_picture_without_a_body_all_is_given(engine):
    dark = Slice(np.full((64, 64), -1000.0), "HU")
    assert engine.analyse(dark, "basic_cnn", override=True).maps[0].region.all()


def test_nothing_outside_the_cavity_changes_an_answer(engine, thorax):
    """Fat, muscle and bone of another grey, and another air, where they leave body and cavity as they are."""
    anatomy = Anatomy(thorax)
    cavity, body = anatomy.cavity.astype(np.uint8), anatomy.body.astype(np.uint8)
    margin = np.ones((25, 25), np.uint8)
    deep = (cv2.erode(body, margin) > 0) & (cv2.dilate(cavity, margin) == 0)
    outside = (cv2.dilate(body, margin) == 0) & (anatomy.grey < 0.3)
    others = thorax.pixels + np.where(deep, 40, np.where(outside, 15, 0))
    assert deep.any()
    assert outside.any()
    changed = Slice(others, "HU")
    assert np.array_equal(Anatomy(changed).cavity, anatomy.cavity)
    first, second = (engine.analyse(item, "advanced_cnn", override=True) for item in (thorax, changed))
    assert np.array_equal(first.prediction.probabilities, second.prediction.probabilities)


@pytest.mark.parametrize("target", LABELS)
def test_any_class_can_be_explained(engine, thorax, target):
    assert engine.analyse(thorax, "basic_cnn", target).maps[0].target == target


def test_all_models_and_their_mean(engine, thorax):
    analysis = engine.analyse(thorax, "all")
    assert [prediction.model for prediction in analysis.predictions] == [spec.name for spec in MODELS]
    assert [found.model for found in analysis.maps] == [spec.name for spec in MODELS]
    mean = np.mean([prediction.probabilities for prediction in analysis.predictions], axis=0)
    assert analysis.ensemble.model == "ensemble"
    assert np.allclose(analysis.ensemble.probabilities, mean)
    assert analysis.prediction is analysis.ensemble
    assert analysis.agreement == (len({prediction.decision for prediction in analysis.predictions}) == 1)


def test_a_rejected_slice_is_not_scored(engine):
    analysis = engine.analyse(Slice(np.full((300, 300), -1000.0), "HU"), "basic_cnn")
    assert (analysis.status, analysis.decision) == ("rejected", None)
    assert analysis.quality.findings
    assert analysis.predictions == analysis.maps == ()


@pytest.mark.parametrize("model", ["basic_cnn", "all"])
def test_a_rejected_slice_that_is_scored_all_the_same_excludes_nothing(toy_weights, tmp_path, model):
    """Whatever the cards say: here that malignant alone is left, of any slice."""
    for path in toy_weights.iterdir():
        shutil.copy(path, tmp_path)
    for spec in MODELS:
        thresholds = {"normal": 1, "benign": 1, "malignant": 0}
        data = read_card(spec, tmp_path).data
        write_card(data | {"calibration": data["calibration"] | {"thresholds": thresholds}}, tmp_path)
    engine, blank = Engine(tmp_path), Slice(np.full((300, 300), -1000.0), "HU")
    analysis = engine.analyse(blank, model, override=True)
    [row] = engine.analyse_series([Entry("file 1", None, lambda: blank)], model, override=True)
    for scored in (analysis, row):
        assert (scored.decision, scored.status, scored.prediction.answer_set) == ("undecided", "uncertain", LABELS)
        assert {prediction.decision for prediction in scored.predictions} == {"undecided"}
    assert not row.counted


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("vgg", "predicted", "gradcam"), UnknownModel),
        (("basic_cnn", "cancer", "gradcam"), UnknownTarget),
        (("basic_cnn", "predicted", "x-ray"), UnknownMethod),
    ],
)
def test_wrong_names_say_what_was_expected(engine, thorax, arguments, error):
    with pytest.raises(error, match=r"Expected .+ Received: '"):
        engine.analyse(thorax, *arguments)


def test_concurrent_calls_give_what_single_calls_give(toy_weights, thorax):
    engine = Engine(toy_weights)
    others = [Slice(np.roll(thorax.pixels, shift, axis=1), "HU") for shift in range(6)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda item: engine.analyse(item, "basic_cnn"), others))
    for item, analysis in zip(others, together, strict=True):
        alone = engine.analyse(item, "basic_cnn")
        assert np.allclose(alone.prediction.probabilities, analysis.prediction.probabilities, atol=1e-5)


def test_a_model_without_weights_leaves_the_others_working(toy_weights, tmp_path, thorax):
    for path in toy_weights.glob("basic_cnn.*"):
        shutil.copy(path, tmp_path)
    engine = Engine(tmp_path)
    engine.warm_up()
    assert [card.name for card in engine.cards()] == ["basic_cnn"]
    with pytest.raises(WeightsMissing, match="resnet50"):
        engine.analyse(thorax, "resnet50")
    assert engine.analyse(thorax, "basic_cnn").predictions
    assert [prediction.model for prediction in engine.analyse(thorax, "all").predictions] == ["basic_cnn"]


def test_no_weights_at_all_are_an_error_with_words(tmp_path, thorax):
    engine = Engine(tmp_path)
    engine.warm_up()
    with pytest.raises(WeightsMissing, match="Expected the model card"):
        engine.analyse(thorax, "all")
