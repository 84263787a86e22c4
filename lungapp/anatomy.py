"""Where body, lungs and thoracic cavity are in an axial chest slice: thresholds and connected regions, no learning.

`Anatomy` is made once of a slice and handed down: gate, model input, maps and page read it. The functions take
``grey``: (rows, columns) float32 in [0, 1], on the scale of `lungapp.greys` (air at 0.17, lung 0.2 to 0.4, fat 0.77,
muscle 0.86).
"""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np

from lungapp.greys import shrink, to_model_greys
from lungapp.slices import Slice

# On pictures this small OpenCV's own threads end no sooner and take half as much processor time again.
cv2.setNumThreads(1)

BODY_LEVEL = 0.5
"""Half-way between lung and fat, -500 HU: skin is found to within a pixel, and air, lung and table foam lie below."""

MIN_LUNG_SHARE = 0.004
"""Smallest region taken for a lung, as a share of the body's area; the trachea is smaller (about 0.2 %)."""

PLEURA = 0.012
"""What is added around the hull of the lungs, as a share of the longest side: the pleura, 3 pixels in 256."""

WALL = 5
"""Percentile of the lungs' outline by its depth below the skin: no deeper than that is the wall of the chest."""


class Anatomy:
    """A slice on one scale of greys, and where body, lungs and cavity are in it; each worked out when first asked for.

    All arrays are read-only; masks are bool. ``grey`` is (rows, columns) float32 in [0, 1] by
    `lungapp.greys.to_model_greys`, ``small`` the same on at most `lungapp.greys.SMALL_SIDE` pixels a side, averaged.
    Shapes are looked for in ``small`` (``small_…``) and enlarged to the slice's own pixels.
    """

    def __init__(self, item: Slice) -> None:
        self.slice = item
        self.grey = _fixed(to_model_greys(item))
        self.small = _fixed(shrink(self.grey))

    @property
    def rows(self) -> int:
        return self.slice.rows

    @property
    def columns(self) -> int:
        return self.slice.columns

    @cached_property
    def small_body(self) -> np.ndarray:
        """`body_mask` of ``small``."""
        return _fixed(body_mask(self.small))

    @cached_property
    def small_lungs(self) -> np.ndarray:
        """`lung_mask` of ``small``."""
        return _fixed(lung_mask(self.small, self.small_body))

    @cached_property
    def hull(self) -> np.ndarray:
        """`cavity_hull` in the slice's own pixels: (points, 2) float32, columns and rows; empty without lungs."""
        points = cavity_hull(self.small_lungs, self.small_body)
        scale = np.array([self.columns, self.rows], np.float32) / np.array(self.small.shape[::-1], np.float32)
        return _fixed((points + np.float32(0.5)) * scale - np.float32(0.5))

    @cached_property
    def body(self) -> np.ndarray:
        """``small_body`` on the slice's own pixels."""
        return _fixed(_enlarged(self.small_body, self.grey.shape))

    @cached_property
    def lungs(self) -> np.ndarray:
        """``small_lungs`` on the slice's own pixels."""
        return _fixed(_enlarged(self.small_lungs, self.grey.shape))

    @cached_property
    def cavity(self) -> np.ndarray:
        """The thoracic cavity, on the slice's own pixels: all that a model sees. Without lungs it is the body, and
        without a body, the gate's business, the whole picture.
        """
        if not len(self.hull):
            return self.body if self.small_body.any() else _fixed(np.ones(self.grey.shape, bool))
        mask = np.zeros(self.grey.shape, np.uint8)
        cv2.fillConvexPoly(mask, np.rint(self.hull * 2**SHIFT).astype(np.int32), 1, shift=SHIFT)
        return _fixed(mask.view(bool) & self.body)


SHIFT = 4
"""Bits of a pixel's fraction that OpenCV draws with."""


def cavity_hull(lungs: np.ndarray, body: np.ndarray) -> np.ndarray:
    """The convex hull of both lungs with the pleura, (points, 2) float32, columns and rows; empty without lungs.

    A lung that is dense, by a mass, an effusion or a collapse, is not found as lung. So each lung is also mirrored
    about the middle of the body, as far as it then lies no nearer to the skin than lungs do: the cavity is nearly
    symmetrical, and what one side has lost the other shows.

    Parameters
    ----------
    lungs, body : (rows, columns) bool.
    """
    if not lungs.any():
        return np.zeros((0, 2), np.float32)
    rows = np.flatnonzero(lungs.any(axis=1))
    columns = np.flatnonzero(body[rows[0] : rows[-1] + 1].any(axis=0))
    source = columns[0] + columns[-1] - np.arange(lungs.shape[1])
    inside = (source >= 0) & (source < lungs.shape[1])
    mirrored = np.zeros_like(lungs)
    mirrored[:, inside] = lungs[:, source[inside]]
    depth = cv2.distanceTransform(np.pad(body.view(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    outline = lungs & (cv2.erode(lungs.view(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    both = lungs | (mirrored & (depth >= np.percentile(depth[outline], WALL)))
    pleura = cv2.dilate(both.view(np.uint8), _disc(2 * PLEURA * max(lungs.shape) + 1))
    return cv2.convexHull(cv2.findNonZero(pleura))[:, 0].astype(np.float32)


def body_mask(grey: np.ndarray) -> np.ndarray:
    """The patient's outline, filled: lungs and airways inside it belong to it, table and clothing do not.

    Returns
    -------
    (rows, columns) bool; all False where nothing is denser than `BODY_LEVEL`.
    """
    side = max(grey.shape)
    kernel = _disc(side / 64)
    # Only near what is dense can blurring leave anything dense; a little lower, since blurring rounds.
    near = around(grey > BODY_LEVEL - 1e-4, 2 * _reach(side))
    # Sharp-kernel noise reaches beyond the threshold; a blur of 2 pixels in 512 quiets it and moves no edge.
    dense = (cv2.GaussianBlur(grey[near], (0, 0), side / 256) > BODY_LEVEL).view(np.uint8)
    # Opening cuts the thin bridges to table, sheets and tubes.
    largest = _largest_region(cv2.morphologyEx(dense, cv2.MORPH_OPEN, kernel))
    closer = around(largest, 2 * _reach(side))
    body = np.zeros(grey.shape, bool)
    body[near][closer] = filled(cv2.morphologyEx(largest[closer], cv2.MORPH_CLOSE, kernel))
    return body


def lung_mask(grey: np.ndarray, body: np.ndarray | None = None) -> np.ndarray:
    """The air-filled parts of both lungs, with the vessels in them; the trachea is left out where it lies apart.

    Consolidated or collapsed lung is as dense as muscle and is not found this way.

    Returns
    -------
    (rows, columns) bool; all False where there are none.
    """
    body = body_mask(grey) if body is None else body
    lungs = np.zeros(grey.shape, bool)
    side = max(grey.shape)
    near = around(body, _reach(side))
    inside = body[near]
    airy = inside & (cv2.GaussianBlur(grey[near], (0, 0), side / 256) < BODY_LEVEL)
    labels, areas = regions(airy.view(np.uint8), connectivity=4)
    large = areas >= MIN_LUNG_SHARE * max(1, cv2.countNonZero(inside.view(np.uint8)))
    # Closing takes in the vessels, which are as bright as muscle.
    lungs[near] = (
        cv2.morphologyEx(large.take(labels).view(np.uint8), cv2.MORPH_CLOSE, _disc(side / 40)).view(bool) & inside
    )
    return lungs


def regions(mask: np.ndarray, connectivity: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Connected regions of ``mask`` (rows, columns) uint8: their labels (rows, columns) int32, and pixels a label.

    Label 0 is what is in no region; its pixels count as none. OpenCV's own statistics take four times as long.
    """
    _, labels = cv2.connectedComponents(mask, connectivity=connectivity)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return labels, areas


def around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The rows and columns of what ``mask`` (rows, columns) bool or uint8 holds, and ``margin`` pixels around them.

    What is worked out in a part of a picture is exactly what it would be in the whole one, at a part of the cost, as
    long as the margin takes in all that reaches.
    """
    left, top, columns, rows = cv2.boundingRect(mask.view(np.uint8))
    return (
        slice(max(0, top - margin), top + rows + margin),
        slice(max(0, left - margin), left + columns + margin),
    )


def _enlarged(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if mask.shape == shape:
        return mask
    return cv2.resize(mask.astype(np.float32), shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5


def _fixed(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


def _disc(diameter: float) -> np.ndarray:
    width = max(3, round(diameter)) | 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))


def _reach(side: int) -> int:
    """Pixels over which the blur and the discs above reach, in a picture of longest side ``side``."""
    return side // 64 + 2


def _largest_region(mask: np.ndarray) -> np.ndarray:
    # Of a chest, the body's front edge in the middle lies in it: one region then, not all, needs to be followed.
    column = mask.shape[1] // 2
    row = int(np.argmax(mask[:, column]))
    if mask[row, column]:
        flooded = mask.copy()
        area = cv2.floodFill(flooded, None, (column, row), 2, flags=4)[0]
        if 2 * area > cv2.countNonZero(mask):
            return (flooded == 2).view(np.uint8)
    labels, areas = regions(mask, connectivity=4)
    if not areas.any():
        return np.zeros_like(mask)
    return (labels == int(np.argmax(areas))).view(np.uint8)


def filled(mask: np.ndarray) -> np.ndarray:
    """``mask`` (rows, columns) uint8 of 0 and 1, with its holes filled, as bool."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, 1, cv2.FILLED).view(bool)
