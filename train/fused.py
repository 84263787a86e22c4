"""Batch normalisation through TensorFlow's fused kernel, for training only.

Keras 3 composes batch normalisation of elementary operations; on a CPU in bfloat16 the fused kernel makes a training
step of ResNet-50 a third shorter (1.21 to 0.79 s at 112 pixels, batch 32, two cores). Weights are the same variables
in the same order, so they move freely between the two kinds.
"""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import layers

MOMENTUM = 0.9
"""Of the moving averages. Keras' 0.99 lags two epochs behind where an epoch has some 50 steps."""


class FusedBatchNormalization(layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the last axis of (batch, rows, columns, channels)."""

    def call(self, inputs, training=None, mask=None):
        x = tf.cast(inputs, self.compute_dtype)
        learning = bool(training) and self.trainable
        mean, variance = (None, None) if learning else (self.moving_mean, self.moving_variance)
        y, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(
            x,
            tf.convert_to_tensor(self.gamma),
            tf.convert_to_tensor(self.beta),
            mean if mean is None else tf.convert_to_tensor(mean),
            variance if variance is None else tf.convert_to_tensor(variance),
            epsilon=self.epsilon,
            is_training=learning,
        )
        if learning:
            for moving, new in ((self.moving_mean, batch_mean), (self.moving_variance, batch_variance)):
                moving.assign(moving * self.momentum + tf.cast(new, moving.dtype) * (1 - self.momentum))
        return y


def with_fused_normalisation(model: keras.Model) -> keras.Model:
    """A copy of ``model``, same weights, whose batch normalisation is fused; under other backends Keras' own."""
    kind = FusedBatchNormalization if keras.backend.backend() == "tensorflow" else layers.BatchNormalization

    def clone(layer: layers.Layer) -> layers.Layer:
        config = layer.get_config()
        if type(layer) is layers.BatchNormalization:
            return kind.from_config(config | {"momentum": MOMENTUM})
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy
