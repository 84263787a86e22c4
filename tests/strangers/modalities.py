"""Other ways of taking pictures of a patient, roughly imitated: what matters is that the greys are not those of CT."""

from __future__ import annotations

import cv2
import numpy as np

from tests.strangers import bodies
from tests.strangers.making import clouds, pictures

SIZE = 512
_Y, _X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE


def _oval(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    """How deep a point lies in an ellipsoid, as the length of a ray through it: (SIZE, SIZE) in [0, 1]."""
    return np.sqrt(np.clip(1 - ((_X - x) / rx) ** 2 - ((_Y - y) / ry) ** 2, 0, None))


def radiograph(rng: np.random.Generator) -> np.ndarray:
    """A chest X-ray: rays through ellipsoids of tissue, less lungs, plus ribs, spine and heart."""
    wide = rng.uniform(0.4, 0.5)
    through = 1.1 * _oval(0.5, 0.6, wide, 0.62) + 0.35 * _oval(0.5, 0.1, 0.12, 0.3)
    for side in (-1, 1):
        through -= 0.75 * _oval(0.5 + side * rng.uniform(0.17, 0.2), 0.48, 0.14, 0.33)
        through += 0.25 * _oval(0.5 + 0.38 * side, 0.25, 0.15, 0.12)
        for y in np.arange(0.2, 0.75, 0.07):
            bow = np.abs(_Y - y - 0.6 * (np.abs(_X - 0.5) - 0.15) ** 2)
            through += 0.1 * np.exp(-((bow / 0.012) ** 2)) * (np.sign(_X - 0.5) == side) * (np.abs(_X - 0.5) < 0.36)
    through += 0.3 * np.exp(-(((_X - 0.5) / 0.035) ** 2)) + 0.5 * _oval(0.55, 0.65, 0.14, 0.14)
    field = 1 - np.exp(-1.3 * np.clip(through, 0, None))
    return field * rng.uniform(0.8, 1.0) + 0.01 * clouds(rng, SIZE, 0.8)


def magnetic_head(rng: np.random.Generator) -> np.ndarray:
    """T1- or T2-like: bright fat or bright fluid in a black background."""
    fluid, white, grey = rng.choice([[0.15, 0.75, 0.55], [0.95, 0.35, 0.5]])
    picture = np.zeros((SIZE, SIZE), np.float32)
    for rx, ry, level in ((0.34, 0.42, 0.9), (0.325, 0.405, 0.05), (0.3, 0.38, grey), (0.25, 0.32, white)):
        picture[_oval(0.5, 0.5, rx, ry) > 0] = level
    folds = np.abs(clouds(rng, SIZE, 9)) < 0.12
    picture[folds & (_oval(0.5, 0.5, 0.3, 0.38) > 0)] = fluid
    for side in (-1, 1):
        picture[_oval(0.5 + 0.06 * side, 0.47, 0.03, 0.11) > 0] = fluid
    return cv2.GaussianBlur(picture, (0, 0), 1.5) * (1 + 0.1 * clouds(rng, SIZE, 120)) + 0.02 * clouds(rng, SIZE, 0.8)


def magnetic_chest(rng: np.random.Generator) -> np.ndarray:
    """An axial chest all the same, in MR's greys: lungs as black as the air around, fat white, no bone."""
    picture = np.zeros((SIZE, SIZE), np.float32)
    picture[_oval(0.5, 0.5, 0.43, 0.3) > 0] = 0.95
    picture[_oval(0.5, 0.5, 0.38, 0.25) > 0] = 0.4
    for side in (-1, 1):
        picture[_oval(0.5 + 0.2 * side, 0.49, 0.13, 0.19) > 0] = 0.04
    picture[_oval(0.54, 0.45, 0.1, 0.1) > 0] = rng.choice([0.1, 0.9])
    return cv2.GaussianBlur(picture, (0, 0), 1.5) * (1 + 0.2 * clouds(rng, SIZE, 120)) + 0.02 * clouds(rng, SIZE, 0.8)


def emission(rng: np.random.Generator) -> np.ndarray:
    """PET: blurred blobs, black on white or white on black."""
    picture = 0.25 * _oval(0.5, 0.5, 0.4, 0.28)
    for _ in range(rng.integers(3, 9)):
        x, y, r = rng.uniform(0.3, 0.7), rng.uniform(0.35, 0.65), rng.uniform(0.02, 0.07)
        picture += rng.uniform(0.3, 0.9) * np.exp(-((_X - x) ** 2 + (_Y - y) ** 2) / r**2)
    picture = np.clip(cv2.GaussianBlur(picture, (0, 0), 5) + 0.02 * clouds(rng, SIZE, 3), 0, 1)
    return 1 - picture if rng.random() < 0.5 else picture


def ultrasound(rng: np.random.Generator) -> np.ndarray:
    """A fan of speckle on black."""
    radius, angle = np.hypot(_X - 0.5, _Y + 0.1), np.abs(np.arctan2(_X - 0.5, _Y + 0.1))
    speckle = np.abs(clouds(rng, SIZE, 1.5)) * (0.4 + 0.2 * clouds(rng, SIZE, 20)) * np.exp(-0.6 * radius)
    dark = (_X - rng.uniform(0.4, 0.6)) ** 2 + (_Y - rng.uniform(0.4, 0.6)) ** 2 < rng.uniform(0.05, 0.15) ** 2
    return np.where((radius > 0.2) & (radius < 1.0) & (angle < 0.65), np.where(dark, 0.03, speckle), 0)


def mammogram(rng: np.random.Generator) -> np.ndarray:
    shape = _oval(0.0, 0.5, rng.uniform(0.5, 0.8), 0.42)
    return np.clip(0.35 * shape**0.5 + 0.12 * shape * clouds(rng, SIZE, 12), 0, 1)


def histology(rng: np.random.Generator) -> np.ndarray:
    """Pink and violet."""
    tissue = 0.1 * clouds(rng, SIZE, 14)[..., None] + np.array([0.88, 0.68, 0.8])
    nuclei = cv2.GaussianBlur(clouds(rng, SIZE, 4), (0, 0), 1)[..., None] > 1.3
    return np.where(nuclei, np.array([0.4, 0.25, 0.55]), tissue)


def grey_histology(rng: np.random.Generator) -> np.ndarray:
    return histology(rng).mean(axis=2)


def fundus(rng: np.random.Generator) -> np.ndarray:
    disc = _oval(0.5, 0.5, 0.45, 0.45)
    picture = disc * (0.5 + 0.06 * clouds(rng, SIZE, 30)) + 0.4 * _oval(rng.uniform(0.3, 0.7), 0.5, 0.06, 0.07)
    return np.stack([picture, 0.55 * picture, 0.3 * picture], axis=2) if rng.random() < 0.5 else picture


def hand(rng: np.random.Generator) -> np.ndarray:
    """A hand's X-ray."""
    picture = np.zeros((SIZE, SIZE), np.float32)
    cv2.ellipse(picture, (256, 350), (90, 100), 0, 0, 360, 0.45, cv2.FILLED)
    for angle in np.deg2rad([-40, -17, -4, 9, 24]):
        tip = (256 + np.array([np.sin(angle), -np.cos(angle)]) * rng.uniform(230, 300) + [0, 70]).astype(int)
        cv2.line(picture, (256, 370), tip.tolist(), 0.45, 44)
        cv2.line(picture, (256, 370), tip.tolist(), 0.85, 16)
    return cv2.GaussianBlur(picture, (0, 0), 3) + 0.01 * clouds(rng, SIZE, 0.8)


def scout(rng: np.random.Generator) -> np.ndarray:
    """A CT's own overview, grey without bones' glare."""
    return cv2.resize(radiograph(rng), (SIZE, SIZE))[::1, ::-1] * 0.6 + 0.2


def magnetic_abdomen(rng: np.random.Generator) -> np.ndarray:
    """The drawn abdomen in greys that have nothing to do with density."""
    return np.interp(
        bodies.abdomen(rng), [-1024, -900, -150, -60, 0, 60, 150, 500], [0, 0, 0.9, 0.85, 0.2, 0.4, 0.6, 0.1]
    )


FAMILIES = {
    "chest X-ray": pictures(20, radiograph),
    "CT scout": pictures(6, scout),
    "head, MR": pictures(12, magnetic_head),
    "chest, MR": pictures(10, magnetic_chest),
    "abdomen, MR": pictures(8, magnetic_abdomen),
    "PET": pictures(10, emission),
    "ultrasound": pictures(10, ultrasound),
    "mammogram": pictures(8, mammogram),
    "histology": pictures(8, histology),
    "histology, grey": pictures(6, grey_histology),
    "fundus": pictures(8, fundus),
    "hand, X-ray": pictures(6, hand),
}
