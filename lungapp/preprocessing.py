"""Slice → model input. The only resize, window and crop of model input in the repository; training uses it too.

A slice is windowed, everything outside the body is set to 0, the picture is cropped to the body and letterboxed into
a square. That removes what could tell the class on IQ-OTH/NCCD without showing a lesion: the aspect ratio of a
screenshot, black margins, the table, the position and size of the patient in the picture, and the grey of the air
around the body (38 in most slices, 43 in many malignant ones).
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from lungapp.anatomy import body_mask, lung_mask
from lungapp.registry import ModelSpec
from lungapp.slices import Slice, Window

MODEL_WINDOW = Window(-500, 1500)
"""The window of the dataset's pictures, in HU, through which HU slices enter the models' grey domain.

Estimated from the modes of the dataset's grey levels: malignant slices have air at 43, fat at 195 and muscle at 220 of
255, where this window puts -1000, -100 and +40 HU at 42.5, 195.5 and 219.3; normal and benign slices have air at 38,
which is -1024 HU, the value scanners store outside the reconstructed circle.
"""


SMALL_SIDE = 256
"""Longest side of the small copy, in pixels: 1.5 mm in a chest of 400 mm."""


class View:
    """A slice through the models' window, with what gate, model input, maps and thumbnail all ask of it, each once.

    All arrays are read-only. ``grey`` is (rows, columns) float32 in [0, 1], ``small`` the same on at most `SMALL_SIDE`
    pixels a side, averaged; the other attributes are the slice's.
    """

    def __init__(self, item: Slice) -> None:
        self.rows, self.columns, self.unit, self.info = item.rows, item.columns, item.unit, item.info
        self.grey = _fixed(item.windowed(MODEL_WINDOW))
        self.small = _fixed(shrink(self.grey))
        self._prepared: dict[int, tuple[np.ndarray, Frame]] = {}

    @cached_property
    def body(self) -> np.ndarray:
        """`lungapp.anatomy.body_mask` of the slice."""
        return _fixed(body_mask(self.grey))

    @cached_property
    def small_body(self) -> np.ndarray:
        """``body`` on the pixels of ``small``, bool."""
        return _fixed(cv2.resize(self.body.view(np.uint8), self.small.shape[::-1], interpolation=cv2.INTER_AREA) > 0)

    @cached_property
    def small_lungs(self) -> np.ndarray:
        """`lungapp.anatomy.lung_mask` of ``small``, whose outline nobody needs to the slice's own pixel."""
        return _fixed(lung_mask(self.small, self.small_body))

    @cached_property
    def lungs(self) -> np.ndarray:
        """``small_lungs`` on the slice's own pixels."""
        lungs = cv2.resize(self.small_lungs.view(np.uint8), self.grey.shape[::-1], interpolation=cv2.INTER_NEAREST)
        return _fixed(lungs.view(bool) & self.body)

    def prepare(self, size: int) -> tuple[np.ndarray, Frame]:
        """`prepare` for a model whose input is ``size`` pixels square."""
        if size not in self._prepared:
            # Where nothing is like a body, the gate's business, the whole picture is as good as any crop.
            body = self.body if self.body.any() else np.ones_like(self.body)
            frame = _frame(body, size)
            self._prepared[size] = _fixed(frame.to_square(self.grey, body)[..., None]), frame
        return self._prepared[size]


class _Kept:
    """A slice's view, for as long as the slice itself is there."""

    def __init__(self, item: Slice) -> None:
        self.view: View | None = View(item)
        self._item = weakref.ref(item, self._forget)

    def of(self, item: Slice) -> View | None:
        return self.view if self._item() is item else None  # a slice never changes

    def _forget(self, _: object) -> None:
        self.view = None


_last = threading.local()


def view(item: Slice | View) -> View:
    """The `View` of ``item``; each thread remembers its last one, since one slice is asked about several times."""
    if isinstance(item, View):
        return item
    kept: _Kept | None = getattr(_last, "kept", None)
    if known := kept and kept.of(item):
        return known
    _last.kept = kept = _Kept(item)
    assert kept.view is not None
    return kept.view


def shrink(grey: np.ndarray) -> np.ndarray:
    """``grey`` (rows, columns) float32 in [0, 1] on at most `SMALL_SIDE` pixels a side, averaged."""
    scale = SMALL_SIDE / max(grey.shape)
    if scale >= 1:
        return grey
    rows, columns = (max(1, round(length * scale)) for length in grey.shape)
    return cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA)


def _fixed(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


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


def to_input(item: Slice, spec: ModelSpec) -> np.ndarray:
    """The picture ``spec``'s model gets: (size, size, 1) float32 in [0, 1], 0 outside the body."""
    return prepare(item, spec)[0].copy()


def prepare(item: Slice | View, spec: ModelSpec) -> tuple[np.ndarray, Frame]:
    """`to_input`, read-only, together with the `Frame` that brings maps back onto the slice."""
    return view(item).prepare(spec.size)


def _frame(body: np.ndarray, size: int) -> Frame:
    left, top, columns, rows = cv2.boundingRect(body.view(np.uint8))
    scale = size / max(rows, columns)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    return Frame(top, left, rows, columns, (size - height) // 2, (size - width) // 2, height, width, size)
