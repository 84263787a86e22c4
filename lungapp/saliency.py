"""Activation maps: where a model's evidence for a class lies. They show attention, never "the lesion".

Grad-CAM (Selvaraju et al. 2017) weighs each feature map by the mean gradient of the class's logit. Where only averaging
or flattening and one dense layer follow the features, that gradient is a constant of the network, the dense layer's
kernel, so the map is a by-product of the forward pass (behind an average it equals CAM, Zhou et al. 2016).
"""

from __future__ import annotations

import keras
import numpy as np


def class_weights(model: keras.Model) -> np.ndarray:
    """(channels, labels) float32: Grad-CAM's weight of every feature map for every class, up to a positive scale.

    The dense kernel has one row per channel behind an average, or one per position and channel (positions first)
    behind flattened maps; the mean gradient over positions is then the mean of the rows of a channel.
    """
    channels = model.get_layer("features").output.shape[-1]
    kernel = keras.ops.convert_to_numpy(model.get_layer("logits").kernel)
    return kernel.reshape(-1, channels, kernel.shape[-1]).mean(axis=0)


def gradcam(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One-pass Grad-CAM for one class.

    Parameters
    ----------
    features : (rows, columns, channels) float32, the last feature maps of one slice.
    weights : (channels,) float32, that class's column of `class_weights`.

    Returns
    -------
    (rows, columns) float32, at least 0: positive evidence only, as in the paper. All 0 where there is none.
    """
    return np.maximum(features @ weights, 0.0)
