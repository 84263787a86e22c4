"""Whether a map marks what a score relied on: blur its hottest tenth away, and other tenths, and see what falls.

This is the deletion test (Samek et al. 2017; Petsiuk et al. 2018) in one step. It works on the model's input and asks
the model once, with all pictures in one batch. NumPy and OpenCV only: the model is a function that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from lungapp.anatomy import filled
from lungapp.results import Faithfulness

TENTH = 0.1

REPEATS = 8
"""How many other parts are blurred. By luck alone the hottest part outdoes all of them once in nine times."""

BLUR = 0.1
"""Standard deviation of the blur as a share of the picture's side: 22 pixels of 224, about 3 cm in a chest."""

NUDGE = 0.05
"""Of a map's range: smooth noise that decides among equally hot pixels, so that they go by patches, not by rows."""


def measure(
    picture: np.ndarray, values: np.ndarray, score: Callable[[np.ndarray], np.ndarray], seed: int = 0
) -> Faithfulness | None:
    """Faithfulness of one map.

    Parameters
    ----------
    picture : (size, size, 1) float32 in [0, 1], a model's input, 0 outside what it is given of the slice.
    values : (size, size) float32, at least 0: the map on that picture.
    score : pictures (n, size, size, 1) float32 → probabilities (n,) of the map's target.
    seed : of the other parts' places; the same seed gives the same figures.

    Returns
    -------
    None for a map that colours nothing of what the model was given.
    """
    region = filled((picture[..., 0] > 0).astype(np.uint8))
    area = min(round(TENTH * region.sum()), int((values[region] > 0).sum()))
    if not area:
        return None
    random = np.random.default_rng(seed)
    hottest = _hottest(values, region, area, random)
    others = [_hottest(_moved(values, random), region & ~hottest, area, random) for _ in range(REPEATS)]
    blurred = _blurred(picture[..., 0], region)
    changed = [np.where(mask, blurred, picture[..., 0]) for mask in (np.zeros_like(region), hottest, *others)]
    probability, *covered = (float(p) for p in score(np.stack(changed)[..., None]))
    hottest_fall, *random_falls = (probability - p for p in covered)
    return Faithfulness(area / int(region.sum()), probability, hottest_fall, tuple(random_falls))


def _hottest(values: np.ndarray, where: np.ndarray, area: int, random: np.random.Generator) -> np.ndarray:
    """(size, size) bool: the ``area`` hottest pixels of ``where``."""
    rank = values + NUDGE * float(values.max()) * _smooth_noise(values.shape, random) * (values <= 0)
    inside = np.flatnonzero(where)
    mask = np.zeros(values.shape, bool)
    mask.flat[inside[np.argpartition(rank.flat[inside], -area)[-area:]]] = True
    return mask


def _moved(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The map turned over at random and moved round the picture: as patchy as it was, but elsewhere."""
    flipped = values[:: random.choice((1, -1)), :: random.choice((1, -1))]
    return np.roll(flipped, random.integers(0, values.shape), axis=(0, 1))


def _smooth_noise(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """(rows, columns) float32 in [-1, 0): patches about a tenth of the picture wide."""
    noise = cv2.resize(random.random((10, 10), np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return (noise - noise.max()) / (np.ptp(noise) + 1e-6) - 1e-3


def _blurred(grey: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The region blurred until no nodule or vessel is left, without the black around it bleeding in.

    A blur keeps the local mean (Fong and Vedaldi 2017): lung stays about as dark as lung. One flat grey would draw a
    dense patch with edges into the lung, which a model may well take for a mass.
    """
    weight = region.astype(np.float32)
    sigma = BLUR * grey.shape[0]
    total = cv2.GaussianBlur(grey * weight, (0, 0), sigma)
    return np.where(region, total / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-6), 0).astype(np.float32)
