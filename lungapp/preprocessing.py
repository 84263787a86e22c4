"""Anatomy → model input: the only crop and resize of model input in the repository; training uses it too.

Everything outside the thoracic cavity is set to 0, and the picture is cropped to the cavity and letterboxed into a
square. On IQ-OTH/NCCD what lies outside the cavity tells the class better than the lungs do (docs/audit.md): the table,
the field of view, the grey of the air, fat and bone as one scanner or another renders them. No model ever sees it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from lungapp.anatomy import Anatomy
from lungapp.registry import ModelSpec

SOFTENED = 1.0
"""Standard deviation, in pixels of the input, of the Gaussian that a slice is softened with before it is sampled anew:
nothing aliases, and a crop that begins a pixel later gives nearly the same input."""

EDGE = 1 / 28
"""Share of the input's side that stays 0 on each side of the crop, so that networks, whose convolutions take what lies
outside their input for a middle grey, see the same at every edge of the cavity."""


@dataclass(frozen=True)
class Frame:
    """Where the crop of a slice lies, and where it is put in the model's square: in its middle, as large as it can be.

    ``top``, ``left``, ``rows``, ``columns`` are slice pixels; ``size`` is the side of the input, in its own pixels.
    Places are not rounded to whole pixels of the input: a crop that begins a pixel later would jump.
    """

    top: int
    left: int
    rows: int
    columns: int
    size: int

    @property
    def scale(self) -> float:
        """Pixels of the input a pixel of the slice."""
        return (1 - 2 * EDGE) * self.size / max(self.rows, self.columns)

    @property
    def corner(self) -> tuple[float, float]:
        """Where the crop begins in the input: row, column."""
        return (self.size - self.rows * self.scale) / 2, (self.size - self.columns * self.scale) / 2

    def to_slice(self, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Bring a map of the input square, any (h, w) float32, back onto the slice; 0 outside the crop.

        Returns
        -------
        ``shape`` float32, bilinear.
        """
        # Coarse feature maps are sampled straight from the slice's grid: one interpolation, not two.
        rows, columns = values.shape
        row, column = self.corner
        y = (np.arange(self.rows, dtype=np.float32) + 0.5) * self.scale + row
        x = (np.arange(self.columns, dtype=np.float32) + 0.5) * self.scale + column
        grid_x, grid_y = np.meshgrid(x * (columns / self.size) - 0.5, y * (rows / self.size) - 0.5)
        crop = cv2.remap(
            values.astype(np.float32),
            grid_x.astype(np.float32),
            grid_y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        whole = np.zeros(shape, np.float32)
        whole[self.top : self.top + self.rows, self.left : self.left + self.columns] = crop
        return whole

    def to_square(self, values: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
        """Bring what lies on the slice, (rows, columns) float32, onto the input square, 0 around it.

        Values outside ``where`` (rows, columns) bool count as 0.
        """
        part = np.s_[self.top : self.top + self.rows, self.left : self.left + self.columns]
        crop = values[part] if where is None else cv2.copyTo(values[part], where[part].view(np.uint8))
        sigma = SOFTENED / self.scale
        edge = math.ceil(3 * sigma)
        crop = cv2.copyMakeBorder(crop, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=0)
        crop = cv2.GaussianBlur(crop, (2 * edge + 1, 2 * edge + 1), sigma)
        (row, column), scale = self.corner, self.scale
        middle = scale * (0.5 - edge) - 0.5  # pixels have their middles half a pixel in, on both sides
        matrix = np.array([[scale, 0, column + middle], [0, scale, row + middle]])
        return cv2.warpAffine(crop, matrix, (self.size, self.size), flags=cv2.INTER_LINEAR)


def to_input(anatomy: Anatomy, spec: ModelSpec) -> np.ndarray:
    """The picture ``spec``'s model gets: (size, size, 1) float32 in [0, 1], the thoracic cavity, 0 elsewhere."""
    return frame_of(anatomy, spec).to_square(anatomy.grey, anatomy.cavity)[..., None]


def frame_of(anatomy: Anatomy, spec: ModelSpec) -> Frame:
    """Where `to_input` takes its crop, and where it puts it."""
    left, top, columns, rows = cv2.boundingRect(anatomy.cavity.view(np.uint8))
    return Frame(top, left, rows, columns, spec.size)
