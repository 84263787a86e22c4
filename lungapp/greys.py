"""One scale of greys for every slice, whatever window its picture was made in: air at `AIR`, soft tissue at `TISSUE`.

Hounsfield units are on it once they are seen through `MODEL_WINDOW`. A picture has lost its unit; what is left of the
scale is in the picture itself, which shows air and soft tissue, and these two are moved to where HU would put them.
"""

from __future__ import annotations

import cv2
import numpy as np

from lungapp.slices import Slice, Window

MODEL_WINDOW = Window(-500, 1500)
"""The window of the dataset's pictures, in HU, through which HU slices enter the models' grey domain.

Estimated from the modes of the dataset's grey levels: malignant slices have air at 43, fat at 195 and muscle at 220 of
255, where this window puts -1000, -100 and +40 HU at 42.5, 195.5 and 219.3; normal and benign slices have air at 38,
which is -1024 HU, the value scanners store outside the reconstructed circle.
"""

AIR, TISSUE = 0.167, 0.82
"""Greys of air and of the median of soft tissue in the models' window: -1000 and -20 HU."""

SMALL_SIDE = 256
"""Longest side of a small copy, in pixels: 1.5 mm in a chest of 400 mm."""

LEVELS = 256
BLACK = 8
"""Of `LEVELS`: up to here a picture is black, with the noise of a JPEG."""

PADDING = 0.01
"""Share of a picture from which on black at its border may be padding around the scanner's circle."""

ERASED = 0.03
"""Share of a picture from which on black inside of what is brighter is lungs that a window has erased; a trachea and a
stomach's gas are less."""

NEARLY = 0.2
"""Of erased lungs' black: so much is nearly black at their edges. Lungs and air that are just above black are more."""

FATTY, DENSE = (0.1, 0.70), (0.75, 0.87)
"""Shares of what is not black in a picture of erased lungs, and their greys: fat at -200 HU and less, muscle at 55."""

SEPARATE = 16
"""Of `LEVELS`: air and tissue nearer to each other than this are one grey."""


def to_model_greys(item: Slice) -> np.ndarray:
    """(rows, columns) float32 in [0, 1]: HU through `MODEL_WINDOW`; grey levels moved so that air and tissue lie there.

    A picture in which air and tissue cannot be told apart is returned as it is.
    """
    if item.unit == "HU":
        return item.windowed(MODEL_WINDOW)
    grey = item.windowed()
    small = shrink(grey)
    if lungs_erased(small):
        return _without_lungs(grey, small)
    if (ends := air_and_tissue(small)) is None:
        return grey
    air, tissue = ends
    gain = np.float32((TISSUE - AIR) / (tissue - air))
    return np.clip((grey - np.float32(air)) * gain + np.float32(AIR), 0, 1)


def lungs_erased(small: np.ndarray) -> bool:
    """Whether a window of soft tissue has made the lungs in ``small`` (rows, columns) float32 in [0, 1] black."""
    levels = _levels(small)
    black = (levels <= BLACK).view(np.uint8)
    if cv2.countNonZero(black) <= ERASED * black.size:
        return False
    inside = cv2.countNonZero(black - _border_black(black))
    nearly = cv2.countNonZero(cv2.inRange(levels, BLACK + 1, 2 * BLACK))
    return inside > ERASED * black.size and nearly < NEARLY * inside


def _without_lungs(grey: np.ndarray, small: np.ndarray) -> np.ndarray:
    """Black as air, which is all that is known of it, and fat and muscle where they lie in the models' window."""
    shares, greys = zip(FATTY, DENSE, strict=True)
    fat, dense = np.quantile(small[small > BLACK / (LEVELS - 1)], shares)
    gain = (greys[1] - greys[0]) / max(dense - fat, 1 / LEVELS)
    tissue = np.clip((grey - np.float32(fat)) * np.float32(gain) + np.float32(greys[0]), 0, 1)
    return np.where(grey <= BLACK / (LEVELS - 1), np.float32(AIR), tissue)


def air_and_tissue(small: np.ndarray) -> tuple[float, float] | None:
    """The greys of air and of soft tissue in a picture (rows, columns) float32 in [0, 1]; None where it has one grey.

    A threshold between the two (Otsu 1979) parts the picture; air is the mode of what is darker, tissue the median of
    what is brighter. Black around the circle that a scanner reconstructs is neither.
    """
    levels = _levels(small)
    counted = np.ones_like(levels)
    padding = _border_black((levels <= BLACK).view(np.uint8))
    if cv2.countNonZero(padding) > PADDING * levels.size and _is_padding(levels, padding):
        counted -= padding
    counts = cv2.calcHist([levels], [0], counted, [LEVELS], [0, LEVELS]).ravel()
    threshold = _otsu(counts)
    dark, bright = counts[: threshold + 1], counts[threshold + 1 :]
    if not dark.any() or not bright.any():
        return None
    air = int(np.convolve(dark, np.ones(5), "same").argmax())
    tissue = threshold + 1 + int(np.searchsorted(np.cumsum(bright), bright.sum() / 2))
    return (air / (LEVELS - 1), tissue / (LEVELS - 1)) if tissue - air >= SEPARATE else None


def shrink(grey: np.ndarray, side: int = SMALL_SIDE) -> np.ndarray:
    """``grey`` (rows, columns) float32 in [0, 1] on at most ``side`` pixels a side, averaged."""
    scale = side / max(grey.shape)
    if scale >= 1:
        return grey
    rows, columns = (max(1, round(length * scale)) for length in grey.shape)
    return cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA)


def _levels(grey: np.ndarray) -> np.ndarray:
    return cv2.convertScaleAbs(grey, alpha=LEVELS - 1)


def _border_black(black: np.ndarray) -> np.ndarray:
    """The part of ``black`` (rows, columns) uint8 that hangs together with the picture's border."""
    _, labels = cv2.connectedComponents(black, connectivity=4)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    at_border = np.zeros(int(labels.max()) + 1, np.uint8)
    at_border[border] = 1
    at_border[0] = 0
    return at_border[labels]


def _is_padding(levels: np.ndarray, black: np.ndarray) -> bool:
    """Whether air begins where the black ends: then the black is no air, but what was not reconstructed."""
    counts = cv2.calcHist([levels], [0], 1 - black, [LEVELS], [0, LEVELS]).ravel()
    rim = cv2.dilate(black, np.ones((7, 7), np.uint8)).view(bool) & (cv2.dilate(black, np.ones((3, 3), np.uint8)) == 0)
    return bool(rim.any()) and float(np.median(levels[rim])) <= _otsu(counts)


def _otsu(counts: np.ndarray) -> int:
    """The level that parts ``counts`` (levels,) into two classes that differ most (Otsu 1979)."""
    levels = np.arange(len(counts))
    below, sums = np.cumsum(counts, dtype=np.float64), np.cumsum(counts * levels, dtype=np.float64)
    above = below[-1] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        between = (sums[-1] * below / below[-1] - sums) ** 2 / (below * above)
    return int(np.nan_to_num(between, posinf=0).argmax())
