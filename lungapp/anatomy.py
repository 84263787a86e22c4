"""Where the body and the lungs are in an axial chest slice: plain thresholds and connected regions, no learning.

All functions take ``grey``: (rows, columns) float32 in [0, 1], a slice as windowed by the models' window
(`lungapp.preprocessing.MODEL_WINDOW`: air at 0.15, lung 0.2 to 0.4, fat 0.77, muscle 0.86).
"""

from __future__ import annotations

import cv2
import numpy as np

# On pictures this small OpenCV's own threads end no sooner and take half as much processor time again.
cv2.setNumThreads(1)

BODY_LEVEL = 0.5
"""Half-way between lung and fat, -500 HU: skin is found to within a pixel, and air, lung and table foam lie below."""

MAX_SIDE = 1024
"""Longest side on which shapes are looked for: larger pictures are shrunk to it, since filters on them take seconds."""

MIN_LUNG_SHARE = 0.004
"""Smallest region taken for a lung, as a share of the body's area; the trachea is smaller (about 0.2 %)."""


def body_mask(grey: np.ndarray) -> np.ndarray:
    """The patient's outline, filled: lungs and airways inside it belong to it, table and clothing do not.

    Returns
    -------
    (rows, columns) bool; all False where nothing is denser than `BODY_LEVEL`.
    """
    if max(grey.shape) > MAX_SIDE:
        return _enlarged(body_mask(_shrunk(grey)), grey.shape)
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
    if max(grey.shape) > MAX_SIDE:
        small = _shrunk(grey)
        return _enlarged(lung_mask(small, _shrunk(body.astype(np.float32)) > 0.5), grey.shape)
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


def _shrunk(grey: np.ndarray) -> np.ndarray:
    scale = MAX_SIDE / max(grey.shape)
    rows, columns = (max(1, round(length * scale)) for length in grey.shape)
    return cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA)


def _enlarged(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)


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
