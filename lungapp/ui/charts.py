"""Charts as inline SVG: drawn once, in colours that follow the page's theme, with their result in words.

Only matplotlib's own `Figure` is used, never pyplot, which keeps a state of its own; it is imported on the first draw.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "ink": ("#0a0b01", "var(--body-text-color)"),
    "muted": ("#0a0b02", "var(--body-text-color-subdued)"),
    "faint": ("#0a0b03", "var(--block-border-color)"),
    "first": ("#0a0b04", "var(--la-chart-first)"),
    "second": ("#0a0b05", "var(--la-chart-second)"),
    "ground": ("#0a0b06", "var(--block-background-fill)"),
}
"""Each role's stand-in while matplotlib draws, and the page's own colour that takes its place in the SVG."""

INK, MUTED, FAINT, FIRST, SECOND, GROUND = (stand_in for stand_in, _ in COLOURS.values())

WIDTH = 4.4
"""Inches at 72 units each: about a phone's width, so that letters stay legible where the chart is scaled to it."""

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, in the page's font
    "svg.hashsalt": "lungapp",  # the same chart is the same SVG
    "font.size": 11.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": FAINT,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # a card's words are words
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}

RIGHT_TO_LEFT = re.compile(r">([^<>]*[\u0590-\u08ff][^<>]*)</text>")
"""The words of an SVG's text in a script that runs from the right."""

_DRAWING = Lock()
"""matplotlib's settings are the whole process's, so one chart is drawn at a time."""


@dataclass(frozen=True)
class Line:
    """A line of a chart: ``x`` and ``y`` of equal length. The second kind is dashed, with hollow marks.

    ``sizes``: marks of these areas, in square points, at the line's places; none where empty.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    second: bool = False
    sizes: Sequence[float] = ()


@dataclass(frozen=True)
class Dot:
    """A row of a dot chart."""

    name: str
    value: float
    shown: str


def draw_lines(words: str, lines: Sequence[Line], x_label: str, y_label: str) -> str:
    """A line chart of shares as SVG: both axes run from 0 to 1, with the diagonal drawn.

    ``words`` is the chart's result, for readers who do not see it; plain text.
    """

    def fill(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_aspect("equal")
        axes.plot((0, 1), (0, 1), color=MUTED, linewidth=1, linestyle=":")
        for line in lines:
            _add(axes, line)
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.grid(linewidth=0.6)
        if len(lines) > 1:
            figure.legend(
                loc="outside upper left", ncols=len(lines), handlelength=2.2, columnspacing=1.0, fontsize=10.5
            )

    return draw(fill, WIDTH, words)


def draw_dots(words: str, groups: Mapping[str, Sequence[Dot]], x_label: str, chance: float) -> str:
    """Dots in rows under their group's title as SVG, with a dotted line at ``chance``; ``words`` as in `draw_lines`.

    Names stand above their row instead of beside it: on a phone there is no room beside.
    """
    dots = [dot for members in groups.values() for dot in members]
    low = max(0.0, min([chance, *(dot.value for dot in dots)]) - 0.05)

    def fill(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(chance, color=MUTED, linewidth=1, linestyle=":")
        place = 0.0
        for title, members in groups.items():
            axes.text(low, place, title, weight="bold", va="center", bbox={"facecolor": GROUND, "edgecolor": "none"})
            place += 1.2
            for dot in members:
                _add_dot(axes, dot, low, place)
                place += 1.5
            place += 0.2
        axes.set(xlim=(low, 1.0), ylim=(place - 0.5, -0.7), xlabel=x_label, yticks=())
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", linewidth=0.6)

    return draw(fill, 0.9 + 0.42 * len(dots) + 0.39 * len(groups), words)


def tick_whole(axes: Axes) -> None:
    """Whole numbers alone along x: there is no half of a slice or an epoch."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))


def _add(axes: Axes, line: Line) -> None:
    colour, style = (SECOND, "--") if line.second else (FIRST, "-")
    axes.plot(line.x, line.y, color=colour, linestyle=style, linewidth=1.8, label=line.name)
    if len(line.sizes):
        face = GROUND if line.second else colour
        axes.scatter(line.x, line.y, s=line.sizes, facecolor=face, edgecolor=colour, linewidth=1.5, zorder=3)


def _add_dot(axes: Axes, dot: Dot, low: float, place: float) -> None:
    ground = {"facecolor": GROUND, "edgecolor": "none", "pad": 1}  # lines do not cross letters
    axes.text(low, place, dot.name, va="center", bbox=ground)
    axes.text(1.0, place, dot.shown, va="center", ha="right", bbox=ground)
    below = place + 0.6
    axes.plot((low, 1.0), (below, below), color=FAINT, linewidth=1.2, zorder=1)
    axes.scatter([dot.value], [below], s=42, color=FIRST, zorder=4, clip_on=False)


def draw(fill: Callable[[Figure], None], height: float, words: str) -> str:
    """What ``fill`` draws, ``height`` inches high, as SVG; ``words`` as in `draw_lines`."""
    import matplotlib
    from matplotlib.figure import Figure

    with _DRAWING, matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        fill(figure)
        text = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    return _to_inline(text.getvalue(), words)


def _to_inline(svg: str, words: str) -> str:
    """An SVG file as an element of the page: its own style sheet would be the whole page's, its names might collide."""
    box = re.search(r'viewBox="([-\d. ]+)"', svg)
    body = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    body = re.sub(r"<style.*?</style>|<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r" font-family: [^;\"]*;", "", body)
    for stand_in, own in COLOURS.values():
        body = body.replace(stand_in, own)
    # As a whole they run from the right too: else a Latin word or a number among them comes to stand at the wrong end.
    body = RIGHT_TO_LEFT.sub(">\N{RIGHT-TO-LEFT ISOLATE}\\1\N{POP DIRECTIONAL ISOLATE}</text>", body)
    view = box[1] if box else ""
    return f'<svg class="la-chart" role="img" aria-label="{escape(words)}" viewBox="{view}">{body}</svg>'
