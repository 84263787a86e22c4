"""Pictures of a slice and of a model's attention, as plain arrays: rows first, uint8, channels last.

Nothing here knows about pages or files, and nothing writes to the arrays it is given.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

import cv2
import matplotlib
import numpy as np
from isal import isal_zlib

from lungapp.greys import MODEL_WINDOW
from lungapp.slices import Slice, Window

COLOUR_MAP = "inferno"
"""Perceptually uniform and readable under the common colour vision deficiencies (van der Walt and Smith, 2015)."""

DEFAULT_OPACITY = 0.6

COLOUR_TYPES = {3: 2, 4: 6}
"""A PNG file's number for RGB and RGBA, by channels."""

FILTER_SUB = 1
"""A PNG line's first byte, where each pixel is stored as its difference to the one on its left."""


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
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


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
    step, alpha = _levels(map_values)
    heat = np.take(_colours(), step).view(np.uint8).reshape(*step.shape, 4)
    heat[..., 3] = alpha
    return heat


def render_overlay(grey_rgb: np.ndarray, map_values: np.ndarray, opacity: float = DEFAULT_OPACITY) -> np.ndarray:
    """The slice with its activation map laid over it.

    Parameters
    ----------
    grey_rgb : (rows, columns, 3) uint8 with equal channels, as `render_grey` makes it.
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
    step, alpha = _levels(map_values)
    # A pixel depends on the map's colour, its alpha, which is one more or less at most, and the grey: one look-up.
    place = (step * np.int32(3) + (alpha - step + np.uint8(1))) * np.int32(256) + grey_rgb[..., 0]
    blended = np.take(_blends(opacity), place).view(np.uint8).reshape(*place.shape, 4)
    return cv2.cvtColor(blended, cv2.COLOR_RGBA2RGB)


def _levels(map_values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The colour map's step for each value, and its alpha: uint8 both."""
    values = np.clip(map_values, 0.0, 1.0)
    return np.minimum(values * 256, 255).astype(np.uint8), np.rint(values * 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _colours() -> np.ndarray:
    """(256,) uint32: the colour map's steps as RGBA in memory."""
    return matplotlib.colormaps[COLOUR_MAP](np.arange(256), bytes=True).view(np.uint32)[:, 0]


@lru_cache(maxsize=4)
def _blends(opacity: float) -> np.ndarray:
    """(256 * 3 * 256,) uint32, RGBA in memory: each step of the colour map, with an alpha of one less, as much and one
    more than the step, over each grey.
    """
    colours = _colours().view(np.uint8).reshape(256, 1, 1, 4)
    levels = np.arange(256)[:, None] + np.array([-1, 0, 1])
    alpha = np.clip(levels, 0, 255).astype(np.float32)[..., None, None] * np.float32(opacity / 255)
    grey = np.arange(256, dtype=np.uint8)[:, None]
    return np.rint(grey * (1 - alpha) + colours * alpha).astype(np.uint8).view(np.uint32).ravel()


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
    """A uint8 RGB or RGBA picture (rows, columns, 3 or 4) as the bytes of a PNG file, losslessly.

    Written here because compression is most of the work: ISA-L's takes a quarter of the time of zlib's, which OpenCV
    and Pillow use, for a smaller file.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in COLOUR_TYPES or not picture.size:
        raise ValueError(f"Expected a picture that can be stored as PNG. Received: {picture.shape} {picture.dtype}")
    rows, columns, channels = picture.shape
    lines = np.ascontiguousarray(picture).reshape(rows, -1)
    filtered = np.empty((rows, 1 + lines.shape[1]), np.uint8)
    filtered[:, 0] = FILTER_SUB
    filtered[:, 1 : 1 + channels] = lines[:, :channels]
    np.subtract(lines[:, channels:], lines[:, :-channels], out=filtered[:, 1 + channels :])
    header = struct.pack(">IIBBBBB", columns, rows, 8, COLOUR_TYPES[channels], 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", isal_zlib.compress(filtered, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG file: its length, kind, data and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
