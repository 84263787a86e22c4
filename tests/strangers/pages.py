"""Rendered pages, plots and patterns."""

from __future__ import annotations

import io
from collections.abc import Iterator

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from lungapp.slices import Slice
from tests.strangers.making import clouds, from_picture, pictures

WORDS = [
    "the",
    "lungs",
    "are",
    "clear",
    "without",
    "focal",
    "consolidation",
    "pleural",
    "effusion",
    "or",
    "nodule",
    "heart",
    "size",
    "normal",
    "no",
    "comparison",
]


def document(rng: np.random.Generator) -> np.ndarray:
    """A typed page, light or dark, upright or on its side."""
    page = np.full((700, 540), 255, np.uint8)
    for row in range(40 + rng.integers(0, 20), 640, 22):
        line = " ".join(rng.choice(WORDS, rng.integers(2, 8)))
        cv2.putText(page, line, (40, row), cv2.FONT_HERSHEY_COMPLEX_SMALL, 0.6, 12, 1, cv2.LINE_AA)
    page = 255 - page if rng.random() < 0.3 else page
    return (page.T if rng.random() < 0.2 else page) / 255


def code(rng: np.random.Generator) -> np.ndarray:
    """A two-dimensional bar code."""
    return np.pad(np.kron(rng.integers(0, 2, (25, 25)), np.ones((12, 12))), 40, constant_values=1).astype(np.float32)


def checks(rng: np.random.Generator) -> np.ndarray:
    side = int(rng.integers(8, 60))
    y, x = np.mgrid[0:400, 0:400] // side
    return ((x + y) % 2) * rng.uniform(0.4, 1.0)


def circles(rng: np.random.Generator) -> np.ndarray:
    """Anything round: lids, tunnels, eyes; some as light and dark as a chest."""
    picture = np.full((400, 400), rng.uniform(0, 0.3), np.float32)
    for radius in np.sort(rng.uniform(20, 180, 4))[::-1]:
        centre = (200 + rng.normal(0, 10, 2)).astype(int).tolist()
        cv2.ellipse(picture, centre, (int(radius * 1.3), int(radius)), 0, 0, 360, rng.uniform(0, 1), cv2.FILLED)
    return picture


def face(rng: np.random.Generator) -> np.ndarray:
    """Two dark eyes in a light oval."""
    picture = np.full((400, 400), 0.15, np.float32)
    cv2.ellipse(picture, (200, 200), (170, 145), 0, 0, 360, 0.82, cv2.FILLED)
    for x in (130, 270):
        cv2.ellipse(picture, (x, 170), (34, 20 + int(rng.integers(0, 14))), 0, 0, 360, 0.25, cv2.FILLED)
    cv2.ellipse(picture, (200, 260), (60, 20), 0, 0, 180, 0.3, cv2.FILLED)
    return cv2.GaussianBlur(picture, (0, 0), 2) + 0.02 * clouds(rng, 400, 2)


def landscape(rng: np.random.Generator) -> np.ndarray:
    """Sky, hills and trees in colour."""
    y, _ = np.mgrid[0:300, 0:450] / 300
    picture = np.stack([0.5 + 0.3 * y, 0.7 + 0.1 * y, 0.95 - 0.2 * y], axis=2)
    for level, colour in ((0.5, (0.35, 0.5, 0.3)), (0.7, (0.2, 0.35, 0.15))):
        ridge = level + 0.1 * cv2.resize(clouds(rng, 450, 30)[:1], (450, 1))
        picture[y > ridge] = colour
    return picture + 0.03 * cv2.resize(clouds(rng, 450, 1), (450, 300))[..., None]


def grey_landscape(rng: np.random.Generator) -> np.ndarray:
    return landscape(rng).mean(axis=2)


def _drawn(figure: Figure) -> Slice:
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    picture = Image.open(file).convert("RGB")
    return from_picture(picture)


def plots() -> Iterator[Slice]:
    """Curves, bars, histograms, matrices and pies, in colour and in grey."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        figure = Figure(figsize=(5, 4))
        axes = figure.subplots()
        tone = "0.2" if seed % 2 else "tab:blue"
        if seed % 5 == 0:
            axes.plot(rng.standard_normal(80).cumsum(), color=tone)
        elif seed % 5 == 1:
            axes.bar(range(6), rng.random(6), color=tone)
        elif seed % 5 == 2:
            axes.hist(rng.standard_normal(500), 30, color=tone)
        elif seed % 5 == 3:
            axes.imshow(rng.random((3, 3)), cmap="gray" if seed % 2 else "viridis")
        else:
            axes.pie(rng.random(4), colors=["0.2", "0.4", "0.6", "0.8"] if seed % 2 else None)
        axes.set_title("Figure")
        yield _drawn(figure)


FAMILIES = {
    "document": pictures(14, document),
    "bar code": pictures(6, code),
    "checks": pictures(6, checks),
    "circles": pictures(20, circles),
    "face, drawn": pictures(8, face),
    "landscape": pictures(6, landscape),
    "landscape, grey": pictures(6, grey_landscape),
    "plot": plots,
}
