"""The overlay as a picture that can be taken away: a band under it says what it shows and what it is not.

The band travels with the pixels, so that no viewer shows the overlay without them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lungapp.rendering import render_colour_bar, render_grey, render_overlay, shrink, to_png
from lungapp.report.facts import NOTICE, methods_of, targets_of, tests_of, title_of, warning_of
from lungapp.report.letters import font, wrap
from lungapp.results import Analysis

LONGEST_SIDE = 2048
"""Larger slices are scaled down to this, in pixels; no CT slice comes near it."""

NARROWEST = 384
"""Pixels; a narrower picture stands in the middle of a black one, so that the band can be read."""

DOTS = 72
"""Per inch, so that a point is a pixel."""


def overlay(analysis: Analysis, side: int = LONGEST_SIDE) -> np.ndarray:
    """(rows, columns, 3) uint8: the slice with the mean of its drawn maps over it, no edge longer than ``side``.

    Where no map is drawn (`ActivationMap.drawn`) it is the slice alone.
    """
    grey = shrink(render_grey(analysis.slice), side)
    if not analysis.drawn_maps:
        return grey
    return render_overlay(grey, shrink(np.mean([item.values for item in analysis.drawn_maps], axis=0), side))


def labelled_overlay(analysis: Analysis) -> np.ndarray:
    """(rows, columns, 3) uint8: `overlay` with the band under it, the slice's own pixels untouched in the middle."""
    picture = overlay(analysis)
    spare = max(0, NARROWEST - picture.shape[1])
    picture = np.pad(picture, ((0, 0), (spare // 2, spare - spare // 2), (0, 0)))
    return np.concatenate([picture, _band(analysis, picture.shape[1])])


def shown_overlay(analysis: Analysis) -> np.ndarray:
    """(rows, columns, 3) uint8: `overlay`, on the slice pixel by pixel, or `labelled_overlay` after an override.

    For programs that bring their own words: what was overridden must not lose its warning there.
    """
    return labelled_overlay(analysis) if analysis.overridden else overlay(analysis)


def to_overlay_png(analysis: Analysis) -> bytes:
    """`labelled_overlay` as the bytes of a PNG file without any metadata."""
    return to_png(labelled_overlay(analysis))


def colour_bar() -> np.ndarray:
    """The colours of the map on black, no attention left and the highest right, as uint8 RGB."""
    bar = render_colour_bar()
    return np.rint(bar[..., :3] * (bar[..., 3:] / 255)).astype(np.uint8)


def caption(analysis: Analysis) -> str:
    """What the overlay shows, or why it shows no map, in a sentence or two."""
    if not analysis.prediction:
        return "The slice as it was handed in. No model was asked."
    if not analysis.drawn_maps:
        return f"The slice alone. {_absence(analysis)}"
    maps, among = analysis.drawn_maps, title_of(analysis.model)
    if len(maps) < len(analysis.maps):
        among = ", ".join(title_of(item.model) for item in maps)
    return (
        f"Attention ({methods_of(maps)}) of {among} for {targets_of(maps)}, relative to its highest value in this "
        f"slice; not the outline of a lesion. {tests_of(maps)}"
    )


def _absence(analysis: Analysis) -> str:
    """Why a scored slice comes without a map."""
    if not analysis.maps:
        return "There is no map."
    if all(item.blank for item in analysis.maps):
        return f"Nothing in it speaks for {targets_of(analysis.maps)}, so there is no map."
    return (
        f"This answer has no map that holds: that for {targets_of(analysis.maps)} ({methods_of(analysis.maps)}) does "
        "not mark what the score relied on, and is not drawn."
    )


def _band(analysis: Analysis, columns: int) -> np.ndarray:
    """(rows, ``columns``, 3) uint8: the warning in red, the notice, the caption and the colour bar."""
    size = columns / 48
    step, inset = 1.4 * size, size
    parts = [(warning_of(analysis), "#ffb3ab", True), (NOTICE, "#ffd88a", True), (caption(analysis), "#e6edf1", False)]
    lines = [
        (line, colour, bold) for text, colour, bold in parts for line in wrap(text, size, columns - 2 * inset, bold)
    ]
    bar = 1.6 * step if analysis.drawn_maps else 0.0
    rows = int(np.ceil(len(lines) * step + 2 * inset + bar))
    figure = Figure(figsize=(columns / DOTS, rows / DOTS), dpi=DOTS, facecolor="#10181e")
    canvas = FigureCanvasAgg(figure)
    for number, (line, colour, bold) in enumerate(lines):
        y = 1 - (inset + (number + 0.8) * step) / rows
        figure.text(inset / columns, y, line, color=colour, fontproperties=font(size, bold), parse_math=False)
    if analysis.drawn_maps:
        y = (inset + 0.15 * step) / rows
        _scale(figure, (inset / columns, y), size)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:rows, :columns, :3].copy()


def _scale(figure: Figure, corner: tuple[float, float], size: float) -> None:
    """The colour bar between the words "Low" and "High", its lower left corner at ``corner`` of the figure."""
    x, y = corner
    columns, rows = figure.bbox.width, figure.bbox.height
    words: dict[str, Any] = {"color": "#e6edf1", "fontproperties": font(size), "parse_math": False}
    figure.text(x, y + 0.15 * size / rows, "Low", **words)
    axes = figure.add_axes((x + 2.6 * size / columns, y, 12 * size / columns, size / rows))
    axes.imshow(colour_bar(), aspect="auto")
    axes.set_axis_off()
    figure.text(x + 15.2 * size / columns, y + 0.15 * size / rows, "High", **words)
