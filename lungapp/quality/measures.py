"""What the gate measures of a slice: its body, its lungs, its greys. Plain image analysis, no learning.

Everything is measured on a copy of at most `SIDE` pixels, whose greys are those of the models' window
(`lungapp.preprocessing.MODEL_WINDOW`), so that a slice of any size costs the same millisecond or two. Medians,
quartiles and shares are read off histograms of `LEVELS` greys, a third of a Hounsfield unit each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from lungapp.anatomy import BODY_LEVEL, lung_mask, regions

SIDE = 256
"""Longest side in pixels on which is measured: 1.5 mm in a chest of 400 mm."""

LEVELS = 4096

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


def shrink_mask(mask: np.ndarray) -> np.ndarray:
    """``mask`` (rows, columns) bool on as many pixels as `shrink` leaves; set where most of what a pixel covers is."""
    return mask if max(mask.shape) <= SIDE else shrink(mask.astype(np.float32)) > 0.5


def measure(grey: np.ndarray, body: np.ndarray) -> Measures:
    """`Measures` of a picture (rows, columns) float32 in [0, 1], as `shrink` makes it, whose body is (rows, columns)
    bool.
    """
    first = {"spread": float(cv2.meanStdDev(grey)[1][0, 0]), "body": float(body.mean())}
    if not body.any():
        return Measures(**first)
    lungs = lung_mask(grey, body)
    levels = np.rint(grey * (LEVELS - 1)).astype(np.uint16)
    return Measures(
        **first,
        **_of_body(grey, body, levels),
        **_of_lungs(grey, body, lungs, levels),
        **_of_tissue(_Greys(levels[body & ~lungs])),
    )


class _Greys:
    """The greys of some pixels, (n,) uint16 below `LEVELS`, as a histogram."""

    def __init__(self, levels: np.ndarray) -> None:
        self.total = len(levels)
        self._below = np.concatenate([[0], np.cumsum(np.bincount(levels, minlength=LEVELS))])

    def quantile(self, share: float) -> float:
        """The grey in [0, 1] that ``share`` of the pixels do not exceed; nan without pixels."""
        if not self.total:
            return NONE
        return (int(np.searchsorted(self._below, max(1.0, share * self.total))) - 1) / (LEVELS - 1)

    def below(self, grey: float) -> float:
        """Share of pixels darker than ``grey``; nan without pixels."""
        if not self.total:
            return NONE
        return float(self._below[min(LEVELS, max(0, math.ceil(grey * (LEVELS - 1))))]) / self.total


def _of_body(grey: np.ndarray, body: np.ndarray, levels: np.ndarray) -> dict[str, float]:
    area, mask = float(body.sum()), body.astype(np.uint8)
    left, top, width, depth = cv2.boundingRect(mask)
    border = np.concatenate([body[0], body[-1], body[1:-1, 0], body[1:-1, -1]])
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(outlines)))
    crop = body[top : top + depth, left : left + width]
    outside = (grey > BODY_LEVEL) & (cv2.dilate(mask, np.ones((3, 3), np.uint8)) == 0)
    clutter = cv2.countNonZero(outside.view(np.uint8))
    second = float(regions(outside.view(np.uint8))[1].max()) if clutter else 0.0
    return {
        "border": float(border.mean()),
        "aspect": width / depth,
        "solidity": area / max(float(hull), area),
        "flat_top": float(crop[:2].any(axis=0).mean()),
        "flat_bottom": float(crop[-2:].any(axis=0).mean()),
        "air": _air(levels[~body]),
        "clutter": clutter / area,
        "second": second / area,
    }


def _air(outside: np.ndarray) -> float:
    shown = outside[outside > BLACK * (LEVELS - 1)]
    return _Greys(shown if shown.size >= 0.1 * outside.size else outside).quantile(0.5)


def _of_lungs(grey: np.ndarray, body: np.ndarray, lungs: np.ndarray, levels: np.ndarray) -> dict[str, float]:
    area, pixels = float(body.sum()), float(lungs.sum())
    if not pixels:
        return {"lungs": 0.0}
    _, top, width, height = cv2.boundingRect(body.astype(np.uint8))
    outline = lungs & (cv2.erode(lungs.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    depth = cv2.distanceTransform(np.pad(body.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    inner, outer = cv2.erode(grey, np.ones((5, 5))), cv2.dilate(grey, np.ones((5, 5)))
    greys = _Greys(levels[lungs])
    return {
        "lungs": pixels / area,
        "back": float(lungs[top + height // 2 :].sum()) / pixels,
        "gas": greys.below(GAS),
        "wall": float(np.percentile(depth[outline], 5)) / width,
        "lung_grey": greys.quantile(0.5),
        "lung_spread": greys.quantile(0.75) - greys.quantile(0.25),
        "black": greys.below(0.5 / LEVELS),
        "edge": float(np.median(outer[outline] - inner[outline])),
    }


def _of_tissue(greys: _Greys) -> dict[str, float]:
    if not greys.total:
        return {}
    return {
        "tissue_grey": greys.quantile(0.5),
        "tissue_spread": greys.quantile(0.75) - greys.quantile(0.25),
        "tissue": greys.below(TISSUE[1]) - greys.below(TISSUE[0]),
        "white": 1 - greys.below(1),
        "bone": 1 - greys.below(BRIGHT),
    }
