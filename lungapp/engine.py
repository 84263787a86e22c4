"""The only orchestrator: slice → gate → model input → one forward pass → probabilities and activation maps.

OpenVINO is imported when the first model is loaded; TensorFlow only for the explanation that needs gradients.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lungapp.anatomy import Anatomy
from lungapp.cards import ENSEMBLE, ModelCard, read_card, read_ensemble_card
from lungapp.errors import Busy, LungAppError, UnknownTarget, WeightsError, WeightsMismatch
from lungapp.faithfulness import measure
from lungapp.methods import DEFAULT_METHOD, get_method
from lungapp.preprocessing import frame_of, to_input
from lungapp.quality import assess
from lungapp.registry import DEFAULT_MODEL, LABELS, MODELS, ModelSpec, get_spec
from lungapp.results import ActivationMap, Analysis, Prediction, SeriesRow, status_of
from lungapp.series import BATCH, Scores, look, run
from lungapp.settings import WEIGHTS
from lungapp.slices import Entry, Slice

if TYPE_CHECKING:
    from lungapp.inference import LoadedModel, Output

T = TypeVar("T")
Progress = Callable[[float], None]
ALL = "all"
PREDICTED = "predicted"
LOAD_SECONDS = 60.0
"""Who waits longer for a model that somebody else has begun to load is told so; all three take about a second."""


class Engine:
    """Scores slices with the models whose weights lie in ``weights``.

    Safe under concurrent calls; a model is loaded on its first use and kept. A model whose weights cannot be used
    raises its own `WeightsError` and leaves the others working.
    """

    def __init__(self, weights: Path = WEIGHTS, precision: str = "f32", threads: int = 0) -> None:
        """``precision`` and ``threads`` as for `lungapp.inference.LoadedModel`."""
        self._weights, self._compute = Path(weights), (precision, threads)
        self._loaded: dict[str, LoadedModel] = {}
        self._failed: dict[str, str] = {}
        self._locks = {spec.name: threading.Lock() for spec in MODELS}

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

    def must_load(self, model: str, method: str) -> bool:
        """Whether an explanation by ``method`` has to wait until TensorFlow and Keras' own model are loaded."""
        asked = [loaded for name, loaded in self._loaded.items() if model in (ALL, name)]
        return get_method(method).gradients and not all(loaded.has_gradients for loaded in asked)

    def warm_up(self) -> None:
        """Load every model that can be loaded, so that the first analysis does not wait for it."""
        with contextlib.suppress(WeightsError, Busy):
            self._all_models()

    def analyse(
        self,
        item: Slice,
        model: str = DEFAULT_MODEL,
        target: str = PREDICTED,
        method: str = DEFAULT_METHOD,
        override: bool = False,
        progress: Progress | None = None,
    ) -> Analysis:
        """Judge, score and explain one slice.

        Parameters
        ----------
        model : a model's name, or "all" for every model that has weights, and their ensemble.
        target : the class to explain, or "predicted" for each model's own.
        method : how to explain, a name out of `lungapp.methods`.
        override : score the slice even where the gate rejects it; the analysis then says so and excludes nothing.
        progress : is told the share of the explanation that is done, in (0, 1], by the slow methods.

        Raises
        ------
        UnknownModel, UnknownTarget, UnknownMethod, WeightsError
        """
        spec = _input_of(model)
        _check(target, method)
        clock = _Clock()
        anatomy = clock.time("locate", lambda: Anatomy(item))
        quality = clock.time("quality", lambda: assess(anatomy))
        overridden = override and quality.verdict == "reject"
        if quality.verdict == "reject" and not override:
            return Analysis(item, quality, model, timings_ms=clock.stop())
        models = clock.time("load", lambda: self._models(model))
        picture = clock.time("prepare", lambda: to_input(anatomy, spec))
        outputs = clock.time("forward", lambda: [loaded.run(picture) for loaded in models])
        predictions, ensemble = self._scores(model, models, outputs, overridden)
        maps = clock.time(
            "maps",
            lambda: _maps(anatomy, picture, target, method, models, predictions, outputs, progress),
        )
        return Analysis(
            item,
            quality,
            model,
            predictions,
            maps,
            ensemble=ensemble,
            model_input=picture[..., 0],
            timings_ms=clock.stop(),
            overridden=overridden,
        )

    def measure_faithfulness(self, analysis: Analysis) -> Analysis:
        """``analysis`` with the faithfulness of each of its maps (`lungapp.faithfulness`).

        A step of its own, since it asks each model about ten pictures more, which takes several times as long as the
        analysis itself. Raises `WeightsError`.
        """
        clock = _Clock()
        anatomy = Anatomy(analysis.slice)
        maps = []
        for found in analysis.maps:
            loaded = self._model(get_spec(found.model))
            picture, frame = to_input(anatomy, loaded.spec), frame_of(anatomy, loaded.spec)
            score = partial(loaded.probabilities_of, found.target)
            measured = None if found.blank else measure(picture, frame.to_square(found.values), score)
            maps.append(replace(found, faithfulness=measured))
        return replace(analysis, maps=tuple(maps), timings_ms=analysis.timings_ms | {"faithfulness": clock.elapsed()})

    def analyse_series(
        self, entries: Iterable[Entry], model: str = DEFAULT_MODEL, override: bool = False, batch: int = BATCH
    ) -> Iterator[SeriesRow]:
        """Judge and score the slices of a series, one row each in their order, as they are done.

        A slice that the gate rejects, or that cannot be read, is a row that says so; the others go on. Slices are read
        a little ahead of the model, and only rows are kept, so memory does not grow with the number of slices. To
        cancel, close the iterator.

        Parameters
        ----------
        entries : asked for one by one, a little ahead of the model, in the thread that iterates.
        model, override : as for `analyse`.
        batch : slices in one forward pass.

        Raises
        ------
        UnknownModel, WeightsError : at once, before the first row.
        """
        spec, models = _input_of(model), self._models(model)

        def score(pictures: np.ndarray, overridden: Sequence[bool]) -> list[Scores]:
            outputs = zip(*(loaded.run_batch(pictures, beside=True) for loaded in models), strict=True)
            return [self._scores(model, models, one, forced) for one, forced in zip(outputs, overridden, strict=True)]

        return run(entries, partial(look, spec=spec, model=model, override=override), score, batch)

    def _models(self, model: str) -> list[LoadedModel]:
        return self._all_models() if model == ALL else [self._model(get_spec(model))]

    def _scores(self, model: str, models: Sequence[LoadedModel], outputs: Sequence[Output], overridden: bool) -> Scores:
        """What ``models`` say of one slice, and their mean where all were asked; forced answers exclude nothing."""
        predictions = tuple(loaded.predict(output.logits) for loaded, output in zip(models, outputs, strict=True))
        ensemble = _mean(predictions, models, self.ensemble_card()) if model == ALL else None
        if overridden:
            return tuple(prediction.forced() for prediction in predictions), ensemble and ensemble.forced()
        return predictions, ensemble

    def _all_models(self) -> list[LoadedModel]:
        """Every model that can be loaded; raises the first one's error where none can."""
        loaded, errors = [], []
        for spec in MODELS:
            try:
                loaded.append(self._model(spec))
            except (WeightsError, Busy) as error:
                errors.append(error)
        if not loaded:
            raise errors[0]
        return loaded

    def _model(self, spec: ModelSpec) -> LoadedModel:
        """Raises `WeightsError` whatever is wrong with the model, and `Busy` where its loading takes too long."""
        if spec.name in self._loaded:
            return self._loaded[spec.name]
        if not self._locks[spec.name].acquire(timeout=LOAD_SECONDS):
            self._failed[spec.name] = f"Expected the model within {LOAD_SECONDS:.0f} seconds. Received: none yet."
            raise Busy(
                "Expected {model} to be loaded by now. Please try another model, or again later.", model=spec.title
            )
        try:
            if spec.name not in self._loaded:
                self._loaded[spec.name] = self._load(spec)
                self._failed.pop(spec.name, None)
            return self._loaded[spec.name]
        except WeightsError as error:
            self._failed[spec.name] = str(error)
            raise
        finally:
            self._locks[spec.name].release()

    def _load(self, spec: ModelSpec) -> LoadedModel:
        from lungapp.inference import LoadedModel

        try:
            return LoadedModel(spec, self._weights, *self._compute)
        except LungAppError:
            raise
        except Exception as error:  # a runtime raises nearly anything on a damaged graph, or where memory runs out
            raise WeightsMismatch(
                "Expected the graph and weights of {model} to be loaded. Received: {kind}.",
                model=spec.name,
                kind=type(error).__name__,
            ) from error


def cards_of(engine: Engine) -> list[ModelCard]:
    """Of the models that can be asked, and of their mean: what reports need to say what an answer is worth."""
    return [*engine.cards(), *filter(None, [engine.ensemble_card()])]


def _check(target: str, method: str) -> None:
    from_labels = (PREDICTED, *LABELS)
    if target not in from_labels:
        raise UnknownTarget(
            "Expected a class out of: {known}. Received: {name}",
            known=", ".join(from_labels),
            name=repr(str(target)[:40]),
        )
    get_method(method)


def _input_of(model: str) -> ModelSpec:
    return MODELS[0] if model == ALL else get_spec(model)  # all models share one input


def _mean(predictions: tuple[Prediction, ...], models: Sequence[LoadedModel], card: ModelCard | None) -> Prediction:
    """The mean of the calibrated probabilities.

    What it excludes is its own card's to say, where there is one of just these weights; else only what every model
    excludes is, which for each class is wrong no more often than a single model.
    """
    mean = np.mean([prediction.probabilities for prediction in predictions], axis=0)
    labels, precision = predictions[0].labels, predictions[0].precision
    if card and card.members == {loaded.spec.name: loaded.card.weights_sha256 for loaded in models}:
        return card.predict(mean, precision)
    answer_set = tuple(label for label in labels if any(label in item.answer_set for item in predictions))
    return Prediction(ENSEMBLE, labels, mean, answer_set, status_of(answer_set), precision)


def _maps(
    anatomy: Anatomy,
    picture: np.ndarray,
    target: str,
    method: str,
    models: list[LoadedModel],
    predictions: tuple[Prediction, ...],
    outputs: list[Output],
    progress: Progress | None,
) -> tuple[ActivationMap, ...]:
    frame, maps = frame_of(anatomy, models[0].spec), []  # all models share one input
    for place, (loaded, prediction, output) in enumerate(zip(models, predictions, outputs, strict=True)):
        label = prediction.label if target == PREDICTED else target
        own = loaded.explain(picture, output, label, method, progress and _part(progress, place, len(models)))
        # Coarse feature maps reach beyond what the model was given, which says nothing about the slice there.
        values = np.where(anatomy.cavity, frame.to_slice(own, anatomy.grey.shape), np.float32(0))
        peak, total = float(values.max()), float(values.sum())
        inside = float(values[anatomy.lungs].sum()) / total if total and anatomy.small_lungs.any() else None
        values = values / peak if peak else values
        maps.append(ActivationMap(loaded.spec.name, method, label, values, inside, region=anatomy.cavity))
    return tuple(maps)


def _part(progress: Progress, place: int, count: int) -> Progress:
    """Progress of part ``place``, from 0, of ``count`` equal ones, told as progress of the whole."""
    return lambda share: progress((place + share) / count)


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
        return self._steps | {"total": self.elapsed()}

    def elapsed(self) -> float:
        return (time.perf_counter() - self._start) * 1000
