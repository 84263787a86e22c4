"""One model, ready to serve: a compiled graph that yields feature maps and logits in one pass."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lungapp.batching import Batcher
from lungapp.cards import checked_weights
from lungapp.methods import get_method
from lungapp.registry import ModelSpec
from lungapp.results import Prediction
from lungapp.runtime import Graph, fastest, open_graphs
from lungapp.saliency import ONE_PASS, class_weights
from lungapp.saliency.scorecam import scorecam
from lungapp.weights_io import read_tensors

if TYPE_CHECKING:
    import keras


class Output(NamedTuple):
    """What one pass yields of one slice, float32: ``features`` (rows, columns, channels), ``logits`` (labels,)."""

    features: np.ndarray
    logits: np.ndarray


class LoadedModel:
    """The weights of ``spec`` in ``folder``, compiled and warmed; ``threads`` as for `open_graphs`.

    ``precision`` is what it is computed in: "f32", "bf16", or "auto", which is `lungapp.runtime.fastest`.
    Safe under concurrent calls, which are taken together (`lungapp.batching`).

    Raises
    ------
    WeightsError : see `checked_weights` and `open_graphs`.
    """

    def __init__(self, spec: ModelSpec, folder: Path, precision: str = "f32", threads: int = 0) -> None:
        self.spec, self._folder = spec, folder
        path, self.card = checked_weights(spec, folder)
        self.precision = fastest() if precision == "auto" else precision
        tensors = read_tensors(path)
        alone, *lanes = (partial(_outputs, graph) for graph in open_graphs(spec.name, tensors, self.precision, threads))
        self._queue: Batcher[Output] = Batcher(alone, lanes)
        self.run(np.zeros(spec.input_shape, np.float32))
        self._class_weights = class_weights(tensors)
        self._keras: keras.Model | None = None
        self._lock = threading.Lock()

    @property
    def model(self) -> keras.Model:
        """The same network in Keras, for what needs gradients; TensorFlow is imported on its first use."""
        from lungapp.models import load_model

        with self._lock:
            if self._keras is None:
                self._keras, _ = load_model(self.spec, self._folder)
            return self._keras

    @property
    def has_gradients(self) -> bool:
        """Whether `model` is there already."""
        return self._keras is not None

    def run(self, picture: np.ndarray) -> Output:
        """The one pass over one picture (size, size, 1) float32. Raises `Busy` where too many wait for it."""
        return self._queue.ask(picture[None])[0]

    def run_batch(self, pictures: np.ndarray, beside: bool = False) -> list[Output]:
        """The one pass over several pictures (n, size, size, 1) float32; one `Output` each, in their order.

        ``beside`` leaves the other cores to what its caller has them do meanwhile.
        """
        return self._queue.ask(pictures, patient=True, beside=beside)

    def predict(self, logits: np.ndarray) -> Prediction:
        """Calibrated probabilities and what they come to, from logits (labels,)."""
        scaled = logits.astype(np.float64) / self.card.temperature
        exponentials = np.exp(scaled - scaled.max())
        return self.card.predict(exponentials / exponentials.sum(), self.precision)

    def probabilities_of(self, label: str, pictures: np.ndarray) -> np.ndarray:
        """(n,) float: the calibrated probability of ``label`` for each of ``pictures`` (n, size, size, 1) float32."""
        index = self.card.labels.index(label)
        return np.array([self.predict(output.logits).probabilities[index] for output in self.run_batch(pictures)])

    def explain(
        self,
        picture: np.ndarray,
        output: Output,
        label: str,
        method: str,
        progress: Callable[[float], None] | None = None,
    ) -> np.ndarray:
        """(rows, columns) float32, at least 0: the map of ``label``, at the feature maps' resolution or the picture's.

        ``picture`` is (size, size, 1) float32 and ``output`` what `run` gave for it; ``progress`` is told the share
        done, in (0, 1], by the slow methods. Raises `UnknownMethod`.
        """
        index = self.card.labels.index(label)
        if method in ONE_PASS:
            return ONE_PASS[method](output.features, self._class_weights[:, index])
        if method == "scorecam":
            return scorecam(picture, output.features, index, self._logits, progress)
        if get_method(method).gradients:
            from lungapp.saliency.smoothgrad import smoothgrad  # TensorFlow: only for those who ask for it

            return smoothgrad(self.model, picture, index, progress)
        raise ValueError(f"Expected a method with a way to make it. Received: {method!r}")

    def _logits(self, pictures: np.ndarray) -> np.ndarray:
        return np.stack([output.logits for output in self.run_batch(pictures)])


def _outputs(graph: Graph, pictures: np.ndarray) -> list[Output]:
    return [Output(*parts) for parts in zip(*graph(pictures), strict=True)]
