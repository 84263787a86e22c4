"""Stand-ins for the engine, without TensorFlow and weights, and a server for a page built on one."""

from __future__ import annotations

import gc
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lungapp.anatomy import Anatomy
from lungapp.cards import ModelCard
from lungapp.connections import bound_connections
from lungapp.errors import UnknownTarget, WeightsMissing
from lungapp.methods import DEFAULT_METHOD, get_method
from lungapp.preprocessing import to_input
from lungapp.quality import assess
from lungapp.registry import LABELS, MODELS, get_spec
from lungapp.results import ActivationMap, Analysis, Faithfulness, Prediction, SeriesRow
from lungapp.series import Scores, look, run
from lungapp.settings import Settings
from lungapp.slices import Entry, Slice
from lungapp.ui import Server, build_application, build_demo

if TYPE_CHECKING:
    import gradio as gr

    from lungapp.engine import Engine

DEFAULTS = Settings()

SERVER_WARNINGS = (
    "ignore::Warning:gradio",
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
"""For tests that run Gradio's server: pandas' deprecations in it, and sockets and loops it leaves to the collector."""

SCORES = {
    "basic_cnn": (0.62, 0.26, 0.12),
    "resnet50": (0.08, 0.50, 0.42),
    "advanced_cnn": (0.004, 0.026, 0.97),
}


def make_card(name: str) -> ModelCard:
    """A card with all figures in it, all of them invented."""
    figures = {
        "n": 105,
        "accuracy": {"value": 0.71, "interval": [0.6, 0.8]},
        "balanced_accuracy": {"value": 0.65, "interval": [0.55, 0.74]},
        "precision_macro": {"value": 0.66, "interval": [0.56, 0.75]},
        "recall_macro": {"value": 0.65, "interval": [0.55, 0.74]},
        "f1_macro": {"value": 0.64, "interval": [0.54, 0.73]},
        "auc_malignant": {"value": 0.912, "interval": [0.85, 0.96]},
        "sensitivity_at_95_specificity": {"value": 0.58, "interval": [0.4, 0.72]},
        "ece": {"value": 0.081, "interval": [0.05, 0.13]},
        "confusion_matrix": [[35, 2, 5], [6, 3, 3], [6, 4, 41]],
    }
    return ModelCard(
        {
            "name": name,
            "labels": list(LABELS),
            "parameters": 1_234_567,
            "pretraining": "none",
            "data": {"dataset": "IQ-OTH/NCCD"},
            "calibration": make_calibration(),
            "metrics": {"grouped": figures, "image_level": figures},
        }
    )


def make_calibration(threshold: float = 0.2, temperature: float | None = 1.5) -> dict[str, Any]:
    """The part of a card that says what is excluded, every class below ``threshold``, and how often that held."""
    bands = (("malignant", 0.5, 1.0, 0.94), ("not_malignant", 0.0, 0.2, 0.9), ("undecided", 0.2, 0.8, 0.4))
    evidence = [
        {"decision": decision, "low": low, "high": high, "slices": 212, "groups": 31, "right": right,
         "interval": [round(right - 0.05, 2), round(right + 0.03, 2)]}
        for decision, low, high, right in bands
    ]  # fmt: skip
    stated = {} if temperature is None else {"temperature": temperature}
    thresholds = dict.fromkeys(LABELS, threshold)
    return stated | {"level": 0.9, "thresholds": thresholds, "slices": 1054, "groups": 117, "evidence": evidence}


class FakeEngine:
    """A fixed score per model, and a blob on the upper left third as its map; ``pace`` seconds a slice of a series."""

    def __init__(self, cards: tuple[ModelCard, ...] | None = None, pace: float = 0.0) -> None:
        self.pace = pace
        self.calls: list[tuple[str, str, str]] = []
        self._cards = tuple(make_card(spec.name) for spec in MODELS) if cards is None else cards

    def analyse(
        self,
        item: Slice,
        model: str = "advanced_cnn",
        target: str = "predicted",
        method: str = DEFAULT_METHOD,
        override: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> Analysis:
        self.calls.append((model, target, method))
        names = [spec.name for spec in MODELS] if model == "all" else [get_spec(model).name]
        if target not in (*LABELS, "predicted"):
            raise UnknownTarget(f"Expected a class out of: {', '.join(LABELS)}. Received: {target[:40]!r}")
        if get_method(method).slow and progress:
            progress(1.0)
        quality = assess(Anatomy(item))
        overridden = override and quality.verdict == "reject"
        if quality.verdict == "reject" and not override:
            return Analysis(item, quality, model)
        predictions = tuple(_predict(name, SCORES[name]) for name in names)
        maps = tuple(_explain(item, prediction, target, method) for prediction in predictions)
        mean = tuple(np.mean([SCORES[name] for name in names], axis=0))
        ensemble = _predict("ensemble", mean) if model == "all" else None
        if overridden:
            predictions, ensemble = _forced(predictions, ensemble)
        given = to_input(Anatomy(item), MODELS[0])[..., 0]
        timings = {"total": 12.345}
        return Analysis(item, quality, model, predictions, maps, ensemble, given, timings, overridden)

    def measure_faithfulness(self, analysis: Analysis) -> Analysis:
        """The default method's maps hold, the others' do not."""
        maps = []
        for found in analysis.maps:
            fall = 0.52 if found.method == DEFAULT_METHOD else 0.01
            tested = None if found.blank else Faithfulness(0.1, 0.93, fall, (0.02, 0.04))
            maps.append(replace(found, faithfulness=tested))
        return replace(analysis, maps=tuple(maps))

    def analyse_series(
        self, entries: Sequence[Entry], model: str = "advanced_cnn", override: bool = False, batch: int = 8
    ) -> Iterator[SeriesRow]:
        """The brighter a cavity, the higher the probability of malignant: it varies along a series."""
        spec = MODELS[0] if model == "all" else get_spec(model)
        names = [one.name for one in MODELS] if model == "all" else [model]

        def score(pictures: np.ndarray, overridden: Sequence[bool]) -> list[Scores]:
            levels = [float(picture[picture > 0.15].mean()) for picture in pictures]
            found = [self._series_scores(names, level, model == "all") for level in levels]
            return [_forced(*one) if forced else one for one, forced in zip(found, overridden, strict=True)]

        return run(entries, partial(look, spec=spec, model=model, override=override), score, batch)

    def _series_scores(self, names: list[str], level: float, together: bool) -> Scores:
        time.sleep(self.pace)
        malignant = float(0.02 + 0.95 / (1 + np.exp(600 * (0.546 - level))))
        scores = (0.8 * (1 - malignant), 0.2 * (1 - malignant), malignant)
        predictions = tuple(_predict(name, scores) for name in names)
        return predictions, _predict("ensemble", scores) if together else None

    def cards(self) -> tuple[ModelCard, ...]:
        return self._cards

    def ensemble_card(self) -> ModelCard | None:
        return None

    def states(self) -> dict[str, tuple[str, str]]:
        return {spec.name: ("ready", "") for spec in MODELS}

    def must_load(self, model: str, method: str) -> bool:
        return False

    def warm_up(self) -> None:
        """Nothing to load."""


class BrokenEngine(FakeEngine):
    """Fails as a program with a fault does, or as one without weights does."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(cards=())
        self.error = error or WeightsMissing("Expected weights of Advanced CNN. Received: no such file.")

    def analyse(self, *_: Any, **__: Any) -> Analysis:
        raise self.error

    def analyse_series(self, *_: Any, **__: Any) -> Iterator[SeriesRow]:
        raise self.error


def _forced(predictions: tuple[Prediction, ...], ensemble: Prediction | None) -> Scores:
    return tuple(prediction.forced() for prediction in predictions), ensemble and ensemble.forced()


def _predict(name: str, scores: tuple[float, ...]) -> Prediction:
    return make_card(name).predict(np.array(scores))


def _explain(item: Slice, prediction: Prediction, target: str, method: str) -> ActivationMap:
    rows, columns = np.mgrid[0 : item.rows, 0 : item.columns]
    distance = (rows / item.rows - 0.3) ** 2 + (columns / item.columns - 0.3) ** 2
    values = np.exp(-distance / 0.02).astype(np.float32)
    label, region = prediction.label if target == "predicted" else target, np.ones((item.rows, item.columns), bool)
    if label == "benign" and prediction.model == "basic_cnn":
        return ActivationMap(prediction.model, method, label, np.zeros_like(values), None, region=region)
    return ActivationMap(prediction.model, method, label, values / values.max(), 0.72, region=region)


@contextmanager
def serve(engine: Engine, settings: Settings = DEFAULTS) -> Iterator[str]:
    """The page on a free port of this machine; yields its address."""
    with serve_page(engine, settings) as (url, _):
        yield url


@contextmanager
def serve_page(engine: Engine, settings: Settings = DEFAULTS) -> Iterator[tuple[str, gr.Blocks]]:
    """The same; yields the page too."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    demo = build_demo(engine, settings)
    bound_connections(settings.connections)
    server = Server(demo, build_application(demo, engine, settings), "127.0.0.1", port)
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", demo
    finally:
        server.close()
        with warnings.catch_warnings():  # what Gradio leaves open is collected here, not in some later test
            warnings.simplefilter("ignore")
            gc.collect()
