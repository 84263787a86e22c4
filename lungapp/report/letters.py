"""Text by matplotlib's own DejaVu fonts: how wide it is, and where its lines break.

Only matplotlib's objects are used, never pyplot, whose state is shared between threads.
"""

from __future__ import annotations

from functools import lru_cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

FAMILY, MONO = "DejaVu Sans", "DejaVu Sans Mono"
ELLIPSIS = "..."
"""Letters beyond Latin-1 would cost a PDF a font subset of their own, 0.1 s each."""


@lru_cache(maxsize=32)
def font(size: float, bold: bool = False, mono: bool = False) -> FontProperties:
    """The font of ``size`` points."""
    return FontProperties(family=MONO if mono else FAMILY, size=size, weight="bold" if bold else "normal")


@lru_cache(maxsize=4096)
def width_of(text: str, size: float, bold: bool = False, mono: bool = False) -> float:
    """Width of one line in points."""
    return float(TextToPath().get_text_width_height_descent(text, font(size, bold, mono), ismath=False)[0])


def wrap(text: str, size: float, width: float, bold: bool = False, most: int = 0) -> list[str]:
    """``text`` in lines of at most ``width`` points; beyond ``most`` lines (0: any) it ends in an ellipsis.

    A word that is wider than a line is broken.
    """
    lines: list[str] = []
    line = ""
    for word in text.split():
        candidate = f"{line} {word}" if line else word
        if width_of(candidate, size, bold) <= width:
            line = candidate
            continue
        if line:
            lines.append(line)
        *full, line = _broken(word, size, width, bold)
        lines += full
    lines += [line] if line else []
    if most and len(lines) > most:
        lines = [*lines[: most - 1], _shortened(lines[most - 1], size, width, bold)]
    return lines


def _broken(word: str, size: float, width: float, bold: bool) -> list[str]:
    parts = [""]
    for letter in word:
        if parts[-1] and width_of(parts[-1] + letter, size, bold) > width:
            parts.append("")
        parts[-1] += letter
    return parts


def _shortened(line: str, size: float, width: float, bold: bool) -> str:
    while line and width_of(line + ELLIPSIS, size, bold) > width:
        line = line[:-1]
    return line.rstrip() + ELLIPSIS
