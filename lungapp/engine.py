"""The only orchestrator: slice → gate → model input → one forward pass → probabilities and activation maps.

TensorFlow is imported when the first model is loaded, not before, so the page is up while it loads.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lungapp.anatomy import lung_mask
from lungapp.cards import ENSEMBLE, ModelCard, read_card, read_ensemble_card
from lungapp.errors import LungAppError, UnknownMethod, UnknownTarget, WeightsError
from lungapp.preprocessing import MODEL_WINDOW, Frame, prepare
from lungapp.quality import assess
from lungapp.registry import DEFAULT_MODEL, LABELS, MODELS, ModelSpec, get_spec
from lungapp.results import ActivationMap, Analysis, Prediction
from lungapp.settings import WEIGHTS
from lungapp.slices import Slice

if TYPE_CHECKING:
    from lungapp.inference import LoadedModel, Output

T = TypeVar("T")
ALL = "all"
PREDICTED = "predicted"


class Engine:
    """Scores slices with the models whose weights lie in ``weights``.

    Safe under concurrent calls; a model is loaded on its first use and kept. A model whose weights cannot be used
    raises its own `WeightsError` and leaves the others working.
    """

    def __init__(self, weights: Path = WEIGHTS) -> None:
        self._weights = Path(weights)
        self._loaded: dict[str, LoadedModel] = {}
        self._failed: dict[str, str] = {}
        self._lock = threading.Lock()

    def cards(self) -> tuple[ModelCard, ...]:
        """The cards of the models that have a valid one, in the registry's order; loads no TensorFlow."""
        found = []
        for spec in MODELS:
            try:
                found.append(read_card(spec, self._weights))
            except WeightsError:
                continue
        return tuple(found)

    def ensemble_card(self) -> ModelCard | None:
        """The card of the models' mean, or None where there is no valid one; loads no TensorFlow."""
        try:
            return read_ensemble_card(self._weights)
        except WeightsError:
            return None

    def states(self) -> dict[str, tuple[str, str]]:
        """Each model's state, "ready", "loading" (or not asked for yet) or "failed", and what is wrong with it."""
        states = {}
        for spec in MODELS:
            if spec.name in self._loaded:
                states[spec.name] = ("ready", "")
            else:
                message = self._failed.get(spec.name, "")
                states[spec.name] = ("failed" if message else "loading", message)
        return states

    def warm_up(self) -> None:
        """Load every model that can be loaded, so that the first analysis does not wait for it."""
        with contextlib.suppress(WeightsError):
            self._all_models()

    def analyse(
        self,
        item: Slice,
        model: str = DEFAULT_MODEL,
        target: str = PREDICTED,
        method: str = "gradcam",
        override: bool = False,
    ) -> Analysis:
        """Judge, score and explain one slice.

        Parameters
        ----------
        model : a model's name, or "all" for every model that has weights, and their ensemble.
        target : the class to explain, or "predicted" for each model's own.
        method : "gradcam".
        override : score the slice even where the gate rejects it; the analysis then says so and is never confident.

        Raises
        ------
        UnknownModel, UnknownTarget, UnknownMethod, WeightsError
        """
        spec = MODELS[0] if model == ALL else get_spec(model)  # all models share one input
        _check(target, method)
        clock = _Clock()
        quality = clock.time("quality", lambda: assess(item))
        overridden = override and quality.verdict == "reject"
        if quality.verdict == "reject" and not override:
            return Analysis(item, quality, model, timings_ms=clock.stop())
        models = clock.time("load", lambda: self._all_models() if model == ALL else [self._model(spec)])
        prepared = clock.time("prepare", lambda: prepare(item, spec))
        outputs = clock.time("forward", lambda: [loaded.run(prepared[0]) for loaded in models])
        predictions = tuple(loaded.predict(output.logits) for loaded, output in zip(models, outputs, strict=True))
        ensemble = self._ensemble(predictions, models) if model == ALL else None
        if overridden:
            predictions = tuple(replace(prediction, status="uncertain") for prediction in predictions)
            ensemble = ensemble and replace(ensemble, status="uncertain")
        maps = clock.time(
            "maps",
            lambda: _maps(item, prepared[1], target, models, predictions, outputs),
        )
        return Analysis(
            item,
            quality,
            model,
            predictions,
            maps,
            ensemble=ensemble,
            model_input=prepared[0][..., 0],
            timings_ms=clock.stop(),
            overridden=overridden,
        )

    def _ensemble(self, predictions: tuple[Prediction, ...], models: list[LoadedModel]) -> Prediction:
        """The mean of the calibrated probabilities.

        Its card says whether it is confident, where there is one of just these weights; else it is where all models
        agree and each one is.
        """
        mean = np.mean([prediction.probabilities for prediction in predictions], axis=0)
        card = self.ensemble_card()
        if card and card.members == {loaded.spec.name: loaded.card.weights_sha256 for loaded in models}:
            status = card.status_of(float(mean.max()))
        else:
            agreed = len({prediction.label for prediction in predictions}) == 1
            confident = agreed and all(prediction.status == "confident" for prediction in predictions)
            status = "confident" if confident else "uncertain"
        return Prediction(ENSEMBLE, predictions[0].labels, mean, status)

    def _all_models(self) -> list[LoadedModel]:
        """Every model that can be loaded; raises the first one's error where none can."""
        loaded, errors = [], []
        for spec in MODELS:
            try:
                loaded.append(self._model(spec))
            except WeightsError as error:
                errors.append(error)
        if not loaded:
            raise errors[0]
        return loaded

    def _model(self, spec: ModelSpec) -> LoadedModel:
        with self._lock:
            if spec.name not in self._loaded:
                from lungapp.inference import LoadedModel

                try:
                    self._loaded[spec.name] = LoadedModel(spec, self._weights)
                except Exception as error:
                    known = isinstance(error, LungAppError)
                    self._failed[spec.name] = str(error) if known else f"Unexpected {type(error).__name__}."
                    raise
            return self._loaded[spec.name]


def _check(target: str, method: str) -> None:
    from_labels = (PREDICTED, *LABELS)
    if target not in from_labels:
        raise UnknownTarget(f"Expected a class out of: {', '.join(from_labels)}. Received: {str(target)[:40]!r}")
    if method != "gradcam":
        raise UnknownMethod(f"Expected an explanation method out of: gradcam. Received: {str(method)[:40]!r}")


def _maps(
    item: Slice,
    frame: Frame,
    target: str,
    models: list[LoadedModel],
    predictions: tuple[Prediction, ...],
    outputs: list[Output],
) -> tuple[ActivationMap, ...]:
    lungs = lung_mask(item.windowed(MODEL_WINDOW))
    maps = []
    for loaded, prediction, output in zip(models, predictions, outputs, strict=True):
        label = prediction.label if target == PREDICTED else target
        values = frame.to_slice(loaded.gradcam(output, label), item.pixels.shape)
        peak, total = float(values.max()), float(values.sum())
        inside = float(values[lungs].sum()) / total if total and lungs.any() else None
        maps.append(ActivationMap(loaded.spec.name, "gradcam", label, values / peak if peak else values, inside))
    return tuple(maps)


class _Clock:
    """Milliseconds of each named step, and of the whole."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._steps: dict[str, float] = {}

    def time(self, name: str, step: Callable[[], T]) -> T:
        start = time.perf_counter()
        try:
            return step()
        finally:
            self._steps[name] = (time.perf_counter() - start) * 1000

    def stop(self) -> dict[str, float]:
        return self._steps | {"total": (time.perf_counter() - self._start) * 1000}
