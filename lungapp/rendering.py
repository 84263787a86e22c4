"""Pictures of a slice and of a model's attention, as plain arrays: rows first, uint8, channels last.

Nothing here knows about pages or files, and nothing writes to the arrays it is given.
"""

from __future__ import annotations

import cv2
import matplotlib
import numpy as np

from lungapp.preprocessing import MODEL_WINDOW
from lungapp.slices import Slice, Window

COLOUR_MAP = "inferno"
"""Perceptually uniform and readable under the common colour vision deficiencies (van der Walt and Smith, 2015)."""

DEFAULT_OPACITY = 0.6


def render_grey(item: Slice, window: Window | None = None) -> np.ndarray:
    """The slice as a picture.

    Parameters
    ----------
    item : the slice; Hounsfield units go through ``window``, grey levels are only scaled to their white.
    window : in HU; by default the window the models see, so that the picture shows what was scored.

    Returns
    -------
    (rows, columns, 3) uint8 RGB with equal channels.
    """
    grey = np.rint(item.windowed(window or MODEL_WINDOW) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def render_heat(map_values: np.ndarray) -> np.ndarray:
    """An activation map as a layer to lay over the slice.

    Parameters
    ----------
    map_values : (rows, columns) float in [0, 1]; values outside are clipped.

    Returns
    -------
    (rows, columns, 4) uint8 RGBA, not premultiplied. Alpha grows in step with the value, so that anatomy without
    attention stays as it was, and a blank map is wholly transparent.
    """
    if map_values.ndim != 2:
        raise ValueError(f"Expected a map of shape (rows, columns). Received: {map_values.shape}")
    values = np.clip(map_values, 0.0, 1.0)
    heat = matplotlib.colormaps[COLOUR_MAP](values, bytes=True)
    heat[..., 3] = np.rint(values * 255).astype(np.uint8)
    return heat


def render_overlay(grey_rgb: np.ndarray, map_values: np.ndarray, opacity: float = DEFAULT_OPACITY) -> np.ndarray:
    """The slice with its activation map laid over it.

    Parameters
    ----------
    grey_rgb : (rows, columns, 3) uint8, as `render_grey` makes it.
    map_values : (rows, columns) float in [0, 1].
    opacity : 0 gives ``grey_rgb`` back; at 1 the map's maximum hides the slice.

    Returns
    -------
    (rows, columns, 3) uint8 RGB.

    Raises
    ------
    ValueError
        Map and slice differ in rows and columns, or the opacity is outside [0, 1].
    """
    if grey_rgb.shape[:2] != map_values.shape:
        raise ValueError(f"Expected a map of shape {grey_rgb.shape[:2]}. Received: {map_values.shape}")
    if not 0.0 <= opacity <= 1.0:
        raise ValueError(f"Expected an opacity in [0, 1]. Received: {opacity}")
    heat = render_heat(map_values)
    alpha = heat[..., 3].astype(np.float32) * np.float32(opacity / 255)
    kept, blended = 1 - alpha, np.empty_like(grey_rgb)
    for channel in range(3):  # one after the other is twice as fast as NumPy over three at once
        blended[..., channel] = np.rint(grey_rgb[..., channel] * kept + heat[..., channel] * alpha)
    return blended


def render_colour_bar(rows: int = 12, columns: int = 256) -> np.ndarray:
    """The colours of `render_heat`, no attention left and the highest right, as (rows, columns, 4) uint8 RGBA."""
    return render_heat(np.tile(np.linspace(0.0, 1.0, columns, dtype=np.float32), (rows, 1)))


def outline_hottest(map_values: np.ndarray, where: np.ndarray, share: float) -> list[np.ndarray]:
    """Outlines round the hottest ``share`` of ``where``, or round all that is coloured there where that is less.

    Parameters
    ----------
    map_values : (rows, columns) float in [0, 1].
    where : (rows, columns) bool, such as the body.

    Returns
    -------
    One (points, 2) int array of columns and rows for each outline; none where nothing is coloured.
    """
    inside = map_values[where]
    area = min(round(share * inside.size), int((inside > 0).sum()))
    if not area:
        return []
    least = np.partition(inside, -area)[-area]
    mask = (where & (map_values >= least)).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [cv2.approxPolyDP(outline, 0.7, True)[:, 0] for outline in outlines if len(outline) > 2]


def shrink(pixels: np.ndarray, side: int) -> np.ndarray:
    """``pixels`` (rows, columns[, channels]), scaled down so that no edge is longer than ``side``; a picture that fits
    already comes back as it is. For display only: what a model sees is resized in `lungapp.preprocessing`.
    """
    rows, columns = pixels.shape[:2]
    scale = side / max(rows, columns)
    if scale >= 1:
        return pixels
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def to_png(picture: np.ndarray) -> bytes:
    """A uint8 RGB or RGBA picture as the bytes of a PNG file, losslessly."""
    order = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, data = cv2.imencode(".png", cv2.cvtColor(picture, order))
    if not done:
        raise ValueError(f"Expected a picture that can be stored as PNG. Received: {picture.shape} {picture.dtype}")
    return data.tobytes()
