"""Chest phantoms that were turned, inverted, joined or painted over: chests, but not as the models know them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import cv2
import numpy as np
from matplotlib import colormaps

from examples.phantoms import phantom
from lungapp.greys import MODEL_WINDOW
from lungapp.slices import Slice
from tests.strangers.making import clouds, from_array, in_window

COUNT = 8


@cache
def chest(seed: int) -> np.ndarray:
    """A phantom (256, 256) in HU."""
    return phantom((None, "nodule", "mass")[seed % 3], 40 + seed, 256)


def grey(seed: int) -> np.ndarray:
    return MODEL_WINDOW.apply(chest(seed))


def _each(change: Callable[[int], np.ndarray], count: int = COUNT) -> Callable[[], Iterator[Slice]]:
    return lambda: (from_array(change(seed)) for seed in range(count))


def turned(seed: int) -> np.ndarray:
    return np.rot90(grey(seed), 1 + 2 * (seed % 2))


def inverted(seed: int) -> np.ndarray:
    return 1 - grey(seed)


def row_of_two(seed: int) -> np.ndarray:
    return np.hstack([grey(seed), grey(seed + 1)])


def four(seed: int) -> np.ndarray:
    return np.vstack([row_of_two(seed), row_of_two(seed + 2)])


def contact_sheet(seed: int) -> np.ndarray:
    small = [cv2.resize(grey(seed + place), (96, 96), interpolation=cv2.INTER_AREA) for place in range(6)]
    return np.vstack([np.hstack(small[:3]), np.hstack(small[3:])])


def painted(seed: int) -> np.ndarray:
    """A heatmap laid over it, as other programs hand out."""
    heat = colormaps["jet"](np.clip(0.5 + 0.3 * clouds(np.random.default_rng(seed), 256, 30), 0, 1))[..., :3]
    return 0.5 * heat + 0.5 * grey(seed)[..., None]


def coloured(seed: int) -> np.ndarray:
    return colormaps[("hot", "viridis", "bone", "jet")[seed % 4]](grey(seed))[..., :3]


def thresholded(seed: int) -> np.ndarray:
    return (grey(seed) > 0.5).astype(np.float32)


def equalised(seed: int) -> np.ndarray:
    """Damaged as some copies of the dataset are: histogram equalised, dark half erased."""
    picture = cv2.equalizeHist(np.rint(grey(seed) * 255).astype(np.uint8))
    return np.where(picture > 128, picture, 0) / 255


def lung_cut_out(seed: int) -> np.ndarray:
    """A crop from inside a lung, enlarged."""
    return cv2.resize(grey(seed)[100:170, 40 + 100 * (seed % 2) : 110 + 100 * (seed % 2)], (256, 256))


def in_a_viewer(seed: int) -> np.ndarray:
    """A screenshot: the slice in a corner of a window full of buttons and text."""
    screen = np.full((540, 960), 50 + 180 * (seed % 2), np.uint8)
    screen[:40] = 215 - 130 * (seed % 2)
    at = 40 + 60 * (seed % 4)
    screen[100:356, at : at + 256] = np.rint(255 * grey(seed))
    for row in range(12):
        cv2.putText(screen, "Series 2  Im 41  W 1500", (620, 90 + 34 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 128, 1)
        cv2.rectangle(screen, (560, 70 + 34 * row), (590, 95 + 34 * row), 150, -1)
    return screen / 255


def photographed(seed: int) -> np.ndarray:
    """A photograph of a monitor: aslant, moiré, glare, a dark room around."""
    rng = np.random.default_rng(seed)
    corners = np.array([[0, 0], [256, 0], [256, 256], [0, 256]], np.float32)
    to = corners * 1.2 + rng.uniform(20, 90, (4, 2)).astype(np.float32)
    picture = cv2.warpPerspective(grey(seed), cv2.getPerspectiveTransform(corners, to), (480, 420), borderValue=0.35)
    y, x = np.mgrid[0:420, 0:480]
    moire = 0.06 * np.sin(0.9 * x + 0.2 * y) * np.sin(0.8 * y)
    return picture * 0.7 + 0.15 + moire + 0.3 * np.exp(-((x - 300) ** 2 + (y - 90) ** 2) / 5000)


def tiny() -> Iterator[Slice]:
    for seed in range(6):
        size = 24 + 16 * seed
        yield in_window(cv2.resize(chest(seed), (size, size), interpolation=cv2.INTER_AREA))


def empty() -> Iterator[Slice]:
    """Frames without anything: black, white, grey, ramps, air of a scanner, noise."""
    y, x = np.mgrid[0:256, 0:256] / 255
    rng = np.random.default_rng(0)
    for array in (0 * x, 0 * x + 1, 0 * x + 0.4, x, y, (x + y) / 2, np.hypot(x - 0.5, y - 0.5)):
        yield from_array(array)
    for grain in (0.5, 2, 8, 30):
        yield from_array(0.5 + 0.2 * clouds(rng, 256, grain))
        yield Slice(-1000 + 20 * clouds(rng, 256, grain), "HU")


FAMILIES = {
    "chest turned by 90 degrees": _each(turned),
    "chest inverted": _each(inverted),
    "two chests side by side": _each(row_of_two, 6),
    "four chests": _each(four, 6),
    "contact sheet": _each(contact_sheet, 6),
    "chest under a heatmap": _each(painted),
    "chest in false colours": _each(coloured),
    "chest thresholded": _each(thresholded, 6),
    "chest equalised and erased": _each(equalised, 6),
    "crop of a lung": _each(lung_cut_out),
    "chest in a viewer's window": _each(in_a_viewer),
    "chest photographed off a screen": _each(photographed),
    "chest on too few pixels": tiny,
    "empty frames": empty,
}
