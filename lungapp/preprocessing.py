"""Anatomy → model input: the only crop and resize of model input in the repository; training uses it too.

Everything outside the thoracic cavity is set to 0, and the picture is cropped to the cavity and letterboxed into a
square. On IQ-OTH/NCCD what lies outside the cavity tells the class better than the lungs do (docs/audit.md): the table,
the field of view, the grey of the air, fat and bone as one scanner or another renders them. No model ever sees it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lungapp.anatomy import Anatomy
from lungapp.registry import ModelSpec


@dataclass(frozen=True)
class Frame:
    """Where the crop of a slice lies, and where it was put in the model's square.

    ``top``, ``left``, ``rows``, ``columns`` are slice pixels; ``at_row``, ``at_column``, ``height``, ``width`` are
    pixels of the (``size``, ``size``) input.
    """

    top: int
    left: int
    rows: int
    columns: int
    at_row: int
    at_column: int
    height: int
    width: int
    size: int

    def to_slice(self, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Bring a map of the input square, any (h, w) float32, back onto the slice; 0 outside the crop.

        Returns
        -------
        ``shape`` float32, bilinear.
        """
        # Coarse feature maps are sampled straight from the slice's grid: one interpolation, not two.
        rows, columns = values.shape
        y = (np.arange(self.rows, dtype=np.float32) + 0.5) * (self.height / self.rows) + self.at_row
        x = (np.arange(self.columns, dtype=np.float32) + 0.5) * (self.width / self.columns) + self.at_column
        grid_x, grid_y = np.meshgrid(x * (columns / self.size) - 0.5, y * (rows / self.size) - 0.5)
        crop = cv2.remap(values.astype(np.float32), grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        whole = np.zeros(shape, np.float32)
        whole[self.top : self.top + self.rows, self.left : self.left + self.columns] = crop
        return whole

    def to_square(self, values: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
        """Bring what lies on the slice, (rows, columns) float32, onto the input square, 0 around it.

        Values outside ``where`` (rows, columns) bool count as 0.
        """
        part = np.s_[self.top : self.top + self.rows, self.left : self.left + self.columns]
        crop = values[part] if where is None else cv2.copyTo(values[part], where[part].view(np.uint8))
        # INTER_AREA averages when shrinking, so nothing aliases; it is nearest-neighbour when enlarging: not then.
        method = cv2.INTER_AREA if self.height <= self.rows else cv2.INTER_LINEAR
        square = np.zeros((self.size, self.size), np.float32)
        square[self.at_row : self.at_row + self.height, self.at_column : self.at_column + self.width] = cv2.resize(
            crop, (self.width, self.height), interpolation=method
        )
        return square


def to_input(anatomy: Anatomy, spec: ModelSpec) -> np.ndarray:
    """The picture ``spec``'s model gets: (size, size, 1) float32 in [0, 1], the thoracic cavity, 0 elsewhere."""
    return frame_of(anatomy, spec).to_square(anatomy.grey, anatomy.cavity)[..., None]


def frame_of(anatomy: Anatomy, spec: ModelSpec) -> Frame:
    """Where `to_input` takes its crop, and where it puts it."""
    left, top, columns, rows = cv2.boundingRect(anatomy.cavity.view(np.uint8))
    scale = spec.size / max(rows, columns)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    size = spec.size
    return Frame(top, left, rows, columns, (size - height) // 2, (size - width) // 2, height, width, size)
