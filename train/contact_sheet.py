"""Draw slices with what was found in them, to look at: body (yellow), lungs (green), cavity (red), lesions (blue).

    python -m train.contact_sheet --data FOLDER --out sheet.png [--every N]

FOLDER is any folder of slices; lesions that readers annotated beside them are drawn (`train.annotations`), and how much
of their outlines lies inside the cavity is printed. A sheet of real slices is never committed. 10 ms a slice.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from lungapp.anatomy import Anatomy
from lungapp.errors import LungAppError
from lungapp.quality import assess
from lungapp.reading import read_slice
from train.annotations import lesions

SIDE, COLUMNS, CAPTION = 256, 8, 28
YELLOW, GREEN, RED, BLUE = (0, 255, 255), (0, 255, 0), (60, 60, 255), (255, 160, 60)


def inside_cavity(anatomy: Anatomy, outlines: Iterable[np.ndarray]) -> np.ndarray:
    """For each point of the lesions' ``outlines``, whether it lies inside the cavity: (points,) bool."""
    columns, rows = np.concatenate([_drawn_through(outline) for outline in outlines]).T
    return anatomy.cavity[rows.clip(0, anatomy.rows - 1), columns.clip(0, anatomy.columns - 1)]


def _drawn_through(outline: np.ndarray) -> np.ndarray:
    """All points on ``outline``'s sides, one pixel apart: (points, 2) int."""
    following = np.roll(outline, -1, axis=0)
    sides = [
        np.linspace(start, end, max(2, int(np.abs(end - start).max()) + 1)).round()
        for start, end in zip(outline, following, strict=True)
    ]
    return np.concatenate(sides).astype(int)


def tile(anatomy: Anatomy, outlines: Iterable[np.ndarray], caption: str) -> np.ndarray:
    """(`SIDE` + `CAPTION`, `SIDE`, 3) uint8, BGR."""
    scale = SIDE / max(anatomy.grey.shape)
    grey = cv2.resize(np.rint(255 * anatomy.grey).astype(np.uint8), None, fx=scale, fy=scale)
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    for mask, colour in ((anatomy.body, YELLOW), (anatomy.lungs, GREEN), (anatomy.cavity, RED)):
        small = cv2.resize(mask.view(np.uint8), picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        edges, _ = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, edges, -1, colour, 1)
    for outline in outlines:
        cv2.polylines(picture, [np.rint(outline * scale).astype(np.int32)], True, BLUE, 1)
    framed = np.zeros((SIDE + CAPTION, SIDE, 3), np.uint8)
    framed[: picture.shape[0], : picture.shape[1]] = picture
    report = assess(anatomy)
    for line, text in enumerate((caption[-30:], ", ".join([report.verdict, *(f.code for f in report.findings)]))):
        cv2.putText(framed, text, (2, SIDE + 11 + 13 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1)
    return framed


def sheet(tiles: list[np.ndarray]) -> np.ndarray:
    """``tiles`` of one shape in rows of `COLUMNS`."""
    blank = [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    whole = [*tiles, *blank]
    return np.vstack([np.hstack(whole[start : start + COLUMNS]) for start in range(0, len(whole), COLUMNS)])


def slices(folder: Path, every: int) -> Iterator[tuple[Path, Anatomy, list[np.ndarray]]]:
    """Every so-manieth readable slice below ``folder``, and the lesions annotated in it."""
    annotated = lesions(folder)
    for path in sorted(path for path in folder.rglob("*.*") if path.is_file() and path.suffix != ".xml")[::every]:
        try:
            yield path, Anatomy(read_slice(path)), annotated.get(path, [])
        except LungAppError as error:
            print(f"{path.name}: {error}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of slices")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--every", type=int, default=1, help="one slice in so many")
    options = parser.parse_args(arguments)
    tiles, inside = [], []
    for path, anatomy, outlines in slices(options.data, options.every):
        tiles.append(tile(anatomy, outlines, path.name))
        if outlines:
            inside.append(inside_cavity(anatomy, outlines))
    if not tiles:
        print(f"Expected a folder with slices. Received: none that can be read in {options.data}.", file=sys.stderr)
        return 2
    cv2.imwrite(str(options.out), sheet(tiles))
    print(f"{len(tiles)} slices, {len(inside)} with annotated lesions")
    if inside:
        points = np.concatenate(inside)
        print(f"{100 * points.mean():.1f} % of {len(points)} outline pixels inside the cavity")
        print("in each slice: " + ", ".join(f"{100 * each.mean():.0f} %" for each in inside))
    return 0


if __name__ == "__main__":
    sys.exit(main())
