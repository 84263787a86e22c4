"""Slice → model input. The only resize, window and crop of model input in the repository; training uses it too.

A slice is windowed, everything outside the body is set to 0, the picture is cropped to the body and letterboxed into
a square. That removes what could tell the class on IQ-OTH/NCCD without showing a lesion: the aspect ratio of a
screenshot, black margins, the table, the position and size of the patient in the picture, and the grey of the air
around the body (38 in most slices, 43 in many malignant ones).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lungapp.anatomy import body_mask
from lungapp.registry import ModelSpec
from lungapp.slices import Slice, Window

MODEL_WINDOW = Window(-500, 1500)
"""The window of the dataset's pictures, in HU, through which HU slices enter the models' grey domain.

Estimated from the modes of the dataset's grey levels: malignant slices have air at 43, fat at 195 and muscle at 220 of
255, where this window puts -1000, -100 and +40 HU at 42.5, 195.5 and 219.3; normal and benign slices have air at 38,
which is -1024 HU, the value scanners store outside the reconstructed circle.
"""


@dataclass(frozen=True)
class Frame:
    """Where the body crop of a slice lies, and where it was put in the model's square.

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

    def to_square(self, values: np.ndarray) -> np.ndarray:
        """Bring what lies on the slice, (rows, columns) float32, onto the input square, 0 around it."""
        crop = values[self.top : self.top + self.rows, self.left : self.left + self.columns]
        # INTER_AREA averages when shrinking, so nothing aliases; it is nearest-neighbour when enlarging: not then.
        method = cv2.INTER_AREA if self.height <= self.rows else cv2.INTER_LINEAR
        square = np.zeros((self.size, self.size), np.float32)
        square[self.at_row : self.at_row + self.height, self.at_column : self.at_column + self.width] = cv2.resize(
            crop, (self.width, self.height), interpolation=method
        )
        return square


def to_input(item: Slice, spec: ModelSpec) -> np.ndarray:
    """The picture ``spec``'s model gets: (size, size, 1) float32 in [0, 1], 0 outside the body."""
    return prepare(item, spec)[0]


def prepare(item: Slice, spec: ModelSpec) -> tuple[np.ndarray, Frame]:
    """`to_input` together with the `Frame` that brings maps back onto the slice."""
    grey = item.windowed(MODEL_WINDOW)
    body = body_mask(grey)
    if not body.any():  # nothing like a body: the gate's business; the whole picture is as good as any crop
        body = np.ones_like(body)
    frame = _frame(body, spec.size)
    return frame.to_square(np.where(body, grey, np.float32(0)))[..., None], frame


def _frame(body: np.ndarray, size: int) -> Frame:
    left, top, columns, rows = cv2.boundingRect(body.astype(np.uint8))
    scale = size / max(rows, columns)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    return Frame(top, left, rows, columns, (size - height) // 2, (size - width) // 2, height, width, size)
