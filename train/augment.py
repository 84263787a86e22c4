"""Random operations on model inputs; only training walks through here, and only after `to_input`.

First a slice is drawn towards a similar one of its group, which makes up for slices that lie between those at hand
(Chawla et al. 2002, "SMOTE", within a similarity group instead of a class).

Rotation, zoom and horizontal flip are the published ones. The jitter of window, brightness, contrast, sharpness and
noise stands against what tells the scanner rather than the lesion: on this dataset noise and grey statistics alone
name the class of three slices in four. Two operations are aimed at the shortcuts the audit found (`train.audit`): some
slices are shown without anything outside the lungs, and the noise of some is brought to one level.

Written with OpenCV: the same operations as Keras layers took ten times as long on two cores and held up the training.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial.distance import cdist

from train.conditions import equalise_noise, keep_border, keep_noise, mask_lungs_out
from train.recipes import Augmentation

cv2.setNumThreads(1)  # its threads would fight TensorFlow's for the same cores

NEIGHBOURS = 3
"""How many of the most similar slices a neighbour is drawn from."""


def neighbours(inputs: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(n, `NEIGHBOURS`) int: for each of ``inputs`` (n, size, size, 1) the nearest others of its group, nearest first.

    A slice with too few others is its own neighbour. Distance is that of thumbnails.
    """
    thumbnails = np.stack([cv2.resize(picture, (28, 28), interpolation=cv2.INTER_AREA).ravel() for picture in inputs])
    distances = cdist(thumbnails, thumbnails)
    distances[groups[:, None] != groups] = np.inf
    np.fill_diagonal(distances, -1)
    nearest = distances.argsort(axis=1)[:, 1 : NEIGHBOURS + 1]
    alone = np.isinf(np.take_along_axis(distances, nearest, axis=1))
    return np.where(alone, np.arange(len(inputs))[:, None], nearest)


def interpolate(
    inputs: np.ndarray, chosen: np.ndarray, near: np.ndarray, share: float, random: np.random.Generator
) -> np.ndarray:
    """The slices ``chosen`` (n,) int of ``inputs``, a ``share`` of them drawn towards one of their ``near``."""
    other = inputs[near[chosen, random.integers(0, near.shape[1], len(chosen))]]
    way = random.uniform(0, 0.5, len(chosen)) * (random.random(len(chosen)) < share)
    weight = way.astype(np.float32)[:, None, None, None]
    return inputs[chosen] * (1 - weight) + other * weight


def mask(batch: np.ndarray, regions: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Black out all but the lungs, ``regions`` (n, size, size) bool, in a ``share`` of ``batch`` (n, size, size, 1).

    A slice without lungs is left as it is.
    """
    masked = (random.random(len(batch)) < share) & regions.any(axis=(1, 2))
    return np.where((regions | ~masked[:, None, None])[..., None], batch, np.float32(0))


def hollow(batch: np.ndarray, share: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Take all that could tell a class out of a ``share`` of ``batch`` (n, size, size, 1).

    Each such slice keeps its surroundings, a band at the body's edge, or its noise, whichever chance picks: what the
    shortcut audit shows to a model (`train.conditions`). A model is to say of them that it does not know.

    Returns
    -------
    The new batch, and (n,) bool: which slices were emptied.
    """
    emptied = random.random(len(batch)) < share
    ways = (mask_lungs_out, keep_border, lambda picture: keep_noise(picture, random))
    result = batch.copy()
    for place in np.flatnonzero(emptied):
        result[place, ..., 0] = ways[random.integers(len(ways))](batch[place, ..., 0])
    return result, emptied


def mix(count: int, parameter: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """For mixup: whom each of ``count`` slices is mixed with (count,) int32, and its own share (count,) float32."""
    partners = random.permutation(count).astype(np.int32)
    shares = random.beta(parameter, parameter, count) if parameter else np.ones(count)
    return partners, np.maximum(shares, 1 - shares).astype(np.float32)


def augment(batch: np.ndarray, how: Augmentation, noise_level: float, random: np.random.Generator) -> np.ndarray:
    """Change every picture of a batch (n, size, size, 1) float32 in [0, 1] on its own; returns a new array.

    ``noise_level`` is the one an equalised slice's noise is brought to, or a little off it.
    """
    return np.stack([jitter_greys(move(item[..., 0], how, random), how, noise_level, random) for item in batch])[
        ..., None
    ]


def move(picture: np.ndarray, how: Augmentation, random: np.random.Generator) -> np.ndarray:
    """Flip, rotate, zoom and shift (size, size) float32 in one resampling; 0 comes in from outside."""
    size = picture.shape[0]
    centre = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D(
        (centre, centre), random.uniform(-how.rotation, how.rotation), random.uniform(1 - how.zoom, 1 + how.zoom)
    )
    matrix[:, 2] += random.uniform(-how.zoom / 3, how.zoom / 3, 2) * size
    if random.random() < 0.5:
        matrix[:, 2] += matrix[:, 0] * (size - 1)
        matrix[:, 0] *= -1
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR)


def jitter_greys(picture: np.ndarray, how: Augmentation, noise_level: float, random: np.random.Generator) -> np.ndarray:
    """A random blur, window and noise inside the body of (size, size) float32; 0 outside stays 0."""
    x = cv2.GaussianBlur(picture, (5, 5), random.uniform(0.01, max(how.blur, 0.02)))
    gain = random.uniform(1 - how.window, 1 + how.window)
    shift = random.uniform(-how.window / 2, how.window / 2)
    x = np.where(picture > 0, (x - 0.5) * np.float32(gain) + np.float32(0.5 + shift), np.float32(0))
    if random.random() < how.equalised:
        x = equalise_noise(np.clip(x, 0, 1), noise_level * random.uniform(0.9, 1.3), random)
    else:
        x = x + random.standard_normal(x.shape, np.float32) * np.float32(random.uniform(0, how.noise))
    return np.where(picture > 0, np.clip(x, 0, 1), np.float32(0))
