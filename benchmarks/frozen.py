"""A Keras model as one frozen function: many times faster than calling it layer by layer."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from lungapp.inference import Output
from lungapp.registry import ModelSpec


def frozen(model: keras.Model, spec: ModelSpec) -> Callable[[np.ndarray], Output]:
    """Pictures (n, size, size, 1) float32 → an `Output` of n each, with the weights folded in as constants."""
    view = keras.Model(model.input, [model.get_layer(name).output for name in (spec.target_layer, "logits")])
    signature = tf.TensorSpec((None, *spec.input_shape), tf.float32)
    traced = tf.function(lambda batch: view(batch, training=False)).get_concrete_function(signature)
    graph = convert_variables_to_constants_v2(traced)
    return lambda pictures: Output(*(output.numpy() for output in graph(tf.constant(pictures))))
