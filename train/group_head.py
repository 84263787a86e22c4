"""A second head that names the similarity group of a slice: for training, and in part for serving.

Three labels on a few hundred slices say little about what a picture shows; the hundred groups behind them say more, and
networks taught finer classes than they are asked for learn the coarse ones sooner and better (Chen et al. 2018,
"Understanding the Impact of Label Granularity on CNN-Based Image Classification"). Figures: docs/trials.md. It also
teaches them to tell patients apart, which the image-level protocol rewards and the grouped one does not.

Where the served model has room for finer classes (`lungapp.models.FINER` a label), the largest groups of each label
stay in it, and its probabilities are the geometric mean of both heads' readings, which errs less than either.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from lungapp.models import FLATTENED_SCALE


def has_finer_classes(model: keras.Model) -> bool:
    """Whether the labels of ``model`` also sum finer classes, the layer ``finer_by_label``."""
    return any(layer.name == "finer_by_label" for layer in model.layers)


def with_group_head(model: keras.Model, groups: int) -> keras.Model:
    """``model``, sharing its layers, with the outputs "probabilities" and "groups" (batch, groups).

    The probabilities are the model's own or, where it has finer classes, those of its labels' dense layer alone. The
    head reads the feature maps position by position; averaged maps hardly learn the groups.
    """
    x = layers.Rescaling(FLATTENED_SCALE, name="group_scaling")(model.get_layer("features").output)
    x = layers.Dropout(0.3, name="group_dropout")(layers.Flatten(name="group_vector")(x))
    x = layers.Dense(groups, name="group_logits")(x)
    outputs = layers.Softmax(name="groups", dtype="float32")(x)
    own = model.output
    if has_finer_classes(model):
        own = layers.Softmax(name="label_probabilities", dtype="float32")(model.get_layer("label_logits").output)
    return keras.Model(model.input, {"probabilities": own, "groups": outputs}, name=model.name)


UNUSED = -1e4
"""Bias of a finer class that stands for no group."""


def keep_largest_groups(model: keras.Model, trained: keras.Model, groups: np.ndarray, labels: np.ndarray) -> None:
    """Write the largest groups of each label from the head of ``trained`` into the finer classes of ``model``, if any.

    ``groups`` and ``labels`` (n,) int are those of the training slices. Finer classes left over stay silent.

    Both heads' kernels and biases are centred, that is, have their mean over the labels taken away. Probabilities do
    not change, but Grad-CAM does: of what all labels share, a softmax says nothing and a gradient everything. With the
    groups' own kernels every map was blank, on the labels' head alone every map of a slice called benign.
    """
    if not has_finer_classes(model):
        return
    label_count, finer = model.get_layer("finer_by_label").output.shape[1:]
    trained_kernel, trained_bias = trained.get_layer("group_logits").get_weights()
    kernel = np.zeros((len(trained_kernel), label_count, finer), np.float32)
    bias = np.full((label_count, finer), UNUSED, np.float32)
    sizes = np.bincount(groups)
    for label in range(label_count):
        own = np.unique(groups[labels == label])
        kept = own[np.argsort(-sizes[own], kind="stable")][:finer]
        kernel[:, label, : len(kept)] = trained_kernel[:, kept]
        bias[label, : len(kept)] = trained_bias[kept]
    used = bias > UNUSED
    weights = used / used.sum(axis=1, keepdims=True).clip(1) / used.any(axis=1).sum()
    kernel -= np.sum(kernel * weights, axis=(1, 2), keepdims=True) * used
    bias -= np.sum(bias * weights) * used
    model.get_layer("finer_logits").set_weights([kernel.reshape(len(kernel), -1), bias.ravel()])
    own = model.get_layer("label_logits")
    own.set_weights([value - value.mean(axis=-1, keepdims=True) for value in own.get_weights()])
