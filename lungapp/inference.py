"""One model, ready to serve: a frozen graph that yields feature maps and logits in one pass."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from lungapp.batching import Batcher
from lungapp.models import load_model
from lungapp.registry import ModelSpec
from lungapp.results import Prediction
from lungapp.saliency import class_weights, gradcam, has_finer_classes, shares


class Output(NamedTuple):
    """What one pass yields of one slice, float32.

    ``features`` (rows, columns, channels), ``logits`` (labels,), ``finer`` (labels, finer classes): logits of the
    finer classes a label sums, zeros (labels, 1) where it sums none.
    """

    features: np.ndarray
    logits: np.ndarray
    finer: np.ndarray


class LoadedModel:
    """The weights of ``spec`` in ``folder``, compiled and warmed. Raises `WeightsError` kinds; see `load_model`.

    Safe under concurrent calls, which are taken together (`lungapp.batching`): one pass of the model runs at a time.
    """

    def __init__(self, spec: ModelSpec, folder: Path) -> None:
        self.spec = spec
        self.model, self.card = load_model(spec, folder)
        self._class_weights = class_weights(self.model)
        self._forward = frozen(self.model, spec)
        self._queue = Batcher(self._pass)
        self.run(np.zeros(spec.input_shape, np.float32))
        _give_memory_back()

    def run(self, picture: np.ndarray) -> Output:
        """The one pass over one picture (size, size, 1) float32. Raises `Busy` where too many wait for it."""
        return self._queue.ask(picture[None])[0]

    def run_batch(self, pictures: np.ndarray) -> list[Output]:
        """The one pass over several pictures (n, size, size, 1) float32; one `Output` each, in their order."""
        return self._queue.ask(pictures, patient=True)

    def _pass(self, pictures: np.ndarray) -> list[Output]:
        outputs = [output.numpy() for output in self._forward(tf.constant(pictures))]
        return [Output(*parts) for parts in zip(*outputs, strict=True)]

    def predict(self, logits: np.ndarray) -> Prediction:
        """Calibrated probabilities and status from logits (labels,)."""
        scaled = logits.astype(np.float64) / self.card.temperature
        exponentials = np.exp(scaled - scaled.max())
        probabilities = exponentials / exponentials.sum()
        status = self.card.status_of(float(probabilities.max()))
        return Prediction(self.spec.name, self.card.labels, probabilities, status)

    def probabilities_of(self, label: str, pictures: np.ndarray) -> np.ndarray:
        """(n,) float: the calibrated probability of ``label`` for each of ``pictures`` (n, size, size, 1) float32."""
        index = self.card.labels.index(label)
        return np.array([self.predict(output.logits).probabilities[index] for output in self.run_batch(pictures)])

    def gradcam(self, output: Output, label: str) -> np.ndarray:
        """(rows, columns) float32: one-pass Grad-CAM for ``label``, at the feature maps' resolution."""
        index = self.card.labels.index(label)
        return gradcam(output.features, self._class_weights[:, index] @ shares(output.finer)[index])

    def explain(
        self, picture: np.ndarray, label: str, method: str, progress: Callable[[float], None] | None = None
    ) -> np.ndarray:
        """(rows, columns) float32: the map of ``label`` by a method that asks the model again; see `many_pass.explain`.

        ``picture`` is (size, size, 1) float32.
        """
        from lungapp.saliency.many_pass import explain  # tf-keras-vis: only for those who ask for it

        return explain(
            self.model,
            self.spec.target_layer,
            lambda pictures: np.stack([output.logits for output in self.run_batch(pictures)]),
            picture,
            self.card.labels.index(label),
            method,
            progress,
        )


def _give_memory_back() -> None:
    """Tracing and freezing take a gigabyte for a moment, which glibc keeps unless it is asked; others have no such."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def frozen(model: keras.Model, spec: ModelSpec):
    """A concrete function (batch, size, size, 1) → `Output` of batches, with the weights folded in as constants.

    Several times faster than calling the Keras model: no Python per layer, and batch normalisation is folded away.
    """
    logits = model.get_layer("logits").output
    if has_finer_classes(model):
        finer = model.get_layer("finer_by_label").output
    else:
        finer = keras.ops.zeros_like(logits[..., None])
    view = keras.Model(model.input, [model.get_layer(spec.target_layer).output, logits, finer])
    signature = tf.TensorSpec((None, *spec.input_shape), tf.float32)
    traced = tf.function(lambda batch: view(batch, training=False)).get_concrete_function(signature)
    return convert_variables_to_constants_v2(traced)
