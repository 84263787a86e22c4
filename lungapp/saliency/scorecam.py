"""Score-CAM: each feature map weighed by the probability that the class gets when only what it lights up is shown.

Wang et al. 2020, with the feature maps that vary most (Faster Score-CAM). It needs forward passes only, so the served
model answers; the definition, the corners' places included, is that of tf-keras-vis 0.8.7, to which it is tested equal.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

CHANNELS = 64
"""Feature maps that are tried. All 2048 of ResNet-50 would take over a minute."""

BATCH = 8

EPSILON = 1e-7
"""Keeps a feature map that is the same everywhere from dividing by 0, as Keras' does."""


def scorecam(
    picture: np.ndarray,
    features: np.ndarray,
    index: int,
    forward: Callable[[np.ndarray], np.ndarray],
    progress: Callable[[float], None] | None = None,
) -> np.ndarray:
    """The map of one class.

    Parameters
    ----------
    picture : (size, size, 1) float32 in [0, 1], the model's input.
    features : (rows, columns, channels) float32, its last feature maps of that picture.
    index : of the class, in the order of the logits.
    forward : pictures (n, size, size, 1) float32 → logits (n, labels).
    progress : is told the share done, in (0, 1].

    Returns
    -------
    (rows, columns) float32, at least 0, not scaled.
    """
    varying = np.argsort(-features.std(axis=(0, 1)), kind="stable")[:CHANNELS]
    maps = features[..., varying]
    masks = _normalised(_enlarged(maps, picture.shape[:2]))
    weights = np.empty(len(varying), np.float32)
    for start in range(0, len(varying), BATCH):
        part = slice(start, start + BATCH)
        shown = picture[None] * np.moveaxis(masks[..., part], -1, 0)[..., None]
        weights[part] = _softmax(forward(shown.astype(np.float32)))[:, index]
        if progress:
            progress(min(1.0, (start + BATCH) / len(varying)))
    return np.maximum(maps @ weights, 0.0)


def _enlarged(maps: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``maps`` (rows, columns, channels) on ``shape`` pixels, linearly, corner pixel on corner pixel."""
    down, across = (
        np.stack([np.interp(np.linspace(0, old - 1, new), np.arange(old), one) for one in np.eye(old)])
        for old, new in zip(maps.shape[:2], shape, strict=True)
    )
    return np.einsum("rck,ri,cj->ijk", maps, down, across, optimize=True)


def _normalised(maps: np.ndarray) -> np.ndarray:
    low, high = maps.min(axis=(0, 1)), maps.max(axis=(0, 1))
    return (maps - low) / (high - low + EPSILON)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
