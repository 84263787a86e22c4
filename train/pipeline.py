"""Dataset files → model inputs in memory → tf.data."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from lungapp.errors import DatasetDamaged
from lungapp.preprocessing import to_input
from lungapp.reading import read_slice
from lungapp.registry import LABELS, ModelSpec
from train.augment import augment, hollow, interpolate, mask, mix, neighbours
from train.conditions import lung_region, noise_level
from train.data import Entry, read_manifest, read_split
from train.recipes import Augmentation, Recipe, Stage

NOISY = 0.9
"""Quantile of the training slices' noise levels that an equalised slice is brought to: most can only gain noise."""


@dataclass(frozen=True, eq=False)
class Part:
    """One side of a split: ``inputs`` (n, size, size, 1) float32, ``labels`` (n,) int, ``groups`` (n,) int."""

    files: tuple[str, ...]
    inputs: np.ndarray
    labels: np.ndarray
    groups: np.ndarray


def entries_of(protocol: str, part: str, seed: int = 0) -> list[Entry]:
    """The distinct entries of the committed manifest that belong to ``part`` of the split of ``protocol`` and seed."""
    return entries_in(read_split(protocol, seed), part)


def entries_in(parts: Mapping[str, str], part: str) -> list[Entry]:
    """The entries of the committed manifest that ``parts`` (file → part) puts into ``part``."""
    return [entry for entry in read_manifest() if parts.get(entry.file) == part]


def load_part(root: Path, entries: list[Entry], spec: ModelSpec) -> Part:
    """Read and prepare ``entries`` below ``root``, with a progress bar.

    Raises `DatasetDamaged` where a file of the manifest is missing.
    """
    missing = [entry.file for entry in entries if not (root / entry.file).is_file()]
    if missing:
        raise DatasetDamaged(
            f"Expected every file of the manifest. Missing: {len(missing)}, first {missing[0]!r}. "
            "Run `python -m train.data` to write a manifest of your copy."
        )
    with ThreadPoolExecutor() as pool:
        pictures = pool.map(lambda entry: _input(root / entry.file, spec), entries)
        inputs = np.stack(
            list(tqdm(pictures, total=len(entries), desc=f"reading at {spec.size}", leave=False, mininterval=1))
        )
    labels = np.array([LABELS.index(entry.label) for entry in entries])
    return Part(tuple(e.file for e in entries), inputs, labels, np.array([entry.group for entry in entries]))


@functools.lru_cache(maxsize=2048)
def _input(path: Path, spec: ModelSpec) -> np.ndarray:
    """`to_input` of a file, kept: the folds of a cross-validation share their slices."""
    return to_input(read_slice(path), spec)


def sample_weights(part: Part, class_power: float, group_power: float) -> np.ndarray:
    """(n,) float32, of mean 1: what each slice weighs in the loss.

    A slice weighs the inverse of its class's frequency to the power ``class_power`` and of its group's size to
    ``group_power``. With the full inverse the models call too many normal slices benign; with powers of 0 all weigh
    the same.
    """
    groups = group_classes(part)
    weights = np.bincount(groups)[groups] ** -float(group_power)
    totals = np.bincount(part.labels, weights, minlength=len(LABELS))
    weights *= (totals / len(part.labels))[part.labels] ** -float(class_power)
    return (weights / weights.mean()).astype(np.float32)


def group_classes(part: Part) -> np.ndarray:
    """(slices,) int from 0: which similarity group and label a slice has, the finer classes of the training head."""
    return np.unique(np.stack([part.groups, part.labels], axis=1), axis=0, return_inverse=True)[1].ravel()


def training_batches(part: Part, recipe: Recipe, stage: Stage, seed: int) -> tf.data.Dataset:
    """Shuffled, augmented batches (inputs, targets, sample weights), prepared while the model computes.

    Targets and weights are dicts over the two outputs of `train.group_head`: one-hot labels and group classes, both
    mixed where the stage mixes slices; without a group head over the labels alone.
    """
    groups = group_classes(part)
    weights = sample_weights(part, recipe.class_power, recipe.group_power)
    targets = _targets(part, np.eye(groups.max() + 1, dtype=np.float32)[groups] if stage.group_head else None)
    pictures = _Pictures(part, groups, stage.augmentation, seed)
    indices = np.arange(len(part.labels))
    data = tf.data.Dataset.from_tensor_slices((indices, targets, weights))
    data = data.shuffle(len(part.labels), seed=seed, reshuffle_each_iteration=True).batch(stage.batch)

    def augmented(chosen: tf.Tensor, y: dict, w: tf.Tensor) -> tuple[tf.Tensor, dict, dict]:
        x, emptied, partners, shares = tf.numpy_function(
            pictures, [chosen], (tf.float32, tf.bool, tf.int32, tf.float32)
        )
        emptied, partners, shares = (tf.ensure_shape(one, (None,)) for one in (emptied, partners, shares))
        y = {name: tf.where(emptied[:, None], 1 / one.shape[-1], one) for name, one in y.items()}
        own, other = shares * w, (1 - shares) * tf.gather(w, partners)
        w = own + other
        y = {
            name: (own[:, None] * one + other[:, None] * tf.gather(one, partners)) / w[:, None]
            for name, one in y.items()
        }
        return tf.ensure_shape(x, (None, *part.inputs.shape[1:])), y, dict.fromkeys(y, w)

    return data.map(augmented).prefetch(tf.data.AUTOTUNE)


class _Pictures:
    """Indices of slices (batch,) → augmented pictures, and of each whether it was emptied, whom it was mixed with, and
    its own share.
    """

    def __init__(self, part: Part, groups: np.ndarray, how: Augmentation, seed: int) -> None:
        self._inputs, self._how = part.inputs, how
        self._random = np.random.default_rng(seed)
        self._near = neighbours(part.inputs, groups)
        self._regions = np.stack([lung_region(picture[..., 0]) for picture in part.inputs])
        self._noise = float(np.quantile([noise_level(picture[..., 0]) for picture in part.inputs], NOISY))

    def __call__(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        random, how = self._random, self._how
        x = interpolate(self._inputs, chosen, self._near, how.interpolated, random)
        emptied, hollowed = np.zeros(len(x), bool), x
        if how.hollow:
            hollowed, emptied = hollow(x, how.hollow, random)
        whole = mask(x, self._regions[chosen], how.masked, random)
        x = augment(np.where(emptied[:, None, None, None], hollowed, whole), how, self._noise, random)
        partners, shares = mix(len(x), how.mixup, random)
        weight = shares[:, None, None, None]
        return x * weight + x[partners] * (1 - weight), emptied, partners, shares


def validation_batches(part: Part, group_count: int, recipe: Recipe, batch: int = 32) -> tf.data.Dataset:
    """Batches in order, not augmented. Their groups may be unknown to the model, so the group output weighs nothing.

    ``group_count`` is 0 where there is no such output.
    """
    weights = sample_weights(part, recipe.class_power, recipe.group_power)
    targets = _targets(part, np.zeros((len(part.labels), group_count), np.float32) if group_count else None)
    both = {"probabilities": weights, "groups": np.zeros_like(weights)}
    data = tf.data.Dataset.from_tensor_slices((part.inputs, targets, {name: both[name] for name in targets}))
    return data.batch(batch).prefetch(tf.data.AUTOTUNE)


def _targets(part: Part, groups: np.ndarray | None) -> dict[str, np.ndarray]:
    targets = {"probabilities": np.eye(len(LABELS), dtype=np.float32)[part.labels]}
    return targets if groups is None else targets | {"groups": groups}
