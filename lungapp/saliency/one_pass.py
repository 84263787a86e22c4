"""Maps out of the forward pass, exact and without a backward pass.

The CAM methods weigh feature maps by gradients of the class's logit. Behind the last feature maps stand the logarithm
of the mean exponential over the places (`lungapp.models.LogMeanExp`) and one dense layer, so the gradient at a place is
the dense weight times that place's share, the map's softmax over all places, and both are there after the forward pass:

- Grad-CAM (Selvaraju et al. 2017) weighs a map by its mean gradient. The shares of a map sum to 1, so that is the dense
  weight over the number of places, as with a plain average.
- Layer-CAM (Jiang et al. 2021) weighs each place by its own gradient where that is positive.
- Grad-CAM++ (Chattopadhyay et al. 2018) weighs a map by its positive gradients, with shares of their own.

Arrays: ``features`` (rows, columns, channels) float32, the last feature maps of one slice; ``weights`` (channels,)
float32, the dense layer's for one class. Maps are (rows, columns) float32, at least 0, up to a positive scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np


def class_weights(tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """(channels, labels) float32: the dense layer's kernel.

    Parameters
    ----------
    tensors : the model's weights by their Keras paths (`lungapp.weights_io.tensors_of`).
    """
    return tensors["logits/kernel"].astype(np.float32)


def gradients(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(rows, columns, channels) float32: the gradient of the class's logit at every place of every map."""
    exponentials = np.exp(features - features.max(axis=(0, 1)))
    return weights * exponentials / exponentials.sum(axis=(0, 1))


def gradcam(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One-pass Grad-CAM: positive evidence only, as in the paper. All 0 where there is none."""
    return np.maximum(features @ weights, 0.0)


def layercam(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One-pass Layer-CAM: what speaks against the class takes nothing away from what speaks for it."""
    return np.maximum((np.maximum(gradients(features, weights), 0.0) * features).sum(axis=-1), 0.0)


def gradcam_plus_plus(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One-pass Grad-CAM++."""
    slopes = gradients(features, weights)
    second = slopes**2
    denominator = 2 * second + slopes * second * features.sum(axis=(0, 1))
    shares = second / np.where(denominator == 0, 1, denominator)
    total = shares.sum(axis=(0, 1))
    by_channel = (np.maximum(slopes, 0) * shares).sum(axis=(0, 1)) / np.where(total == 0, 1, total)
    return np.maximum(features @ by_channel, 0.0)


ONE_PASS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "gradcam": gradcam,
    "gradcam_plus_plus": gradcam_plus_plus,
    "layercam": layercam,
}
"""The methods that cost no pass of their own, by their names in `lungapp.methods`."""
