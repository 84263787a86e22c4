"""Slices → the pictures that training shows: as served, varied, with lesions drawn in, and moved by one pixel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from lungapp.anatomy import Anatomy
from lungapp.preprocessing import Frame, frame_of
from lungapp.reading import read_slice
from lungapp.registry import LABELS, ModelSpec
from lungapp.slices import Slice
from train.data import Entry, check_files
from train.lesions import add_harmless, add_lesions
from train.style import add_noise, vary_pose, vary_style

Kind = Literal["as served", "moved", "noised", "varied", "harmless", "lesions"]
KINDS: tuple[Kind, ...] = get_args(Kind)

NORMAL = LABELS.index("normal")
NOISED, VARIED, HARMLESS, LESIONS = 2, 2, 3, 5
"""Pictures of each kind per slice; harmless structures are drawn into normal slices alone, and lesions five times into
those and once into others."""

MOVES = ((1, 0), (0, 1))
"""The crop begins one row later, or one column."""


@dataclass(frozen=True, eq=False)
class Crop:
    """The cavity of one slice on its own pixels: ``grey`` (rows, columns) float16, ``cavity`` and ``lungs`` bool.

    ``frame`` brings the crop into a model's square as `lungapp.preprocessing.to_input` does the slice.
    """

    grey: np.ndarray
    cavity: np.ndarray
    lungs: np.ndarray
    frame: Frame


@dataclass(frozen=True)
class Picture:
    """One picture to make: of which slice, of what kind, and the number that all its chance is drawn from."""

    slice: int
    kind: Kind
    number: int = 0


def crop_of(item: Slice, spec: ModelSpec) -> Crop:
    """The part of a slice that models see."""
    anatomy = Anatomy(item)
    frame = frame_of(anatomy, spec)
    part = np.s_[frame.top : frame.top + frame.rows, frame.left : frame.left + frame.columns]
    grey, cavity, lungs = anatomy.grey[part], anatomy.cavity[part], anatomy.lungs[part]
    return Crop(grey.astype(np.float16), cavity.copy(), lungs & cavity, replace(frame, top=0, left=0))


def crops_of(root: Path, entries: Sequence[Entry], spec: ModelSpec) -> list[Crop]:
    """The crops of ``entries`` below ``root``. Raises `DatasetDamaged` where a file of the manifest is missing."""
    check_files(root, entries)
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda entry: crop_of(read_slice(root / entry.file), spec), entries))


def training_pictures(labels: np.ndarray) -> list[Picture]:
    """Every picture that may be learnt from, of slices with these ``labels`` (n,) int; slices as served come first."""
    slices = range(len(labels))
    pictures = [Picture(place, "as served") for place in slices]
    pictures += [Picture(place, "moved", move) for move in range(len(MOVES)) for place in slices]
    pictures += [Picture(place, "noised", number) for number in range(NOISED) for place in slices]
    pictures += [Picture(place, "varied", number) for number in range(VARIED) for place in slices]
    for place in slices:
        normal = labels[place] == NORMAL
        pictures += [Picture(place, "lesions", number) for number in range(LESIONS if normal else 1)]
        pictures += [Picture(place, "harmless", number) for number in range(HARMLESS if normal else 0)]
    return pictures


def draw(picture: Picture, crop: Crop) -> tuple[np.ndarray, np.ndarray]:
    """A picture as a model would get it, and how much of each of its pixels is drawn lesion; (size, size) float32."""
    grey, cavity = crop.grey.astype(np.float32), crop.cavity
    lesions = np.zeros_like(grey)
    random = np.random.default_rng((KINDS.index(picture.kind), picture.number, picture.slice))
    if picture.kind == "moved":
        down, right = MOVES[picture.number]
        grey, cavity = (np.pad(array, ((0, down), (0, right)))[down:, right:] for array in (grey, cavity))
    elif picture.kind == "noised":
        grey = np.clip(add_noise(grey, random), 0, 1)
    elif picture.kind != "as served":
        if picture.kind == "harmless" or (picture.kind == "lesions" and random.random() < 0.6):
            grey = add_harmless(grey, crop.lungs, random)
        if picture.kind == "lesions":
            grey, lesions = add_lesions(grey, crop.lungs, random)
        grey, mask, lesions = vary_pose((vary_style(grey, random), cavity.astype(np.float32), lesions), random)
        cavity = mask > 0.5
    return crop.frame.to_square(grey, cavity), crop.frame.to_square(lesions, cavity)


def drawn(
    pictures: Sequence[Picture], crops: Sequence[Crop], batch: int = 64
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`draw` for all ``pictures``, in batches (n, size, size, 1) and (n, size, size), in their order."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(pictures), batch):
            pairs: Iterable = pool.map(lambda one: draw(one, crops[one.slice]), pictures[start : start + batch])
            greys, lesions = zip(*pairs, strict=True)
            yield np.stack(greys)[..., None], np.stack(lesions)
