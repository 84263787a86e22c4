"""The three networks in Keras: built untrained, or loaded with their weights.

Each is a backbone that knows pictures (`train.backbone`), a last convolution whose feature maps are taught what lesions
look like and what tells the classes (`train.fit`), an average over the places of a map, and one dense layer. They are
flat, functional graphs whose layers have stable names, since Grad-CAM, weights files and the graphs that serve them
refer to layers by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
from keras import layers, ops

from lungapp.cards import ModelCard, checked_weights
from lungapp.errors import UnknownModel
from lungapp.registry import ModelSpec
from lungapp.weights_io import read_weights

FEATURES = 32
"""Feature maps of the last convolution; the first of them marks lesions."""

NECK = 128
"""Channels between a backbone and the last convolution."""

SUMMARY = 160
"""Channels that ResNet-50's 2,048 are first brought down to."""

IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)

STAGES = (
    # repeats, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
)
"""EfficientNet-Lite0 (Tan and Le 2019; Lite: no squeeze, ReLU6) up to its fifth stage, where maps are 14 x 14."""

LOW_PASS = 2
"""Places by which a convolution of the Advanced CNN that halves the rows and columns is wider than EfficientNet's: it
has taken in the low-pass (1, 2, 1) that must stand before it, or else fine noise and a crop's place fold into all that
comes after (Zhang 2019, Making convolutional networks shift-invariant again)."""

BACKBONE = {"basic_cnn": "conv2", "resnet50": "summary", "advanced_cnn": "stage5_block3_add"}
"""The layer that each backbone ends with; what stands before it is frozen while the rest is taught."""


@keras.saving.register_keras_serializable("lungapp")
class LogMeanExp(layers.Layer):
    """(n, rows, columns, channels) → (n, channels): the logarithm of the mean of the exponentials over all places.

    An average that the strongest places dominate, so that a nodule on one of 196 places is not averaged away. The
    gradient of a map's value is its softmax over the places, whose mean is 1 / places whatever the map: Grad-CAM's
    weights are those of a plain average (`lungapp.saliency.one_pass`).
    """

    def call(self, features: Any) -> Any:
        highest = ops.max(features, axis=(1, 2), keepdims=True)
        mean = ops.mean(ops.exp(features - highest), axis=(1, 2), keepdims=True)
        return ops.squeeze(ops.log(mean) + highest, axis=(1, 2))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], input_shape[-1])


def build_model(spec: ModelSpec) -> keras.Model:
    """The untrained network of ``spec``, initialised at random. Raises `UnknownModel`."""
    backbones = {"basic_cnn": _basic_cnn, "resnet50": _resnet50, "advanced_cnn": _advanced_cnn}
    if spec.name not in backbones:
        raise UnknownModel(f"Expected a model out of: {', '.join(backbones)}. Received: {spec.name!r}")
    inputs = keras.Input(spec.input_shape, name="slice")
    return keras.Model(inputs, _head(backbones[spec.name](inputs), spec), name=spec.name)


def load_model(spec: ModelSpec, folder: Path) -> tuple[keras.Model, ModelCard]:
    """The trained network of ``spec`` and its card, from ``folder``.

    Raises
    ------
    WeightsError : see `checked_weights` and `read_weights`.
    """
    path, card = checked_weights(spec, folder)
    model = build_model(spec)
    read_weights(model, path)
    return model, card


def _head(x: Any, spec: ModelSpec) -> Any:
    """What is taught: normalisation, the last convolutions, the average, one dense layer, probabilities."""
    x = layers.BatchNormalization(epsilon=1e-3, name="neck_bn")(x)
    if spec.name == "basic_cnn":  # its third convolution is the last one
        x = layers.Conv2D(FEATURES, 5, 2, padding="same", activation="relu", name=spec.target_layer)(x)
    else:
        x = layers.Conv2D(NECK, 1, activation="relu", name="neck")(x)
        x = layers.Conv2D(FEATURES, 1, activation="relu", name=spec.target_layer)(x)
    x = LogMeanExp(name="pooled", dtype="float32")(x)
    logits = layers.Dense(len(spec.labels), name="logits", dtype="float32")(x)
    return layers.Softmax(name="probabilities", dtype="float32")(logits)


def _basic_cnn(inputs: Any) -> Any:
    """The first two of three convolutions; the third is the head's."""
    x = layers.Rescaling(2.0, offset=-1.0, name="scaling")(inputs)
    x = layers.Conv2D(32, 7, 4, padding="same", activation="relu", name="conv1")(x)
    return layers.Conv2D(64, 5, 2, padding="same", activation="relu", name="conv2")(x)


def _resnet50(inputs: Any) -> Any:
    """ResNet-50 (He et al. 2015, as in `keras.applications`) on the grey slice repeated into three channels.

    The ImageNet scaling stands in the graph, since `preprocess_input` overwrites its argument.
    """
    x = layers.Concatenate(name="to_bgr")([inputs, inputs, inputs])
    x = layers.Rescaling(255.0, offset=[-mean for mean in IMAGENET_MEAN_BGR], name="imagenet_scaling")(x)
    backbone = keras.applications.ResNet50(include_top=False, weights=None, input_tensor=x)
    return layers.Conv2D(SUMMARY, 1, name="summary")(backbone.output)


def _advanced_cnn(inputs: Any) -> Any:
    """Inverted residual blocks with batch normalisation (Sandler et al. 2018), EfficientNet-Lite0's first five stages.

    Layers are named by stage and block, so that `train.backbone` can fill them with ImageNet weights.
    """
    x = layers.Rescaling(255 / 128, offset=-127 / 128, name="scaling")(inputs)
    x = layers.Conv2D(32, 3 + LOW_PASS, 2, padding="same", use_bias=False, name="stem")(x)
    x = _normalised(x, "stem")
    for stage, (repeats, kernel, stride, expansion, channels) in enumerate(STAGES, start=1):
        for block in range(1, repeats + 1):
            x = _inverted_residual(
                x, kernel, stride if block == 1 else 1, expansion, channels, f"stage{stage}_block{block}"
            )
    return x


def _inverted_residual(x: Any, kernel: int, stride: int, expansion: int, channels: int, name: str) -> Any:
    before = x
    if expansion > 1:
        x = layers.Conv2D(expansion * before.shape[-1], 1, use_bias=False, name=f"{name}_expand")(x)
        x = _normalised(x, f"{name}_expand")
    kernel += LOW_PASS if stride == 2 else 0
    x = layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = _normalised(x, f"{name}_depthwise")
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")(x)
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_project_bn")(x)
    if stride == 1 and before.shape[-1] == channels:
        return layers.Add(name=f"{name}_add")([x, before])
    return x


def _normalised(x: Any, name: str) -> Any:
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)
