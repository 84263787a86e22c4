"""Text in a picture: rows of small bright glyphs of one height, as scanners and viewers burn them in.

Such text may name the patient, and the models were not trained on it. Only rows are looked for: a lone marker, a ruler
or an arrow is not told from bone, tubes and the table.
"""

from __future__ import annotations

import cv2
import numpy as np

MAX_SIDE = 1024
LEVEL = 0.75
"""Grey from which on something may be a glyph: text is drawn near white."""
HEIGHT = (7, 40)
"""Pixels of a glyph's height; smaller ones can't be read."""
ROW = 5
"""So many glyphs make a row."""


def rows_of_text(grey: np.ndarray, body: np.ndarray) -> int:
    """How many rows of glyphs are outside ``body`` (rows, columns) bool in ``grey`` of the same shape, in [0, 1]."""
    scale = min(1.0, MAX_SIDE / max(grey.shape))
    around: np.ndarray = body.view(np.uint8)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        around = cv2.resize(around, grey.shape[::-1], interpolation=cv2.INTER_NEAREST)
    width = 2 * round(0.01 * max(grey.shape)) + 1
    around = cv2.dilate(around, np.ones((width, width), np.uint8))
    bright = ((grey > LEVEL) & (around == 0)).view(np.uint8)
    edges, nested = cv2.findContours(bright, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if nested is None:
        return 0
    boxes = [cv2.boundingRect(edge) for edge, (*_, hole_in) in zip(edges, nested[0], strict=True) if hole_in < 0]
    glyphs = np.array([box for box in boxes if _like_a_glyph(bright, *box)]).reshape(-1, 4)
    return _rows(*glyphs.T) if len(glyphs) >= ROW else 0


def _like_a_glyph(bright: np.ndarray, left: int, top: int, width: int, height: int) -> bool:
    if not (HEIGHT[0] <= height <= HEIGHT[1] and width <= 1.6 * height):
        return False
    return cv2.countNonZero(bright[top : top + height, left : left + width]) <= 0.8 * width * height + 4


def _rows(left: np.ndarray, top: np.ndarray, width: np.ndarray, height: np.ndarray) -> int:
    """Chains of neighbours whose feet stand on one line, at most two heights apart; each glyph is in one chain."""
    feet = top + height
    order = np.argsort(left)
    unused, count = set(order.tolist()), 0
    for first in order.tolist():
        if first not in unused:
            continue
        chain, last = [first], first
        for other in order.tolist():
            gap = left[other] - (left[last] + width[last])
            near = other in unused and 0 <= gap <= 2 * height[first]
            if near and abs(feet[other] - feet[first]) <= 0.25 * height[first] and height[other] <= 1.8 * height[first]:
                chain.append(other)
                last = other
        if len(chain) >= ROW:
            count += 1
            unused -= set(chain)
    return count
