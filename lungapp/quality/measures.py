"""What the gate measures of a slice: its body, its lungs, its greys. Plain image analysis, no learning.

Everything is measured on the small copy of `lungapp.anatomy.Anatomy`, whose greys are those of the models' window,
on 256 levels, so that a slice of any size costs about the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from lungapp.anatomy import BODY_LEVEL, Anatomy, around

LEVELS = 256

EVERY = 3
"""Of the pixels of an outline every so-manieth is enough to measure between two."""

EDGE = 2
"""Pixels to each side over which the step across the lungs' outline is measured."""

BRIGHT = 0.97
"""Grey from which on something is taken for bone, or for what was drawn into a picture: 205 HU."""

TISSUE = (0.68, 0.97)
"""Greys of fat, muscle and blood, -230 to 205 HU in the models' window."""

GAS = 0.19
"""Grey below which there is plain gas, -965 HU."""

BOWEL = 0.23
"""Grey below which there is gas with what a pixel takes in of the wall beside it, -905 HU: lungs are denser."""

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
    clutter : what is dense outside the body, by the body's area: a table, text, other pictures.
    lungs : share of the body that is lung.
    front_gas : share of the lungs that lies in the front half of the body and is darker than `BOWEL`.
    gas : share of the lungs' pixels as dark as plain air, below `GAS`.
    wall : thickness of the wall between lungs and the outside, as its 5th percentile by the body's width.
    lung_grey, tissue_grey : medians.
    lung_spread : distance between the quartiles of the lungs' greys.
    tissue_spread : the same of the rest of the body.
    tissue : share of the rest of the body within `TISSUE`.
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
    clutter: float = NONE
    lungs: float = NONE
    front_gas: float = NONE
    gas: float = NONE
    wall: float = NONE
    lung_grey: float = NONE
    tissue_grey: float = NONE
    lung_spread: float = NONE
    tissue_spread: float = NONE
    tissue: float = NONE
    edge: float = NONE
    bone: float = NONE


def measure(seen: Anatomy) -> Measures:
    """`Measures` of a slice, taken from its small copy."""
    body = seen.small_body
    grey = cv2.convertScaleAbs(seen.small, alpha=LEVELS - 1)
    every = _counts(grey)
    area = cv2.countNonZero(body.view(np.uint8))
    first = {"spread": _deviation(every), "body": area / body.size}
    if not area:
        return Measures(**first)
    outline = _of_outline(grey, body.view(np.uint8), area)
    lungs = seen.small_lungs
    near = around(body, EDGE)  # all that follows lies in the body
    grey, inside, lungs = grey[near], body[near].view(np.uint8), lungs[near].view(np.uint8)
    of_body, of_lungs = _counts(grey, inside), _counts(grey, lungs)
    return Measures(
        **first,
        **outline,
        **_of_lungs(grey, inside, lungs, of_lungs, area),
        **_of_tissue(of_body - of_lungs),
    )


def _of_outline(grey: np.ndarray, body: np.ndarray, area: int) -> dict[str, float]:
    left, top, width, depth = cv2.boundingRect(body)
    border = np.concatenate([body[0], body[-1], body[1:-1, 0], body[1:-1, -1]])
    hull = cv2.contourArea(cv2.convexHull(_edge_of(body)))
    crop = body[top : top + depth, left : left + width]
    dense = cv2.threshold(grey, _level(BODY_LEVEL) - 1, 1, cv2.THRESH_BINARY)[1]
    outside = dense.view(bool) & (cv2.dilate(body, np.ones((3, 3), np.uint8)) == 0)
    return {
        "border": float(border.mean()),
        "aspect": width / depth,
        "solidity": area / max(float(hull), area),
        "flat_top": float(crop[:2].any(axis=0).mean()),
        "flat_bottom": float(crop[-2:].any(axis=0).mean()),
        "clutter": cv2.countNonZero(outside.view(np.uint8)) / area,
    }


def _of_lungs(grey: np.ndarray, body: np.ndarray, lungs: np.ndarray, counts: np.ndarray, area: int) -> dict[str, float]:
    size = cv2.countNonZero(lungs)
    if not size:
        return {"lungs": 0.0}
    _, top, width, height = cv2.boundingRect(body)
    middle = top + height // 2
    outline = lungs.view(bool) & (cv2.erode(lungs, np.ones((3, 3), np.uint8)) == 0)
    square = np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8)
    steps = cv2.subtract(cv2.dilate(grey, square), cv2.erode(grey, square))
    lower, median, upper = _quantiles(counts, 0.25, 0.5, 0.75)
    return {
        "lungs": size / area,
        "front_gas": float(_counts(grey[:middle], lungs[:middle])[: _level(BOWEL)].sum()) / size,
        "gas": float(counts[: _level(GAS)].sum()) / size,
        "wall": _wall(body, lungs) / width,
        "lung_grey": median,
        "lung_spread": upper - lower,
        "edge": _quantiles(_counts(steps, outline.view(np.uint8)), 0.5)[0],
    }


def _wall(body: np.ndarray, lungs: np.ndarray) -> float:
    """The 5th percentile of the distances, in pixels, from the lungs' outlines to the nearest outside of the body."""
    outer, inner = (_edge_of(mask)[::EVERY].astype(np.float32) for mask in (body, lungs))
    squares = (inner**2).sum(axis=1)[:, None] + (outer**2).sum(axis=1) - 2 * inner @ outer.T
    nearest, place = squares.min(axis=1), len(inner) // 20
    return math.sqrt(max(0.0, float(np.partition(nearest, place)[place]))) + 1


def _edge_of(mask: np.ndarray) -> np.ndarray:
    """(points, 2) int: columns and rows of the pixels along the outer edges of ``mask`` uint8."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.concatenate(outlines)[:, 0]


def _of_tissue(counts: np.ndarray) -> dict[str, float]:
    size = float(counts.sum())
    if not size:
        return {}
    lower, median, upper = _quantiles(counts, 0.25, 0.5, 0.75)
    return {
        "tissue_grey": median,
        "tissue_spread": upper - lower,
        "tissue": float(counts[_level(TISSUE[0]) : _level(TISSUE[1])].sum()) / size,
        "bone": float(counts[_level(BRIGHT) :].sum()) / size,
    }


# Shares, medians and quartiles of hundreds of thousands of greys come from how often each of 256 levels occurs.


def _level(grey: float) -> int:
    """The first level that is not below ``grey``."""
    return math.ceil((LEVELS - 1) * grey)


def _counts(grey: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """(`LEVELS`,) float32: how often each level occurs in ``grey`` uint8, where ``mask`` uint8 is not 0."""
    return cv2.calcHist([grey], [0], mask, [LEVELS], [0, LEVELS]).ravel()


def _quantiles(counts: np.ndarray, *shares: float) -> list[float]:
    """The greys below which these ``shares``, in (0, 1], lie; a level's greys are taken for evenly spread."""
    below = np.cumsum(counts, dtype=np.float64)
    wanted = below[-1] * np.array(shares)
    at = np.searchsorted(below, wanted)
    greys = (at + 0.5 - (below[at] - wanted) / counts[at]) / (LEVELS - 1)
    return [min(1.0, max(0.0, grey)) for grey in greys.tolist()]


def _deviation(counts: np.ndarray) -> float:
    levels = np.arange(LEVELS, dtype=np.float64)
    mean, square = np.average([levels, levels**2], axis=1, weights=counts)
    return math.sqrt(max(0.0, square - mean**2)) / (LEVELS - 1)
