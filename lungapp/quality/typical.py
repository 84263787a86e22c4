"""How far a slice is from the training slices: the distance to the sixteen directions in which those differ most.

A slice, as the models get it but on `SIDE` pixels, is projected onto the principal components of the training slices
(Pearson 1901; as a novelty measure: Japkowicz, Myers & Gluck 1995). The distance is the root mean square over the
pixels of what the projection cannot express. ``typical.safetensors`` beside this file holds the mean and the
components, with the limit that `train.gate` sets on held-out slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from safetensors import safe_open

from lungapp.anatomy import Anatomy
from lungapp.preprocessing import to_input
from lungapp.registry import MODELS

FILE = Path(__file__).with_suffix(".safetensors")
SIDE = 16
CLEARLY = 0.87
"""[0.90 is the least of all slices that lie the right way up; 96 in 100 of those turned over are below.]"""


@dataclass(frozen=True, eq=False)
class Typical:
    """``mean`` (pixels,) and ``components`` (components, pixels) float32; distances above ``warn`` are unusual."""

    mean: np.ndarray
    components: np.ndarray
    warn: float

    def distance(self, vector: np.ndarray) -> float:
        """Distance of a slice's `vector`, in greys; 0 is a slice that the training slices express."""
        centred = vector - self.mean
        return float(np.sqrt(np.mean((centred - self.components.T @ (self.components @ centred)) ** 2)))

    def upside_down(self, vector: np.ndarray) -> bool:
        """Whether a slice turned over from front to back is clearly nearer to the training slices."""
        return self.distance(turned_over(vector)) < CLEARLY * self.distance(vector)


def turned_over(vector: np.ndarray) -> np.ndarray:
    """`vector` of the same slice with front and back changed over."""
    return vector.reshape(SIDE, SIDE)[::-1].ravel()


def vector(seen: Anatomy) -> np.ndarray:
    """(`SIDE` * `SIDE`,) float32: a slice as the models get it, on fewer pixels."""
    picture = to_input(seen, MODELS[0])
    return cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel()


@cache
def typical() -> Typical:
    """What the committed file holds."""
    with safe_open(FILE, "numpy") as file:
        limits = file.metadata()
        arrays = {name: file.get_tensor(name).astype(np.float32) for name in ("mean", "components")}
    return Typical(**arrays, warn=float(limits["warn"]))
