"""Other parts of the body and other planes, drawn in HU: what a CT scanner shows that is no axial chest."""

from __future__ import annotations

import cv2
import numpy as np

from tests.strangers.making import both, clouds

AIR, FAT, ORGAN, MUSCLE, BONE, GAS, LUNG, BRAIN = -1000, -100, 60, 50, 500, -960, -850, 35
SIZE = 512


class _Picture:
    """A square of air in HU; coordinates are shares of the side."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.hu = np.full((SIZE, SIZE), AIR, np.float32)

    def ellipse(self, x: float, y: float, rx: float, ry: float, hu: float, turn: float = 0.0, jitter: float = 0.04):
        around = self.rng.normal(1, jitter, 2)
        axes = (round(SIZE * rx * around[0]), round(SIZE * ry * around[1]))
        cv2.ellipse(self.hu, (round(SIZE * x), round(SIZE * y)), axes, turn, 0, 360, float(hu), cv2.FILLED)
        return self

    def polygon(self, points: list[tuple[float, float]], hu: float):
        jittered = np.array(points) + self.rng.normal(0, 0.008, (len(points), 2))
        cv2.fillPoly(self.hu, [np.round(SIZE * jittered).astype(np.int32)], float(hu))
        return self

    def bone(self, x: float, y: float, rx: float, ry: float, turn: float = 0.0):
        return self.ellipse(x, y, rx, ry, BONE, turn).ellipse(x, y, 0.7 * rx, 0.7 * ry, 160, turn)

    def scanned(self) -> np.ndarray:
        blurred = cv2.GaussianBlur(self.hu, (0, 0), 1.2)
        texture = 6 * clouds(self.rng, SIZE, 5) + self.rng.uniform(8, 30) * clouds(self.rng, SIZE, 0.8)
        return np.maximum(blurred + texture, -1024).astype(np.float32)


def _trunk(rng: np.random.Generator, depth: float = 0.31) -> _Picture:
    picture = _Picture(rng)
    picture.ellipse(0.5, 0.95, 0.6, 0.05, 150).ellipse(0.5, 0.955, 0.58, 0.03, AIR)  # table
    picture.ellipse(0.5, 0.5, 0.43, depth, FAT).ellipse(0.5, 0.5, 0.37, depth - 0.05, MUSCLE)
    return picture.bone(0.5, 0.68, 0.055, 0.05).bone(0.5, 0.755, 0.02, 0.04)


def abdomen(rng: np.random.Generator) -> np.ndarray:
    """Liver, spleen, kidneys, stomach and bowel with more or less gas."""
    picture = _trunk(rng).ellipse(0.5, 0.48, 0.33, 0.22, FAT)
    picture.ellipse(0.33, 0.45, 0.16, 0.17, ORGAN + 50).ellipse(0.72, 0.55, 0.07, 0.1, ORGAN + 55, 30)
    picture.ellipse(0.36, 0.64, 0.05, 0.06, ORGAN + 90).ellipse(0.64, 0.64, 0.05, 0.06, ORGAN + 90)
    picture.ellipse(0.53, 0.59, 0.025, 0.025, 150)
    picture.ellipse(0.62, 0.4, 0.11, 0.09, 30).ellipse(0.62, 0.36, 0.1, rng.uniform(0.02, 0.05), GAS)
    for _ in range(rng.integers(2, 14)):
        x, y, r = rng.uniform(0.35, 0.68), rng.uniform(0.3, 0.55), rng.uniform(0.01, 0.05)
        picture.ellipse(x, y, r, r, 30).ellipse(x, y - 0.2 * r, 0.8 * r, 0.6 * r, GAS)
    return picture.scanned()


def distended_bowel(rng: np.random.Generator) -> np.ndarray:
    """An abdomen full of gas: two large dark regions, too."""
    picture = _trunk(rng)
    for x in (0.32, 0.5, 0.68):
        r = rng.uniform(0.05, 0.11)
        picture.ellipse(x, 0.4, 1.15 * r, 1.15 * r, MUSCLE).ellipse(x, 0.4, r, r, GAS)
    return picture.scanned()


def pelvis(rng: np.random.Generator) -> np.ndarray:
    picture = _trunk(rng, 0.28)
    for side in (-1, 1):
        picture.bone(0.5 + 0.22 * side, 0.55, 0.035, 0.12, 25 * side).ellipse(0.5 + 0.2 * side, 0.7, 0.09, 0.07, MUSCLE)
    picture.ellipse(0.5, 0.45, 0.09, 0.07, 10).ellipse(0.5, 0.66, 0.03, 0.03, -300)
    return picture.scanned()


def head(rng: np.random.Generator) -> np.ndarray:
    tall = rng.uniform(0.32, 0.4)
    picture = _Picture(rng).ellipse(0.5, 0.5, 0.3, tall, 30, jitter=0.02).ellipse(0.5, 0.5, 0.28, tall - 0.02, 900)
    picture.ellipse(0.5, 0.5, 0.26, tall - 0.04, BRAIN, jitter=0)
    for side in (-1, 1):
        picture.ellipse(0.5 + 0.05 * side, 0.48, 0.02, 0.08, 5, 12 * side)
    for _ in range(rng.integers(0, 5)):  # sinuses and mastoid cells
        picture.ellipse(rng.uniform(0.4, 0.6), rng.uniform(0.2, 0.3), 0.03, 0.03, GAS)
    return picture.scanned()


def neck(rng: np.random.Generator) -> np.ndarray:
    picture = _Picture(rng).ellipse(0.5, 0.5, 0.24, 0.2, FAT).ellipse(0.5, 0.5, 0.22, 0.18, MUSCLE)
    picture.bone(0.5, 0.56, 0.045, 0.04).ellipse(0.5, 0.43, 0.03, 0.025, AIR)
    return picture.scanned()


def shoulders(rng: np.random.Generator) -> np.ndarray:
    picture = _Picture(rng).ellipse(0.5, 0.5, 0.48, 0.17, FAT).ellipse(0.5, 0.5, 0.46, 0.15, MUSCLE)
    for side in (-1, 1):
        picture.bone(0.5 + 0.36 * side, 0.47, 0.05, 0.05).bone(0.5 + 0.26 * side, 0.52, 0.08, 0.015, 20 * side)
    picture.bone(0.5, 0.55, 0.04, 0.035).ellipse(0.5, 0.44, 0.025, 0.02, AIR)
    return picture.scanned()


def legs(rng: np.random.Generator) -> np.ndarray:
    picture = _Picture(rng)
    for side in (-1, 1):
        x = 0.5 + rng.uniform(0.2, 0.24) * side
        picture.ellipse(x, 0.5, 0.17, 0.18, FAT).ellipse(x, 0.5, 0.15, 0.15, MUSCLE).bone(x, 0.48, 0.035, 0.035)
    return picture.scanned()


def coronal(rng: np.random.Generator) -> np.ndarray:
    """A chest from the front: shoulders above, liver below, both lungs."""
    top, bottom = rng.uniform(0, 0.1, 2)
    outline = [(0.42, top), (0.42, 0.15), (0.15, 0.24), (0.1, 0.4), (0.14, 0.7), (0.14, 1 - bottom)]
    outline = outline + [(1 - x, y) for x, y in reversed(outline)]
    picture = _Picture(rng).polygon(outline, FAT)
    picture.polygon([(0.5 + 0.92 * (x - 0.5), y + 0.01) for x, y in outline], MUSCLE)
    for side in (-1, 1):
        lung = [(0.08, 0.2), (0.17, 0.25), (0.25, 0.45), (0.28, 0.72), (0.16, 0.66), (0.06, 0.68), (0.05, 0.4)]
        picture.polygon([(0.5 + side * x, y) for x, y in lung], LUNG)
    for y in np.arange(0.1, 0.95, 0.06):
        picture.bone(0.5, y, 0.04, 0.022)
    return picture.ellipse(0.55, 0.58, 0.11, 0.12, ORGAN).ellipse(0.36, 0.8, 0.17, 0.1, ORGAN + 50).scanned()


def sagittal(rng: np.random.Generator) -> np.ndarray:
    """A chest from the side: one lung, the spine along the back."""
    top, bottom = rng.uniform(0, 0.08, 2)
    outline = [(0.35, top), (0.3, 0.3), (0.24, 0.6), (0.26, 1 - bottom), (0.74, 1 - bottom), (0.76, 0.5), (0.66, top)]
    picture = _Picture(rng).polygon(outline, FAT).polygon([(0.5 + 0.9 * (x - 0.5), y) for x, y in outline], MUSCLE)
    picture.polygon(
        [(0.45, 0.15), (0.36, 0.4), (0.31, 0.62), (0.5, 0.6), (0.63, 0.72), (0.64, 0.4), (0.56, 0.16)], LUNG
    )
    for y in np.arange(0.05, 0.95, 0.07):
        picture.bone(0.66, y, 0.03, 0.028)
    return picture.ellipse(0.45, 0.72, 0.15, 0.1, ORGAN + 50).scanned()


def bottle(rng: np.random.Generator) -> np.ndarray:
    """A scanner's test object: water in plastic, with inserts."""
    picture = _Picture(rng).ellipse(0.5, 0.5, 0.35, 0.35, 120, jitter=0).ellipse(0.5, 0.5, 0.34, 0.34, 0, jitter=0)
    for angle in np.linspace(0, 2 * np.pi, 8, endpoint=False):
        at = 0.5 + 0.22 * np.array([np.cos(angle), np.sin(angle)])
        picture.ellipse(*at, 0.045, 0.045, rng.choice([-900, -800, -100, 50, 300, 900]), jitter=0)
    return picture.scanned()


FAMILIES = {
    "abdomen, CT": both(20, abdomen),
    "bowel full of gas, CT": both(10, distended_bowel),
    "pelvis, CT": both(10, pelvis),
    "head, CT": both(16, head),
    "neck, CT": both(8, neck),
    "shoulders, CT": both(8, shoulders),
    "legs, CT": both(8, legs),
    "coronal chest, CT": both(16, coronal),
    "sagittal chest, CT": both(12, sagittal),
    "test object, CT": both(8, bottle),
}
