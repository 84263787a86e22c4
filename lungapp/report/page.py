"""One A4 page to draw on: points, y downwards from the upper edge, by matplotlib's objects alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime

import matplotlib
import numpy as np
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lungapp.report.letters import font, wrap

# TrueType, so that the text can be searched and copied; the default, Type 3, is drawn shapes.
matplotlib.rcParams["pdf.fonttype"] = 42

WIDTH, HEIGHT = 595.28, 841.89
MARGIN = 42.0
INNER = WIDTH - 2 * MARGIN

INK, QUIET, LINE, TEAL = "#17242d", "#4d5f6b", "#d3dde4", "#1f6877"
LEADING = 1.38
DIGEST_SIZE = 6.0


class Page:
    """The page, and ``y``, down to where it is filled."""

    def __init__(self) -> None:
        self._figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72)
        self._canvas = FigureCanvasPdf(self._figure)
        self.y = MARGIN

    def text(
        self, x: float, y: float, text: str, size: float = 8.5, *, bold: bool = False, mono: bool = False,
        colour: str = INK, right: bool = False,
    ) -> None:  # fmt: skip
        """One line whose base line is at ``y``; ``x`` is its left end, or its right end."""
        self._figure.text(
            x / WIDTH, 1 - y / HEIGHT, text, fontproperties=font(size, bold, mono), color=colour,
            ha="right" if right else "left", va="baseline", parse_math=False,
        )  # fmt: skip

    def box(self, x: float, y: float, width: float, height: float, colour: str, edge: str = "none") -> None:
        """A filled rectangle whose upper left corner is at (``x``, ``y``)."""
        corner = (x / WIDTH, 1 - (y + height) / HEIGHT)
        shape = Rectangle(corner, width / WIDTH, height / HEIGHT, facecolor=colour, edgecolor=edge, linewidth=0.5)
        self._figure.add_artist(shape)

    def picture(self, x: float, y: float, width: float, height: float, pixels: np.ndarray) -> None:
        """``pixels`` (rows, columns, channels) uint8 as large as fits, in the middle of the rectangle."""
        axes = self._figure.add_axes((x / WIDTH, 1 - (y + height) / HEIGHT, width / WIDTH, height / HEIGHT))
        axes.imshow(pixels, interpolation="none", aspect="auto")
        axes.set_axis_off()

    def paragraph(
        self, x: float, width: float, text: str, size: float = 8.5, *, bold: bool = False, colour: str = INK,
        most: int = 0,
    ) -> None:  # fmt: skip
        """``text`` from ``y`` on, which moves below it."""
        for line in wrap(text, size, width, bold, most):
            self.y += LEADING * size
            self.text(x, self.y - 0.28 * size, line, size, bold=bold, colour=colour)

    def heading(self, text: str, gap: float = 9.0) -> None:
        """A section's title under a rule across the page."""
        self.y += gap
        self.box(MARGIN, self.y, INNER, 0.6, LINE)
        self.y += 3
        self.paragraph(MARGIN, INNER, text, 9.5, bold=True, colour=TEAL)
        self.y += 1

    def band(self, text: str, ground: str, colour: str) -> None:
        """A sentence on a coloured ground across the page."""
        size, inset = 9.0, 5.0
        lines = wrap(text, size, INNER - 3 * inset, bold=True)
        height = LEADING * size * len(lines) + 2 * inset - 1
        self.box(MARGIN, self.y, INNER, height, ground)
        self.box(MARGIN, self.y, 3, height, colour)
        bottom = self.y + height
        self.y += inset - 1
        self.paragraph(MARGIN + 2 * inset, INNER - 3 * inset, text, size, bold=True, colour=colour)
        self.y = bottom + 5

    def table(
        self, columns: Sequence[float], rows: Sequence[Sequence[str]], size: float = 7.5, mono: int | None = None,
        numbers: bool = False,
    ) -> None:  # fmt: skip
        """Rows of one line each, the first one the header; ``columns`` are the left ends, ``mono`` the digests'.

        With ``numbers`` the columns but the first are set to the right of their room.
        """
        ends = [*columns[1:], MARGIN + INNER]
        for place, row in enumerate(rows):
            step = LEADING * size + 1.5
            for column, cell in enumerate(row):
                right = numbers and column > 0
                x = ends[column] - 14 if right else columns[column]
                style = {"mono": True} if column == mono and place else {"bold": place == 0}
                shown = 6.0 if column == mono and place else size
                self.text(
                    x, self.y + step - 3.5, cell, shown, colour=QUIET if place == 0 else INK, right=right, **style
                )
            self.y += step
            self.box(MARGIN, self.y, INNER, 0.3, LINE)

    def to_bytes(self, title: str, creator: str, created: datetime) -> bytes:
        """The PDF; its metadata are these three and nothing else."""
        stream = io.BytesIO()
        metadata = {"Title": title, "Creator": creator, "Producer": "matplotlib", "CreationDate": created}
        self._canvas.print_pdf(stream, metadata=metadata)
        return stream.getvalue()
