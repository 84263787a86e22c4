"""What the gate measures of a slice: its body, its lungs, its greys. Plain image analysis, no learning.

Everything is measured on a copy of at most `SIDE` pixels, whose greys are those of the models' window
(`lungapp.preprocessing.MODEL_WINDOW`), so that a slice of any size costs the same few milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lungapp.anatomy import BODY_LEVEL, body_mask, lung_mask, regions

SIDE = 256
"""Longest side in pixels on which is measured: 1.5 mm in a chest of 400 mm."""

BRIGHT = 0.97
"""Grey from which on something is taken for bone, or for what was drawn into a picture: 205 HU."""

TISSUE = (0.68, 0.97)
"""Greys of fat, muscle and blood, -230 to 205 HU in the models' window."""

GAS = 0.19
"""Grey below which there is plain gas, -965 HU: bowel, not lung."""

BLACK = 0.03
"""Grey up to which something is black."""

NONE = float("nan")


@dataclass(frozen=True, eq=False)
class Measures:
    """Numbers of one picture; shares in [0, 1], greys in [0, 1], ``nan`` where what is measured is not there.

    Attributes
    ----------
    spread : standard deviation of all greys.
    body : share of the picture inside the body's outline.
    border : share of the picture's border that is body.
    aspect : width of the body by its depth.
    solidity : area of the body by that of its convex hull.
    flat_top, flat_bottom : share of the body's width over which its outline runs straight along its top or bottom:
        where a slice of another plane, or a crop, cuts through it.
    air : median grey outside the body, without what is black: nothing was reconstructed there.
    clutter : what is dense outside the body, by the body's area: a table, text, other pictures.
    second : area of the largest dense thing outside the body, by the body's.
    lungs : share of the body that is lung.
    back : share of the lungs in the back half of the body.
    gas : share of the lungs' pixels as dark as plain air, below `GAS`.
    wall : thickness of the wall between lungs and the outside, as its 5th percentile by the body's width.
    lung_grey, tissue_grey : medians.
    lung_spread : distance between the quartiles of the lungs' greys.
    tissue_spread : the same of the rest of the body.
    tissue : share of the rest of the body within `TISSUE`.
    black, white : share of lung at 0 and of other tissue at 1.
    edge : median height of the grey step across the lungs' outline, over 4 pixels.
    bone : share of the rest of the body brighter than `BRIGHT`.
    """

    spread: float
    body: float
    border: float = NONE
    aspect: float = NONE
    solidity: float = NONE
    flat_top: float = NONE
    flat_bottom: float = NONE
    air: float = NONE
    clutter: float = NONE
    second: float = NONE
    lungs: float = NONE
    back: float = NONE
    gas: float = NONE
    wall: float = NONE
    lung_grey: float = NONE
    tissue_grey: float = NONE
    lung_spread: float = NONE
    tissue_spread: float = NONE
    tissue: float = NONE
    black: float = NONE
    white: float = NONE
    edge: float = NONE
    bone: float = NONE


def shrink(grey: np.ndarray) -> np.ndarray:
    """``grey`` (rows, columns) float32 in [0, 1] on at most `SIDE` pixels a side, averaged."""
    scale = SIDE / max(grey.shape)
    if scale >= 1:
        return grey
    rows, columns = (max(1, round(length * scale)) for length in grey.shape)
    return cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA)


def measure(grey: np.ndarray) -> Measures:
    """`Measures` of a picture (rows, columns) float32 in [0, 1], as `shrink` makes it."""
    body = body_mask(grey)
    first = {"spread": float(grey.std()), "body": float(body.mean())}
    if not body.any():
        return Measures(**first)
    lungs = lung_mask(grey, body)
    rest = body & ~lungs
    return Measures(**first, **_of_body(grey, body), **_of_lungs(grey, body, lungs), **_of_tissue(grey, rest))


def _of_body(grey: np.ndarray, body: np.ndarray) -> dict[str, float]:
    area = float(body.sum())
    left, top, width, depth = cv2.boundingRect(body.astype(np.uint8))
    border = np.concatenate([body[0], body[-1], body[1:-1, 0], body[1:-1, -1]])
    outlines, _ = cv2.findContours(body.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(outlines)))
    crop = body[top : top + depth, left : left + width]
    outside = (grey > BODY_LEVEL) & ~cv2.dilate(body.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    second = float(regions(outside.astype(np.uint8))[1].max())
    return {
        "border": float(border.mean()),
        "aspect": width / depth,
        "solidity": area / max(float(hull), area),
        "flat_top": float(crop[:2].any(axis=0).mean()),
        "flat_bottom": float(crop[-2:].any(axis=0).mean()),
        "air": _air(grey[~body]),
        "clutter": float(outside.sum()) / area,
        "second": second / area,
    }


def _air(outside: np.ndarray) -> float:
    shown = outside[outside > BLACK]
    greys = shown if shown.size >= 0.1 * outside.size else outside
    return float(np.median(greys)) if greys.size else NONE


def _of_lungs(grey: np.ndarray, body: np.ndarray, lungs: np.ndarray) -> dict[str, float]:
    area = float(body.sum())
    if not lungs.any():
        return {"lungs": 0.0}
    _, top, width, height = cv2.boundingRect(body.astype(np.uint8))
    outline = lungs & ~cv2.erode(lungs.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    depth = cv2.distanceTransform(np.pad(body, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    inner, outer = cv2.erode(grey, np.ones((5, 5))), cv2.dilate(grey, np.ones((5, 5)))
    quartiles = np.percentile(grey[lungs], (25, 50, 75))
    return {
        "lungs": float(lungs.sum()) / area,
        "back": float(lungs[top + height // 2 :].sum()) / float(lungs.sum()),
        "gas": float(np.mean(grey[lungs] < GAS)),
        "wall": float(np.percentile(depth[outline], 5)) / width,
        "lung_grey": float(quartiles[1]),
        "lung_spread": float(quartiles[2] - quartiles[0]),
        "black": float(np.mean(grey[lungs] <= 0)),
        "edge": float(np.median((outer - inner)[outline])),
    }


def _of_tissue(grey: np.ndarray, rest: np.ndarray) -> dict[str, float]:
    if not rest.any():
        return {}
    quartiles = np.percentile(grey[rest], (25, 50, 75))
    return {
        "tissue_grey": float(quartiles[1]),
        "tissue_spread": float(quartiles[2] - quartiles[0]),
        "tissue": float(np.mean((grey[rest] > TISSUE[0]) & (grey[rest] < TISSUE[1]))),
        "white": float(np.mean(grey[rest] >= 1)),
        "bone": float(np.mean(grey[rest] > BRIGHT)),
    }
