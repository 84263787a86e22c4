"""How far a slice is from the training slices: the distance to the sixteen directions in which those differ most.

A slice, as the models get it but on `SIDE` pixels, is projected onto the principal components of the training slices
(Pearson 1901; as a novelty measure: Japkowicz, Myers & Gluck 1995). The distance is the root mean square over the
pixels of what the projection cannot express. ``typical.safetensors`` beside this file holds the mean and the
components, with the two limits that `train.gate` sets on held-out slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import safe_open

from lungapp.preprocessing import to_input
from lungapp.registry import ModelSpec
from lungapp.slices import Slice, SliceInfo

FILE = Path(__file__).with_suffix(".safetensors")
SIDE = 16
CLEARLY = 0.87
"""[0.91 is the least of all slices that lie the right way up; half of those turned over are below.]"""
_SPEC = ModelSpec("typical", "typical", "", size=SIDE)


@dataclass(frozen=True, eq=False)
class Typical:
    """``mean`` (pixels,) and ``components`` (components, pixels) float32; distances from ``warn`` on are unusual, from
    ``reject`` on too far to score.
    """

    mean: np.ndarray
    components: np.ndarray
    warn: float
    reject: float

    def distance(self, vector: np.ndarray) -> float:
        """Distance of a slice's `vector`, in greys; 0 is a slice that the training slices express."""
        centred = vector - self.mean
        return float(np.sqrt(np.mean((centred - self.components.T @ (self.components @ centred)) ** 2)))

    def upside_down(self, vector: np.ndarray) -> bool:
        """Whether a slice turned over from front to back is clearly nearer to the training slices."""
        turned = vector.reshape(SIDE, SIDE)[::-1].ravel()
        return self.distance(turned) < CLEARLY * self.distance(vector)


def vector(grey: np.ndarray) -> np.ndarray:
    """(`SIDE` * `SIDE`,) float32: a picture (rows, columns) float32 in [0, 1] as a model would get it at that size."""
    return to_input(Slice(grey, "grey", SliceInfo("array", white=1.0)), _SPEC).ravel()


@cache
def typical() -> Typical:
    """What the committed file holds."""
    with safe_open(FILE, "numpy") as file:
        limits = file.metadata()
        arrays = {name: file.get_tensor(name).astype(np.float32) for name in ("mean", "components")}
    return Typical(**arrays, warn=float(limits["warn"]), reject=float(limits["reject"]))
