"""Random changes of a slice that tell the scanner and not the patient: sharpness, noise, window, contrast, pose.

On this dataset reconstruction is what the classes differ in (docs/audit.md), so it is varied hard. Pictures are (rows,
columns) float32 in [0, 1], crops to the cavity on the scale of `lungapp.greys`.
"""

from __future__ import annotations

import cv2
import numpy as np

BLUR = (0.3, 1.2)
"""Standard deviation in pixels: smooth kernels and thick slices."""

SHARPEN = (0.2, 1.2)
NOISE, INPUT_NOISE = 0.12, 0.08
"""Largest standard deviation of the noise added to a slice, as in the noisiest of the dataset, and to a model input,
whose slice was softened."""

GRAIN, FINE = 1.2, 0.3
"""Standard deviation in pixels of the blur that gives noise its grain, at most; below the second, none is blurred."""

WINDOW, LEVEL = 0.12, 0.05
"""Relative change of the window's width, and change of its centre in greys."""

ENHANCEMENT = (-0.5, 1.2)
"""Relative change of what is brighter than soft tissue: contrast agent in vessels and heart."""

ROTATION, ZOOM = 12.0, 0.85


def vary_style(grey: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """``grey`` as another reconstruction, window and contrast phase would show it."""
    x = grey
    kernel = random.random()
    if kernel < 0.4:
        x = cv2.GaussianBlur(x, (0, 0), random.uniform(*BLUR))
    elif kernel < 0.6:
        x = x + (x - cv2.GaussianBlur(x, (0, 0), 1.0)) * np.float32(random.uniform(*SHARPEN))
    if random.random() < 0.7:
        x = add_noise(x, random)
    gain, shift = random.uniform(1 - WINDOW, 1 + WINDOW), random.uniform(-LEVEL, LEVEL)
    x = (x - 0.5) * np.float32(gain) + np.float32(0.5 + shift)
    if random.random() < 0.5:
        bright = np.maximum(x - np.float32(0.82), 0)
        x = x + bright * np.float32(random.uniform(*ENHANCEMENT))
    return np.clip(x, 0, 1)


def add_noise(grey: np.ndarray, random: np.random.Generator, most: float = NOISE) -> np.ndarray:
    """``grey`` with noise of any grain and of any strength up to ``most``, weak noise being commoner; not clipped."""
    noise: np.ndarray = random.standard_normal(grey.shape, np.float32)
    grain = random.uniform(0, GRAIN)
    if grain > FINE:
        noise = cv2.GaussianBlur(noise, (0, 0), grain)
    return grey + noise / noise.std() * np.float32(most * random.random() ** 2)


def noised(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A model input (size, size) float32, 0 outside the cavity, with noise inside the cavity alone."""
    return np.where(picture > 0, np.clip(add_noise(picture, random, INPUT_NOISE), 0, 1), np.float32(0))


def vary_pose(arrays: tuple[np.ndarray, ...], random: np.random.Generator) -> tuple[np.ndarray, ...]:
    """All ``arrays`` (rows, columns) float32 turned, zoomed out and flipped together; 0 comes in from outside."""
    rows, columns = arrays[0].shape
    matrix = cv2.getRotationMatrix2D(
        (columns / 2, rows / 2), random.uniform(-ROTATION, ROTATION), random.uniform(ZOOM, 1)
    )
    flipped = random.random() < 0.5
    moved = (cv2.warpAffine(array, matrix, (columns, rows), flags=cv2.INTER_LINEAR) for array in arrays)
    return tuple(np.ascontiguousarray(array[:, ::-1]) if flipped else array for array in moved)
