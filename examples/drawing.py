"""A canvas in millimetres: smooth closed contours and tapered strips, drawn at twice the final resolution.

Coordinates are (x, y) in mm from the centre of the picture; x grows to the right of the picture (the patient's left),
y grows downwards (to the patient's back).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

FIELD_MM = 358.4
"""Side of the square field of view: 512 pixels of 0.7 mm."""
SUPERSAMPLING = 2
_SHIFT = 4  # cv2 takes fixed-point coordinates with this many fractional bits

Warp = Callable[[np.ndarray], np.ndarray]
Points = Sequence[tuple[float, float]] | np.ndarray


def smooth_closed(points: Points, samples: int = 240) -> np.ndarray:
    """A closed contour (samples, 2) through ``points`` (n, 2), all in mm."""
    knots = np.asarray(points, dtype=np.float64)
    knots = np.vstack([knots, knots[:1]])
    # Chord length to the power 1/2 (centripetal): no loops where points lie close together.
    steps = np.sqrt(np.linalg.norm(np.diff(knots, axis=0), axis=1))
    position = np.concatenate([[0.0], np.cumsum(steps)])
    return CubicSpline(position, knots, bc_type="periodic")(np.linspace(0, position[-1], samples, endpoint=False))


def ellipse(x: float, y: float, rx: float, ry: float, degrees: float = 0.0) -> np.ndarray:
    """An ellipse's contour (72, 2) in mm."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    turn = np.deg2rad(degrees)
    u, v = rx * np.cos(angle), ry * np.sin(angle)
    return np.stack([x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn)], axis=1)


def mirrored(points: Points) -> np.ndarray:
    """The same points on the other side of the patient."""
    return np.asarray(points, dtype=np.float64) * (-1, 1)


def strip(line: Points, width: float, taper: float = 0.35) -> np.ndarray:
    """The outline of a band of ``width`` mm along ``line`` (n, 2), its ends rounded and thinned by ``taper``."""
    knots = np.asarray(line, dtype=np.float64)
    position = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    curve = CubicSpline(position, knots) if len(knots) > 2 else CubicSpline(position, knots, bc_type="natural")
    # Cosine spacing puts samples where the ends are rounded.
    t = position[-1] * (1 - np.cos(np.linspace(0, np.pi, 60))) / 2
    along = curve(t, 1)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.maximum(np.linalg.norm(along, axis=1), 1e-9)[:, None]
    ends = np.minimum(t, position[-1] - t)
    rounding = np.sqrt(np.clip(1 - (1 - np.clip(ends / (width / 2), 0, 1)) ** 2, 0, 1))
    half = width / 2 * rounding * (1 - taper * np.abs(2 * t / position[-1] - 1) ** 2)
    return np.vstack([curve(t) + normal * half[:, None], (curve(t) - normal * half[:, None])[::-1]])


class Canvas:
    """``hu`` is (n, n) float32 with n = 2 ``size``; every outline goes through ``warp`` before it is drawn."""

    def __init__(self, size: int, background: float = -1000.0) -> None:
        self.n = size * SUPERSAMPLING
        self.pitch = FIELD_MM / self.n
        self.warp: Warp = np.asarray
        self.hu = np.full((self.n, self.n), background, dtype=np.float32)

    def fixed_point(self, points: np.ndarray) -> np.ndarray:
        """Points in mm, (..., 2), as the integers cv2 draws with."""
        return np.round((points / self.pitch + self.n / 2 - 0.5) * 2**_SHIFT).astype(np.int32)

    def fill(self, outline: Points, hu: float) -> None:
        """Paint the inside of ``outline``."""
        points = self.fixed_point(self.warp(np.asarray(outline, dtype=np.float64)))
        cv2.fillPoly(self.hu, [points], float(hu), shift=_SHIFT)

    def mask(self, outline: Points) -> np.ndarray:
        """The inside of ``outline`` as (n, n) uint8, 0 or 1."""
        inside = np.zeros((self.n, self.n), dtype=np.uint8)
        cv2.fillPoly(inside, [self.fixed_point(self.warp(np.asarray(outline, dtype=np.float64)))], 1, shift=_SHIFT)
        return inside

    def line(self, target: np.ndarray, ends: np.ndarray, width: float, value: float) -> None:
        """Draw a line of ``width`` mm between ``ends`` (2, 2), already warped, into ``target``."""
        first, last = self.fixed_point(ends).tolist()
        thickness = max(1, round(width / self.pitch))
        cv2.line(target, first, last, float(value), thickness, cv2.LINE_8, _SHIFT)
