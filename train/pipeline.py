"""Dataset files → model inputs in memory → tf.data."""

from __future__ import annotations

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
from train.augment import augment, interpolate, neighbours
from train.data import Entry, read_manifest, read_split


@dataclass(frozen=True, eq=False)
class Part:
    """One side of a split: ``inputs`` (n, size, size, 1) float32, ``labels`` (n,) int, ``groups`` (n,) int."""

    files: tuple[str, ...]
    inputs: np.ndarray
    labels: np.ndarray
    groups: np.ndarray


def entries_of(protocol: str, part: str, seed: int = 0) -> list[Entry]:
    """The distinct entries of the committed manifest that belong to ``part`` of the split of ``protocol`` and seed."""
    parts = read_split(protocol, seed)
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
        pictures = pool.map(lambda entry: to_input(read_slice(root / entry.file), spec), entries)
        inputs = np.stack(
            list(tqdm(pictures, total=len(entries), desc=f"reading at {spec.size}", leave=False, mininterval=1))
        )
    labels = np.array([LABELS.index(entry.label) for entry in entries])
    return Part(tuple(e.file for e in entries), inputs, labels, np.array([entry.group for entry in entries]))


def class_weights(labels: np.ndarray) -> np.ndarray:
    """(labels,) float32, of mean 1 over the slices: the square root of inverse class frequency.

    With the inverse itself every class weighs the same, and the models call too many normal slices benign.
    """
    weights = 1 / np.sqrt(np.bincount(labels, minlength=len(LABELS)))
    return (weights / weights[labels].mean()).astype(np.float32)


def group_classes(part: Part) -> np.ndarray:
    """(slices,) int from 0: which similarity group and label a slice has, the finer classes of the training head."""
    return np.unique(np.stack([part.groups, part.labels], axis=1), axis=0, return_inverse=True)[1].ravel()


def training_batches(part: Part, batch: int, seed: int) -> tf.data.Dataset:
    """Shuffled, augmented batches (inputs, targets, sample weights), prepared while the model computes.

    Targets and weights are dicts over the two outputs of `train.group_head`: one-hot labels and group classes.
    """
    groups = group_classes(part)
    weights = class_weights(part.labels)[part.labels]
    targets = _targets(part, np.eye(groups.max() + 1, dtype=np.float32)[groups])
    random = np.random.default_rng(seed)
    near = neighbours(part.inputs, groups)
    indices = np.arange(len(part.labels))
    data = tf.data.Dataset.from_tensor_slices((indices, targets, {"probabilities": weights, "groups": weights}))
    data = data.shuffle(len(part.labels), seed=seed, reshuffle_each_iteration=True).batch(batch)

    def pictures(chosen: np.ndarray) -> np.ndarray:
        return augment(interpolate(part.inputs, chosen, near, random), random)

    def augmented(chosen: tf.Tensor, y: dict, w: dict) -> tuple[tf.Tensor, dict, dict]:
        x = tf.numpy_function(pictures, [chosen], tf.float32)
        return tf.ensure_shape(x, (None, *part.inputs.shape[1:])), y, w

    return data.map(augmented).prefetch(tf.data.AUTOTUNE)


def validation_batches(part: Part, group_count: int, batch: int = 32) -> tf.data.Dataset:
    """Batches in order, not augmented. Their groups may be unknown to the model, so the group output weighs nothing."""
    weights = class_weights(part.labels)[part.labels]
    targets = _targets(part, np.zeros((len(part.labels), group_count), np.float32))
    sample_weights = {"probabilities": weights, "groups": np.zeros_like(weights)}
    data = tf.data.Dataset.from_tensor_slices((part.inputs, targets, sample_weights))
    return data.batch(batch).prefetch(tf.data.AUTOTUNE)


def _targets(part: Part, groups: np.ndarray) -> dict[str, np.ndarray]:
    return {"probabilities": np.eye(len(LABELS), dtype=np.float32)[part.labels], "groups": groups}
