"""Text in a picture: rows of small bright glyphs of one height, as scanners and viewers burn them in.

Such text may name the patient, and the models were not trained on it. Only rows are looked for: a lone marker, a ruler
or an arrow is not told from bone, tubes and the table.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import find_objects

from lungapp.anatomy import regions

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
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    around = cv2.resize(body.astype(np.uint8), grey.shape[::-1], interpolation=cv2.INTER_NEAREST)
    width = 2 * round(0.01 * max(grey.shape)) + 1
    around = cv2.dilate(around, np.ones((width, width), np.uint8))
    bright = ((grey > LEVEL) & (around == 0)).astype(np.uint8)
    labels, areas = regions(bright)
    boxes = find_objects(labels)
    if not boxes:
        return 0
    top, bottom, left, right = np.array([(y.start, y.stop, x.start, x.stop) for y, x in boxes]).T
    width, height, area = right - left, bottom - top, areas[1:]
    glyphs = (
        (height >= HEIGHT[0]) & (height <= HEIGHT[1]) & (width <= 1.6 * height) & (area <= 0.8 * width * height + 4)
    )
    return _rows(left[glyphs], top[glyphs], width[glyphs], height[glyphs])


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
