"""The three networks: flat Keras 3 graphs, and the loading of their weights.

Every graph maps (batch, 224, 224, 1) float32 in [0, 1] to probabilities and has layers named ``features`` (the last
feature maps, after ReLU), ``logits`` and ``probabilities``. Between features and logits stand only a constant
scale, flattening, dropout (training) and one dense layer, or the mean of two readings of such layers (`_head`), so that
Grad-CAM's weights follow from their kernels (`lungapp.saliency`).
"""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers, ops

from lungapp.cards import ModelCard, read_card
from lungapp.errors import UnknownModel, WeightsMismatch, WeightsMissing
from lungapp.registry import ModelSpec
from lungapp.weights_io import digest_of, read_weights

GREY_MEAN, GREY_SPREAD = 0.5, 0.3
"""Roughly those of a body crop; the two networks of our own scale their input by them."""

FLATTENED_SCALE = 0.2

FINER = 29
"""Finer classes of each label in a head that has them: as many as fit into 60 MB beside the other models' weights."""

IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)


def build_model(spec: ModelSpec) -> keras.Model:
    """The untrained network of ``spec``, initialised at random. Raises `UnknownModel`."""
    builders = {"basic_cnn": _basic_cnn, "resnet50": _resnet50, "advanced_cnn": _advanced_cnn}
    if spec.name not in builders:
        raise UnknownModel(f"Expected a model out of: {', '.join(builders)}. Received: {spec.name!r}")
    inputs = keras.Input(spec.input_shape, name="slice")
    return builders[spec.name](inputs, spec)


def load_model(spec: ModelSpec, folder: Path) -> tuple[keras.Model, ModelCard]:
    """The trained network of ``spec`` and its card, from ``folder``.

    Raises
    ------
    WeightsMissing : card or weights file is absent.
    WeightsMismatch : digest, spec or shapes do not match the card.
    """
    card = read_card(spec, folder)
    path = folder / f"{spec.name}.safetensors"
    if not path.is_file():
        raise WeightsMissing(
            "Expected the weights file {file} beside its card. Received: no such file.", file=path.name
        )
    try:
        digest = digest_of(path)
    except OSError as error:
        raise WeightsMissing(
            "Expected {file} to be readable. Received: {kind}.", file=path.name, kind=type(error).__name__
        ) from error
    if digest != card.weights_sha256:
        raise WeightsMismatch(
            "Expected {file} to have the digest its card names. Received: another file.", file=path.name
        )
    model = build_model(spec)
    read_weights(model, path)
    return model, card


def _head(features, spec: ModelSpec, scale: float = 1.0, finer: int = 0):
    """Flattened features, dropout, one dense layer, probabilities.

    Where there are tens of thousands of features, a ``scale`` below 1 keeps a step of the optimiser from throwing the
    logits about.

    With ``finer`` classes a label, a second dense layer tells those apart and a label's logit is the mean of two
    readings: the first layer's, and the log of the summed exponentials of the label's finer classes. The probabilities
    are then the geometric mean of both readings' (what the finer classes are: `train.group_head`).
    """
    x = layers.Rescaling(scale, name="head_scaling", dtype="float32")(features)
    x = layers.Flatten(name="vector", dtype="float32")(x)
    x = layers.Dropout(0.3, name="dropout", dtype="float32")(x)
    labels = len(spec.labels)
    if finer:
        coarse = layers.Dense(labels, name="label_logits", dtype="float32")(x)
        fine = layers.Dense(labels * finer, name="finer_logits", dtype="float32")(x)
        fine = layers.Reshape((labels, finer), name="finer_by_label", dtype="float32")(fine)
        summed = ops.logsumexp(fine, axis=-1)
        logits = layers.Average(name="logits", dtype="float32")([coarse, summed])
    else:
        logits = layers.Dense(labels, name="logits", dtype="float32")(x)
    return layers.Softmax(name="probabilities", dtype="float32")(logits)


def _basic_cnn(inputs, spec: ModelSpec) -> keras.Model:
    """Three convolutions with ReLU, max pooling between them, dropout.

    Pooling by 4 lets three layers see a third of the picture's width. The features are flattened, not averaged: three
    layers without normalisation hardly learn through an average, and Grad-CAM's weights are constants of the dense
    layer either way (docs/trials.md).
    """
    x = _centred(inputs)
    for index, (filters, kernel) in enumerate(((32, 5), (64, 5)), start=1):
        x = layers.Conv2D(filters, kernel, padding="same", activation="relu", name=f"conv{index}")(x)
        x = layers.MaxPooling2D(4, name=f"pool{index}")(x)
        x = layers.SpatialDropout2D(0.1, name=f"dropout{index}")(x)
    x = layers.Conv2D(128, 5, padding="same", activation="relu", name=spec.target_layer)(x)
    return keras.Model(inputs, _head(x, spec), name=spec.name)


def _resnet50(inputs, spec: ModelSpec) -> keras.Model:
    """ResNet-50 (He et al. 2015, as in `keras.applications`) on the grey slice repeated into three channels.

    The ImageNet scaling stands in the graph, since `preprocess_input` overwrites its argument.
    """
    x = layers.Concatenate(name="to_bgr")([inputs, inputs, inputs])
    x = layers.Rescaling(255.0, offset=[-mean for mean in IMAGENET_MEAN_BGR], name="imagenet_scaling")(x)
    backbone = keras.applications.ResNet50(include_top=False, weights=None, input_tensor=x)
    features = layers.Activation("linear", name=spec.target_layer)(backbone.output)
    return keras.Model(inputs, _head(features, spec, FLATTENED_SCALE), name=spec.name)


def _advanced_cnn(inputs, spec: ModelSpec) -> keras.Model:
    """Seven convolutions in five stages, batch normalisation behind each stage, 14 x 14 feature maps at the end.

    Plain convolutions with one normalisation a stage learn this small dataset several times sooner than residual
    blocks with one behind every convolution did, and flattened features sooner than averaged ones (docs/trials.md).
    Resolutions and the first pooling are those of ResNet-50, which can so start from it (`train.net2net`).
    """
    x = _centred(inputs)
    for stage, (filters, convolutions, stride, pool) in enumerate(
        ((32, 1, 2, 3), (48, 1, 1, 2), (96, 2, 1, 2), (160, 2, 1, None)), start=1
    ):
        for index in range(1, convolutions + 1):
            x = _convolution(x, filters, 5 if stage == 1 else 3, stride, f"stage{stage}_conv{index}")
        if stage == 1:
            x = layers.ZeroPadding2D(1, name="stage1_padding")(x)
        if pool:
            x = layers.MaxPooling2D(pool, 2, name=f"stage{stage}_pool")(x)
        x = layers.BatchNormalization(name=f"stage{stage}_bn")(x)
    x = _convolution(x, 256, 3, 1, spec.target_layer)
    return keras.Model(inputs, _head(x, spec, FLATTENED_SCALE, FINER), name=spec.name)


def _convolution(x, filters: int, kernel: int, stride: int, name: str):
    return layers.Conv2D(
        filters, kernel, stride, padding="same", activation="relu", kernel_initializer="he_normal", name=name
    )(x)


def _centred(inputs):
    return layers.Rescaling(1 / GREY_SPREAD, offset=-GREY_MEAN / GREY_SPREAD, name="scaling")(inputs)
