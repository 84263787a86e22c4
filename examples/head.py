"""A synthetic axial slice of a head: a CT picture that is no chest, for the page to refuse. It shows no patient.

Drawn by hand after an adult's head at the level of the lateral ventricles, in mm on the canvas of the phantoms.
"""

from __future__ import annotations

import cv2
import numpy as np

from examples.drawing import Canvas, ellipse, mirrored, smooth_closed, strip

SCALE = 1.6
"""The field of view of a head is smaller than a chest's, so the head fills as much of the picture."""

AIR, SCALP, BONE, MARROW, GREY, WHITE, FLUID, CALCIUM = -1000, -20, 1100, 450, 40, 31, 7, 110

_VENTRICLE = np.array([(3, -28), (10, -30), (8, -14), (6, -2), (11, 12), (19, 27), (15, 31), (7, 17), (3, 0)])
_INSULA = np.array([(38, -14), (44, -4), (42, 8), (39, 14), (37, 4), (36, -6)])


def head(seed: int = 0, size: int = 512) -> np.ndarray:
    """(size, size) float32 in HU; ``seed`` varies folds, texture and noise."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(size)
    for rx, ry, hu in ((76, 95, SCALP), (71, 90, BONE), (68.5, 87.5, MARROW), (66.5, 85.5, BONE), (64, 83, FLUID)):
        canvas.fill(SCALE * ellipse(0, 0, rx, ry), hu)
    canvas.fill(SCALE * _folded(62.5, 81.5, rng), GREY)
    canvas.fill(SCALE * _folded(55, 73, rng), WHITE)
    for half in (_VENTRICLE, mirrored(_VENTRICLE)):
        canvas.fill(SCALE * smooth_closed(half), FLUID)
    for half in (_INSULA, mirrored(_INSULA)):
        canvas.fill(SCALE * smooth_closed(half), FLUID + 4)
    for side in (-1, 1):
        canvas.fill(SCALE * ellipse(side * 24, 2, 8, 13, side * 15), GREY)
        canvas.fill(SCALE * ellipse(side * 13, 24, 2, 2.6), CALCIUM)
    for front, back in ((-82, -34), (40, 82)):
        canvas.fill(SCALE * strip([(0, front), (0.4, (front + back) / 2), (0, back)], 1.8), 62)
    for y, depth in ((104, 3), (109, 1.2)):
        canvas.fill(SCALE * strip([(-70, y - 16), (0, y), (70, y - 16)], depth), 250)
    return _scan(canvas, size, rng)


def _folded(rx: float, ry: float, rng: np.random.Generator) -> np.ndarray:
    """An ellipse's contour (240, 2) in mm that runs in and out as the brain's surface does."""
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    depth = sum(rng.uniform(0.3, 0.9) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(9, 30, 3))
    return np.stack([(rx - np.abs(depth)) * np.cos(angle), (ry - np.abs(depth)) * np.sin(angle)], axis=1)


def _scan(canvas: Canvas, size: int, rng: np.random.Generator) -> np.ndarray:
    hu = cv2.resize(canvas.hu, (size, size), interpolation=cv2.INTER_AREA)
    grain = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), 0.9)
    return np.maximum(cv2.GaussianBlur(hu, (0, 0), 0.8) + 4.5 * grain / grain.std(), AIR).astype(np.float32)
