"""Random operations on model inputs; only training walks through here, and only after `to_input`.

First a slice is drawn towards a similar one of its group, which makes up for slices that lie between those at hand
(Chawla et al. 2002, "SMOTE", within a similarity group instead of a class).

Rotation, zoom and horizontal flip are the published ones. The jitter of window, brightness, contrast, sharpness and
noise stands against what tells the scanner rather than the lesion: on this dataset noise and grey statistics alone
name the class of three slices in four.

Written with OpenCV: the same operations as Keras layers took ten times as long on two cores and held up the training.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial.distance import cdist

cv2.setNumThreads(1)  # its threads would fight TensorFlow's for the same cores

ROTATION = 10.0
"""Largest rotation to either side, in degrees."""

ZOOM = 0.10
"""Largest relative change of scale; the same bound for the shift, as a share of a third of the side."""

WINDOW = 0.08
"""Largest relative change of the window's width, and of its centre as a share of half the width."""

BLUR = 0.5
"""Largest standard deviation of a Gaussian blur, in pixels."""

NOISE = 0.015
"""Largest standard deviation of added Gaussian noise."""

INTERPOLATED = 0.6
"""Share of the slices that are drawn towards a neighbour, by half of the way at most."""

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


def interpolate(inputs: np.ndarray, chosen: np.ndarray, near: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The slices ``chosen`` (n,) int of ``inputs``, some of them drawn towards one of their neighbours ``near``."""
    other = inputs[near[chosen, random.integers(0, near.shape[1], len(chosen))]]
    way = random.uniform(0, 0.5, len(chosen)) * (random.random(len(chosen)) < INTERPOLATED)
    share = way.astype(np.float32)[:, None, None, None]
    return inputs[chosen] * (1 - share) + other * share


def augment(batch: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Change every picture of a batch (n, size, size, 1) float32 in [0, 1] on its own; returns a new array."""
    return np.stack([jitter_greys(move(picture[..., 0], random), random) for picture in batch])[..., None]


def move(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Flip, rotate, zoom and shift (size, size) float32 in one resampling; 0 comes in from outside."""
    size = picture.shape[0]
    centre = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D(
        (centre, centre), random.uniform(-ROTATION, ROTATION), random.uniform(1 - ZOOM, 1 + ZOOM)
    )
    matrix[:, 2] += random.uniform(-ZOOM / 3, ZOOM / 3, 2) * size
    if random.random() < 0.5:
        matrix[:, 2] += matrix[:, 0] * (size - 1)
        matrix[:, 0] *= -1
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR)


def jitter_greys(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A random blur, window and noise inside the body of (size, size) float32; 0 outside stays 0."""
    x = cv2.GaussianBlur(picture, (5, 5), random.uniform(0.01, BLUR))
    gain, shift = random.uniform(1 - WINDOW, 1 + WINDOW), random.uniform(-WINDOW / 2, WINDOW / 2)
    x = (x - 0.5) * np.float32(gain) + np.float32(0.5 + shift)
    x += random.standard_normal(x.shape, np.float32) * np.float32(random.uniform(0, NOISE))
    return np.where(picture > 0, np.clip(x, 0, 1), np.float32(0))
