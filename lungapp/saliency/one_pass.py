"""Grad-CAM out of the forward pass.

Grad-CAM (Selvaraju et al. 2017) weighs each feature map by the mean gradient of the class's logit. Where only averaging
or flattening and one dense layer follow the features, that gradient is a constant of the network, the dense layer's
kernel, so the map is a by-product of the forward pass (behind an average it equals CAM, Zhou et al. 2016). Where a
label's logit also sums finer classes, the gradient weighs their kernels by each one's share in that sum.
"""

from __future__ import annotations

import keras
import numpy as np


def class_weights(model: keras.Model) -> np.ndarray:
    """(channels, labels, finer) float32: Grad-CAM's weight of every feature map, up to a positive scale.

    ``finer`` is 1 where a label has no finer classes. A map's weight for a label is the mean over its finer classes,
    weighed by their `shares`. The dense kernel has one row per position and channel (positions first); the mean
    gradient over positions is the mean of the rows of a channel.
    """
    if not has_finer_classes(model):
        return _by_channel(model, "logits")[..., None]
    labels, finer = model.get_layer("finer_by_label").output.shape[1:]
    fine = _by_channel(model, "finer_logits").reshape(-1, labels, finer)
    return (_by_channel(model, "label_logits")[..., None] + fine) / 2


def has_finer_classes(model: keras.Model) -> bool:
    """Whether the labels of ``model`` also sum finer classes, the layer ``finer_by_label``."""
    return any(layer.name == "finer_by_label" for layer in model.layers)


def shares(finer: np.ndarray) -> np.ndarray:
    """(labels, finer) float32, each row summing to 1, from the finer classes' logits (labels, finer)."""
    exponentials = np.exp(finer - finer.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _by_channel(model: keras.Model, layer: str) -> np.ndarray:
    channels = model.get_layer("features").output.shape[-1]
    kernel = keras.ops.convert_to_numpy(model.get_layer(layer).kernel)
    return kernel.reshape(-1, channels, kernel.shape[-1]).mean(axis=0)


def gradcam(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One-pass Grad-CAM for one class.

    Parameters
    ----------
    features : (rows, columns, channels) float32, the last feature maps of one slice.
    weights : (channels,) float32, that class's `class_weights`, averaged by the `shares` of its finer classes.

    Returns
    -------
    (rows, columns) float32, at least 0: positive evidence only, as in the paper. All 0 where there is none.
    """
    return np.maximum(features @ weights, 0.0)
