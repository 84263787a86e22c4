"""The slices offered for a first try: synthetic ones with what is known of them, and real ones put there by hand."""

from __future__ import annotations

import base64
import filecmp
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungapp.errors import LungAppError
from lungapp.reading import read_slice
from lungapp.registry import LABELS
from lungapp.rendering import render_grey, shrink, to_png
from lungapp.texts import Text, mark
from lungapp.ui.language import say, say_html

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm")
THUMBNAIL_SIDE = 96

TRUTH = "truth.json"
"""Beside the examples: of each file its lesion, and the place and size of that (`examples.make_examples`)."""


@dataclass(frozen=True)
class Description:
    """A synthetic example: its ``file``, its ``title``, the ``truth`` about it, and what opening it ``shows``.

    ``truth`` may name ``{millimetres}``, which stand in `TRUTH`. ``model`` is asked when it is opened; the visitor's
    own choice where empty.
    """

    file: str
    title: str
    truth: str
    shows: str
    model: str = ""


DESCRIPTIONS: tuple[Description, ...] = (
    Description(
        "phantom-mass.png",
        mark("Mass"),
        mark("Synthetic phantom with a mass of {millimetres} mm."),
        mark("It shows whether a model answers to a large lesion, and where its map then lies."),
    ),
    Description(
        "phantom-nodule.png",
        mark("Nodule"),
        mark("Synthetic phantom with a nodule of {millimetres} mm."),
        mark("All models are asked: it shows how they can disagree."),
        "all",
    ),
    Description(
        "phantom-nodule.dcm",
        mark("Nodule"),
        mark("Synthetic phantom with a nodule of {millimetres} mm."),
        mark("It is in Hounsfield units, so the window can be changed, and its report can go to an archive."),
    ),
    Description(
        "phantom-clear.png",
        mark("Clear"),
        mark("Synthetic phantom without a lesion."),
        mark("It shows what a model says where there is nothing to find."),
    ),
    Description(
        "head.png",
        mark("Head"),
        mark("Synthetic picture of a head, no chest at all."),
        mark("It shows that a picture which is no axial chest CT is not scored."),
    ),
)
"""In their order on the page; one whose file is not there is left out."""

HELD_OUT = "held-out-"
"""How the names of the slices begin that `train.examples` puts there; the class of their case follows."""


@dataclass(frozen=True)
class Example:
    """One slice to click on; ``thumbnail`` is a PNG picture as a data URI.

    ``name`` is what it is called, ``truth`` and ``shows`` what is known of it and what it is for, or empty. ``model``
    is asked when it is opened; the visitor's own choice where empty.
    """

    path: Path
    thumbnail: str
    name: str
    truth: str = ""
    shows: str = ""
    model: str = ""

    @property
    def title(self) -> str:
        """What it shows and where it comes from, in the current language."""
        kind = ["DICOM"] if self.path.suffix.lower() == ".dcm" else []
        origin = say("real") if self.path.parent.name == "real" else say("synthetic")
        return f"{say(self.name)} ({say(', ').join([origin, *kind])})"

    def note(self) -> str:
        """What is known of it, as HTML to stand beside an answer; empty where nothing is."""
        if not self.truth:
            return ""
        shows = f" {say_html(self.shows)}" if self.shows else ""
        return (
            f'<p class="la-truth"><strong>{say_html("Known truth of this example.")}</strong> '
            f"{say_html(self.truth)}{shows}</p>"
        )


def find_examples(folder: Path, descriptions: Sequence[Description] = DESCRIPTIONS) -> list[Example]:
    """The readable ones of ``descriptions`` in ``folder``, in their order, then those in ``folder/real`` by name."""
    truth = _read_truth(folder / TRUTH)
    described = (_described(folder / one.file, one, truth.get(one.file, {})) for one in descriptions)
    real = (_real(path) for path in sorted((folder / "real").glob("*")) if path.suffix.lower() in SUFFIXES)
    return [example for example in (*described, *real) if example]


def _read_truth(path: Path) -> dict[str, dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _described(path: Path, description: Description, facts: dict[str, Any]) -> Example | None:
    thumbnail, millimetres = _thumbnail(path), facts.get("millimetres")
    truth = description.truth
    if millimetres is not None:
        truth = Text(truth, millimetres=millimetres)
    elif "{" in truth:
        truth = ""  # nothing is claimed that nobody measured
    name, shows, model = description.title, description.shows, description.model
    return Example(path, thumbnail, name, truth, shows, model) if thumbnail else None


def _real(path: Path) -> Example | None:
    thumbnail = _thumbnail(path)
    name = path.stem.replace("_", "-").replace("-", " ").capitalize()
    label, truth = path.stem.removeprefix(HELD_OUT), ""
    if path.stem.startswith(HELD_OUT) and label in LABELS:
        truth = Text("Real slice of a case labelled {label}, held out when the models learnt.", label=label)
    return Example(path, thumbnail, name, truth) if thumbnail else None


def _thumbnail(path: Path) -> str:
    """Empty where there is no slice to read."""
    try:
        picture = shrink(render_grey(read_slice(path)), THUMBNAIL_SIDE)
    except LungAppError:
        return ""
    return f"data:image/png;base64,{base64.b64encode(to_png(picture)).decode('ascii')}"


def pick(examples: list[Example], name: str) -> Example | None:
    """The example a link names: by its file's name, with or without the ending; None where there is no such one."""
    return next((example for example in examples if name in (example.path.name, example.path.stem)), None)


def recognise(examples: Sequence[Example], files: Sequence[Path]) -> Example | None:
    """The example whose very bytes ``files`` are, however they came here; None where they are another's."""
    if len(files) != 1 or not files[0].is_file():
        return None
    return next((example for example in examples if filecmp.cmp(files[0], example.path, shallow=False)), None)
