"""The slices offered for a first try: synthetic phantoms, and real ones where someone has put them there."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from lungapp.errors import LungAppError
from lungapp.reading import read_slice
from lungapp.rendering import render_grey, shrink, to_png
from lungapp.texts import mark
from lungapp.ui.language import say

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm")
THUMBNAIL_SIDE = 96


@dataclass(frozen=True)
class Example:
    """One slice to click on; ``thumbnail`` is a PNG picture as a data URI."""

    path: Path
    thumbnail: str

    @property
    def title(self) -> str:
        """What it shows and where it comes from, in the current language."""
        words = self.path.stem.replace("_", "-").replace("phantom-", "").replace("-", " ").capitalize()
        kind = ["DICOM"] if self.path.suffix.lower() == ".dcm" else []
        origin = say("real") if self.path.parent.name == "real" else say("synthetic")
        return f"{say(words)} ({say(', ').join([origin, *kind])})"


PHANTOMS = (mark("Clear"), mark("Mass"), mark("Nodule"))
"""What the phantoms are called, by their files' names; other slices are called as their files are."""


def find_examples(folder: Path) -> list[Example]:
    """The readable slices in ``folder`` (synthetic) and ``folder/real``, in the order of their names."""
    found = []
    for path in [*sorted(folder.glob("*")), *sorted((folder / "real").glob("*"))]:
        if path.suffix.lower() not in SUFFIXES:
            continue
        try:
            picture = shrink(render_grey(read_slice(path)), THUMBNAIL_SIDE)
        except LungAppError:
            continue
        data = base64.b64encode(to_png(picture)).decode("ascii")
        found.append(Example(path, f"data:image/png;base64,{data}"))
    return found


def pick(examples: list[Example], name: str) -> Example | None:
    """The example a link names: by its file's name, with or without the ending; None where there is no such one."""
    return next((example for example in examples if name in (example.path.name, example.path.stem)), None)
