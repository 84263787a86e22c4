"""How a slice compares with the training slices: with each class's typical measures, and with its nearest neighbours.

The typical measures are committed (``similar.json``, written by `train.similar`); neighbours need the dataset's folder.
Neither is an opinion on the slice: measures differ between the classes by scanner settings as much as by disease, and a
neighbour is a picture that looks alike.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lungapp.anatomy import Anatomy
from lungapp.errors import LungAppError
from lungapp.greys import MODEL_WINDOW
from lungapp.preprocessing import to_input
from lungapp.quality.measures import Measures, measure
from lungapp.reading import read_slice
from lungapp.registry import LABELS, ModelSpec
from lungapp.slices import Slice
from lungapp.texts import mark

FILE = Path(__file__).with_suffix(".json")
SIDE = 64
NEARLY_THE_SAME = 0.98
"""Correlation from which on two slices are nearly the same picture: no two training slices of different groups reach
0.97, and no held-out slice reaches 0.98 with any of them; half of those with a close neighbour pass 0.99."""

COUNT = 3
_SPEC = ModelSpec("similar", "similar", "", size=SIDE)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measure:
    """One thing that is measured: its name in ``similar.json``, what it is in words, its unit, and how it is found."""

    name: str
    title: str
    unit: str
    of: Callable[[Measures], float]


def _hu(grey: float) -> float:
    return MODEL_WINDOW.low + grey * MODEL_WINDOW.width


MEASURES = (
    Measure("lungs", mark("Lungs, share of the body"), "%", lambda found: 100 * found.lungs),
    Measure("lung", mark("Lungs, median density"), "HU", lambda found: _hu(found.lung_grey)),
    Measure("lung_spread", mark("Lungs, middle half of densities"), "HU", lambda m: m.lung_spread * MODEL_WINDOW.width),
    Measure("tissue", mark("Other tissue, median density"), "HU", lambda found: _hu(found.tissue_grey)),
    Measure(
        "tissue_spread",
        mark("Other tissue, middle half of densities"),
        "HU",
        lambda m: m.tissue_spread * MODEL_WINDOW.width,
    ),
    Measure("bone", mark("Bone and contrast, share of other tissue"), "%", lambda found: 100 * found.bone),
)


@dataclass(frozen=True)
class Compared:
    """A slice's measures beside every class's: ``own`` by name, ``classes`` by label and name as (mean, spread).

    ``nearest`` is the class whose means are nearest, in spreads within a class, over all measures; None where a measure
    could not be taken.
    """

    own: Mapping[str, float]
    classes: Mapping[str, Mapping[str, tuple[float, float]]]
    counts: Mapping[str, int]
    nearest: str | None


@dataclass(frozen=True, eq=False)
class Neighbour:
    """A training slice: its file in the dataset, class, correlation with the slice in [-1, 1], and the slice itself."""

    file: str
    label: str
    likeness: float
    slice: Slice

    @property
    def nearly_the_same(self) -> bool:
        return self.likeness >= NEARLY_THE_SAME


def measures_of(item: Slice) -> dict[str, float]:
    """Every one of `MEASURES` of ``item``; ``nan`` where it is not there."""
    found = measure(Anatomy(item))
    return {entry.name: float(entry.of(found)) for entry in MEASURES}


@cache
def reference() -> dict[str, Any]:
    """What the committed file holds: ``counts``, ``measures`` and ``files``, each by class."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def compare(item: Slice) -> Compared:
    """``item`` beside the typical slice of every class."""
    own, held = measures_of(item), reference()
    classes = {
        label: {name: (float(mean), float(spread)) for name, (mean, spread) in held["measures"][label].items()}
        for label in LABELS
    }
    nearest = None
    if all(np.isfinite(value) for value in own.values()):
        within = {name: np.sqrt(np.mean([classes[label][name][1] ** 2 for label in LABELS])) for name in own}
        away = {
            label: sum(((own[name] - classes[label][name][0]) / within[name]) ** 2 for name in own) for label in LABELS
        }
        nearest = min(away, key=lambda label: away[label])
    return Compared(own, classes, held["counts"], nearest)


def vector(item: Slice) -> np.ndarray:
    """(`SIDE` * `SIDE`,) float32 of length 1 and mean 0: the slice as a model gets it, on fewer pixels."""
    values = to_input(Anatomy(item), _SPEC).ravel()
    values = values - values.mean()
    return values / max(float(np.linalg.norm(values)), 1e-6)


class Neighbours:
    """The training slices in a dataset's folder, read once, in the background; only vectors stay in memory."""

    def __init__(self, folder: Path, files: Mapping[str, list[str]] | None = None) -> None:
        self._folder = folder
        self._files = [(file, label) for label, some in (files or reference()["files"]).items() for file in some]
        self._vectors: np.ndarray | None = None
        self._ending = threading.Event()
        # Cut off inside OpenCV at the interpreter's end, the thread would take the process down with it.
        atexit.register(self.close)
        self._thread = threading.Thread(target=self._read, name="neighbours", daemon=True)
        self._thread.start()

    def nearest(self, item: Slice, count: int = COUNT) -> tuple[Neighbour, ...] | None:
        """The ``count`` nearest, the nearest first; None as long as the folder is being read."""
        if self._thread.is_alive() or self._vectors is None:
            return None
        if not len(self._vectors):
            return ()
        likeness = self._vectors @ vector(item)
        found = []
        for place in np.argsort(-likeness)[:count]:
            file, label = self._files[place]
            with contextlib.suppress(LungAppError, OSError):  # deleted since; the answer must not suffer
                found.append(Neighbour(file, label, float(likeness[place]), read_slice(self._folder / file)))
        return tuple(found)

    def wait(self) -> None:
        """Until the folder was read."""
        self._thread.join()

    def close(self) -> None:
        """Stop reading, after the file that is being read."""
        self._ending.set()
        self._thread.join()

    def _read(self) -> None:
        files, vectors = [], []
        for file, label in self._files:
            if self._ending.is_set():
                return
            try:
                vectors.append(vector(read_slice(self._folder / file)))
                files.append((file, label))
            except (LungAppError, OSError):
                continue  # another copy of the dataset may lack some
        if len(files) < len(self._files):
            logger.warning("Of %d training slices %d could be read.", len(self._files), len(files))
        self._files = files
        self._vectors = np.array(vectors, np.float32)
