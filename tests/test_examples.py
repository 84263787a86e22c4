"""What the shipped examples must show with the shipped weights: the story that the page tells at a first visit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lungapp.engine import Engine
from lungapp.reading import read_slice
from lungapp.results import ActivationMap, Analysis
from lungapp.settings import WEIGHTS, Settings
from lungapp.ui import EXAMPLES
from lungapp.ui.examples import DESCRIPTIONS

TRUTH = json.loads((EXAMPLES / "truth.json").read_text(encoding="utf-8"))
WITH_LESION = [file for file, truth in TRUTH.items() if truth["lesion"]]
CLEAR = [file for file, truth in TRUTH.items() if not truth["lesion"]]

GROWN = 0.5
"""By how much of its size a lesion's box is grown: coarse feature maps are a centimetre and more a pixel."""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(WEIGHTS)


def analyse(engine: Engine, file: str, target: str = "predicted", model: str = "") -> Analysis:
    return engine.analyse(read_slice(EXAMPLES / file), model or Settings().default_model, target)


def peaks_inside(found: ActivationMap, box: list[int]) -> bool:
    """Whether the map's maximum lies in ``box`` (top, left, rows, columns) grown by `GROWN` about its middle."""
    top, left, rows, columns = box
    row, column = np.unravel_index(int(np.argmax(found.values)), found.values.shape)
    down, across = abs(row + 0.5 - top - rows / 2), abs(column + 0.5 - left - columns / 2)
    return bool(down <= rows * (1 + GROWN) / 2 and across <= columns * (1 + GROWN) / 2)


@pytest.mark.parametrize("file", WITH_LESION)
def test_a_lesion_is_not_called_harmless(engine: Engine, file: str) -> None:
    prediction = analyse(engine, file).prediction
    assert prediction is not None
    assert prediction.decision in ("malignant", "undecided")


@pytest.mark.parametrize("file", WITH_LESION)
def test_the_map_for_malignant_lies_on_the_lesion(engine: Engine, file: str) -> None:
    maps = analyse(engine, file, "malignant").maps
    assert maps
    assert all(not found.blank for found in maps)
    assert all(peaks_inside(found, TRUTH[file]["box"]) for found in maps)


@pytest.mark.parametrize("file", CLEAR)
def test_a_clear_chest_is_not_called_malignant(engine: Engine, file: str) -> None:
    prediction = analyse(engine, file).prediction
    assert prediction is not None
    assert prediction.decision != "malignant"


def test_an_example_shows_the_models_disagree(engine: Engine) -> None:
    files = [description.file for description in DESCRIPTIONS if description.model == "all"]
    assert files, "one example asks all models"
    assert all(analyse(engine, file, model="all").agreement is False for file in files)


@pytest.mark.parametrize("place", [(0, 0), (19, 9), (10, 5), (4, 0)])
def test_a_box_is_grown_by_half(place: tuple[int, int]) -> None:
    """Of a lesion in rows 5 to 14 and columns 0 to 9 of a picture."""
    values = np.zeros((40, 40), np.float32)
    values[place] = 1
    found = ActivationMap("resnet50", "gradcam", "malignant", values, None)
    assert peaks_inside(found, [5, 0, 10, 10]) is (place in ((10, 5), (4, 0)))
