"""Synthetic lesions drawn into real slices, with masks: they teach a network *where*, which no label of a case can.

A lesion is a body of soft tissue with an irregular edge: a nodule or a mass, smooth, lobulated or spiculated, solid,
cavitating or ground glass, inside a lung, at the pleura or at the hilum. It takes the sharpness and the noise of the
slice that it is drawn into. Beside lesions, structures are drawn that are none and carry no mask: branching tubes and
dots as vessels are, the haze that gravity leaves at the back of a lung, and the domes of liver, spleen and stomach.

All pictures are (rows, columns) float32 in [0, 1], crops to the cavity on the scale of `lungapp.greys`; lengths are
shares of the crop's longest side, of about 300 mm.
"""

from __future__ import annotations

import cv2
import numpy as np

SMALLEST, LARGEST = 0.013, 0.15
"""Radii: nodules of 8 mm to masses of 9 cm across."""

TISSUE = (0.74, 0.90)
"""Greys of a solid lesion: -130 to 150 HU."""

HARMONICS = 6
SPIKES = (6, 16)


def add_lesions(grey: np.ndarray, lungs: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One to three lesions drawn into ``grey``.

    Parameters
    ----------
    grey : (rows, columns) float32; not changed.
    lungs : (rows, columns) bool: where lesions may lie.

    Returns
    -------
    The picture, and how much of each pixel is lesion, (rows, columns) float32 in [0, 1]; all 0 without lungs.
    """
    picture, mask = grey.copy(), np.zeros(grey.shape, np.float32)
    if lungs.any():
        for _ in range(random.choice([1, 2, 3], p=[0.6, 0.25, 0.15])):
            _draw_lesion(picture, mask, lungs, random)
    return picture, mask


def add_harmless(grey: np.ndarray, lungs: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Structures that are no lesions drawn into ``grey``: vessels, haze at the back, the dome of a diaphragm."""
    picture = grey.copy()
    if not lungs.any():
        return picture
    for _ in range(random.integers(1, 6)):
        _blend(picture, _vessel(grey.shape, lungs, random) * lungs, random.uniform(*TISSUE))
    if random.random() < 0.25:
        _blend(picture, _haze(lungs, random), random.uniform(0.5, 0.85))
    if random.random() < 0.5:
        _draw_dome(picture, lungs, random)
    return picture


def _blend(picture: np.ndarray, cover: np.ndarray, body: np.ndarray | float) -> None:
    """Put ``body`` where ``cover`` in [0, 1] is; writes to ``picture``."""
    picture += cover * (body - picture)


def _draw_lesion(picture: np.ndarray, mask: np.ndarray, lungs: np.ndarray, random: np.random.Generator) -> None:
    side = max(picture.shape)
    radius = side * SMALLEST * (LARGEST / SMALLEST) ** random.random()
    part, y, x = _around(picture.shape, _centre(lungs, radius, random), 2.4 * radius + 8)
    turn, stretch = random.uniform(0, np.pi), random.uniform(0.7, 1.0)
    along, across = x * np.cos(turn) + y * np.sin(turn), (y * np.cos(turn) - x * np.sin(turn)) / stretch
    distance, angle = np.hypot(along, across), np.arctan2(across, along)
    edge = np.full_like(angle, radius)
    roughness = random.uniform(0.03, 0.3)
    for order in range(2, HARMONICS + 2):
        edge += radius * roughness / order * random.normal() * np.cos(order * angle + random.uniform(0, 2 * np.pi))
    kind = random.choice(["solid", "spiculated", "ground glass", "cavity"], p=[0.45, 0.25, 0.2, 0.1])
    if kind == "spiculated":
        edge += _spikes(angle, radius, random)
    softness = random.uniform(0.6, 1.8) * side / 384
    cover = _inside(distance, edge, softness)
    body = _texture(picture[part], random) + random.uniform(*TISSUE)
    if kind == "cavity" and radius > 0.03 * side:
        hole = _inside(distance, random.uniform(0.35, 0.7) * edge, softness)
        body = body + hole * (random.uniform(0.17, 0.3) - body)
    opacity = random.uniform(0.35, 0.7) if kind == "ground glass" else 1.0
    _blend(picture[part], (cover * opacity).astype(np.float32), np.clip(body, 0, 1).astype(np.float32))
    np.maximum(mask[part], cover, out=mask[part])


def _draw_dome(picture: np.ndarray, lungs: np.ndarray, random: np.random.Generator) -> None:
    """The top of liver, spleen or stomach as it rises into a lung: large, smooth, often with a blurred edge."""
    side = max(picture.shape)
    radius = side * random.uniform(0.05, 0.28)
    softness = random.uniform(6, 20) if radius < 0.1 * side else random.uniform(1, 16)
    part, y, x = _around(picture.shape, _centre(lungs, radius, random), 1.6 * radius + 40)
    turn, stretch = random.uniform(0, np.pi), random.uniform(0.6, 1.0)
    along, across = x * np.cos(turn) + y * np.sin(turn), (y * np.cos(turn) - x * np.sin(turn)) / stretch
    cover = _inside(np.hypot(along, across), np.float32(radius), softness * side / 384)
    body = _texture(picture[part], random) + random.uniform(0.78, 0.9)
    _blend(picture[part], (cover * lungs[part]).astype(np.float32), np.clip(body, 0, 1).astype(np.float32))


def _around(
    shape: tuple[int, ...], centre: tuple[float, float], reach: float
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """The part of a picture within ``reach`` pixels of ``centre``, and its pixels' rows and columns from there."""
    row, column = centre
    top, left = max(0, int(row - reach)), max(0, int(column - reach))
    part = np.s_[top : int(row + reach) + 1, left : int(column + reach) + 1]
    bottom, right = min(shape[0], part[0].stop), min(shape[1], part[1].stop)
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    return part, y - np.float32(row), x - np.float32(column)


def _inside(distance: np.ndarray, edge: np.ndarray | np.float32, softness: float) -> np.ndarray:
    """1 well inside ``edge``, 0 well outside it, falling over about ``softness`` pixels."""
    return (1 / (1 + np.exp(np.clip((distance - edge) / softness, -30, 30)))).astype(np.float32)


def _spikes(angle: np.ndarray, radius: float, random: np.random.Generator) -> np.ndarray:
    total = np.zeros_like(angle)
    for _ in range(random.integers(*SPIKES)):
        width = random.uniform(0.04, 0.12)
        away = np.angle(np.exp(1j * (angle - random.uniform(-np.pi, np.pi))))
        total += radius * random.uniform(0.2, 0.9) * np.exp(-((away / width) ** 2))
    return total.astype(np.float32)


def _centre(lungs: np.ndarray, radius: float, random: np.random.Generator) -> tuple[float, float]:
    """Anywhere in the lungs, or one time in three at their edge: pleura, hilum, fissure."""
    where = lungs
    if random.random() < 0.35:
        depth = cv2.distanceTransform(lungs.view(np.uint8), cv2.DIST_L2, 3)
        where = lungs & (depth < max(2.0, 0.8 * radius))
    rows, columns = np.nonzero(where)
    place = random.integers(len(rows))
    return float(rows[place]), float(columns[place])


def _texture(grey: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Noise as in the slice's own soft tissue, and a little mottling: (rows, columns) float32 around 0."""
    fine = grey - cv2.GaussianBlur(grey, (0, 0), 1.5)
    tissue = np.abs(grey - 0.82) < 0.06
    sigma = float(fine[tissue].std()) if np.count_nonzero(tissue) > 20 else 0.01
    white = cv2.GaussianBlur(random.standard_normal(grey.shape, np.float32), (0, 0), random.uniform(0.4, 0.9))
    mottled = cv2.GaussianBlur(random.standard_normal(grey.shape, np.float32), (0, 0), random.uniform(3, 8))
    return white / white.std() * sigma + mottled / mottled.std() * np.float32(random.uniform(0, 0.025))


def _vessel(shape: tuple[int, ...], lungs: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A tapering, bending tube, or the dot of one that is cut across: (rows, columns) float32 in [0, 1]."""
    side = max(shape)
    rows, columns = np.nonzero(lungs)
    start = random.integers(len(rows))
    row, column, heading = float(rows[start]), float(columns[start]), random.uniform(0, 2 * np.pi)
    width = side * random.uniform(0.004, 0.014)
    canvas = np.zeros(shape, np.uint8)
    steps = 1 if random.random() < 0.4 else int(random.integers(10, 50))
    for step in range(steps):
        radius = max(1, round(width * (1 - 0.7 * step / steps) * 8))
        cv2.circle(canvas, (round(column * 8), round(row * 8)), radius, 255, -1, cv2.LINE_AA, 3)
        heading += random.normal(0, 0.15)
        row, column = row + 0.006 * side * np.sin(heading), column + 0.006 * side * np.cos(heading)
    return cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), 0.7)


def _haze(lungs: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Denser lung along the back, as gravity leaves it: (rows, columns) float32 in [0, 0.6]."""
    height = lungs.shape[0]
    depth = random.uniform(0.02, 0.08) * height
    lowest = np.where(lungs.any(axis=0), height - 1 - lungs[::-1].argmax(axis=0), 0)
    above = lowest[None, :] - np.arange(height)[:, None]
    return (random.uniform(0.2, 0.6) * np.exp(-np.maximum(above, 0) / depth) * lungs).astype(np.float32)
