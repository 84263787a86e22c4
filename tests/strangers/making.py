"""Arrays and pictures → `Slice`, by the way an upload takes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from PIL import Image

from lungapp.errors import LungAppError
from lungapp.greys import MODEL_WINDOW
from lungapp.reading import read_slice
from lungapp.slices import Slice, Window

Make = Callable[[np.random.Generator], np.ndarray]


def from_picture(picture: Image.Image) -> Slice:
    """``picture`` written as PNG and read like an upload."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return read_slice(file.getvalue())


def from_array(array: np.ndarray) -> Slice:
    """(rows, columns) or (rows, columns, 3) with values in [0, 1], as an 8-bit picture."""
    return from_picture(Image.fromarray(np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)))


def in_window(hounsfield: np.ndarray, window: Window = MODEL_WINDOW) -> Slice:
    """(rows, columns) in HU as an 8-bit picture in ``window``."""
    return from_array(window.apply(hounsfield))


def both(count: int, make: Make) -> Callable[[], Iterator[Slice]]:
    """``count`` drawings in HU, every other one as Hounsfield units, the rest as pictures in the models' window."""

    def slices() -> Iterator[Slice]:
        for seed in range(count):
            hounsfield = make(np.random.default_rng(seed))
            yield Slice(hounsfield, "HU") if seed % 2 else in_window(hounsfield)

    return slices


def pictures(count: int, make: Make) -> Callable[[], Iterator[Slice]]:
    """``count`` drawings in [0, 1], grey or RGB, as pictures."""
    return lambda: (from_array(make(np.random.default_rng(seed))) for seed in range(count))


def readable(sources: list) -> Iterator[Slice]:
    """What of ``sources`` reading takes; the rest is refused before the gate, which is as good."""
    for source in sources:
        try:
            yield read_slice(source)
        except LungAppError:
            continue


def clouds(rng: np.random.Generator, size: int, grain: float) -> np.ndarray:
    """Smooth noise (size, size) float32, mean 0 and standard deviation 1."""
    field = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), grain)
    return (field - field.mean()) / field.std()
