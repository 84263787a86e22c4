"""Maps out of the forward pass, exact and without a backward pass.

The CAM methods weigh feature maps by gradients of the class's logit. Where only an average and one dense layer follow
the features, that gradient is the same at every place and a constant of the network, the dense layer's kernel, so the
maps are a by-product of the forward pass:

- Grad-CAM (Selvaraju et al. 2017) weighs by the mean gradient, and so equals CAM (Zhou et al. 2016) and HiRes-CAM
  (Draelos and Carin 2020).
- Layer-CAM (Jiang et al. 2021) weighs each place by its own gradient where that is positive: here the positive weights.
- Grad-CAM++ (Chattopadhyay et al. 2018) averages the positive gradients with shares that are equal where the gradients
  are: here the same as Layer-CAM.

Where a label's logit also sums finer classes, the gradient weighs their kernels by each one's share in that sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np


def class_weights(tensors: Mapping[str, np.ndarray], channels: int) -> np.ndarray:
    """(channels, labels, finer) float32: Grad-CAM's weight of every feature map, up to a positive scale.

    ``finer`` is 1 where a label has no finer classes. A map's weight for a label is the mean over its finer classes,
    weighed by their `shares`. The dense kernel has one row per position and channel (positions first); the mean
    gradient over positions is the mean of the rows of a channel.

    Parameters
    ----------
    tensors : the model's weights by their Keras paths (`lungapp.weights_io.tensors_of`).
    channels : of the feature maps.
    """
    if "finer_logits/kernel" not in tensors:
        return _by_channel(tensors["logits/kernel"], channels)[..., None]
    coarse = _by_channel(tensors["label_logits/kernel"], channels)
    fine = _by_channel(tensors["finer_logits/kernel"], channels).reshape(*coarse.shape, -1)
    return (coarse[..., None] + fine) / 2


def shares(finer: np.ndarray) -> np.ndarray:
    """(labels, finer) float32, each row summing to 1, from the finer classes' logits (labels, finer)."""
    exponentials = np.exp(finer - finer.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _by_channel(kernel: np.ndarray, channels: int) -> np.ndarray:
    return kernel.astype(np.float32).reshape(-1, channels, kernel.shape[-1]).mean(axis=0)


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


def layercam(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One-pass Layer-CAM, and Grad-CAM++, for one class; arrays as for `gradcam`.

    What speaks against the class takes nothing away from what speaks for it.
    """
    return np.maximum(features @ np.maximum(weights, 0.0), 0.0)


ONE_PASS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "gradcam": gradcam,
    "gradcam_plus_plus": layercam,
    "layercam": layercam,
}
"""The methods that cost no pass of their own, by their names in `lungapp.methods`."""
