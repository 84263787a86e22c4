"""Fit what the input gate takes for a typical slice: ``lungapp/quality/typical.safetensors``.

    python -m train.gate [--data FOLDER]

Principal components of the grouped training slices and their mirror images; the limit comes from the slices of the
other two parts, whose similarity groups none of the training slices belongs to.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from lungapp.anatomy import Anatomy
from lungapp.errors import LungAppError
from lungapp.quality.typical import FILE, SIDE, Typical, vector
from lungapp.reading import read_slice
from train.data import Entry, find_dataset
from train.folds import held_out, learnt_from

COMPONENTS = 16
WARN = 1.25
"""How many times the largest distance of a held-out slice is unusual: other scanners and patients differ, too."""


def vectors(root: Path, entries: Sequence[Entry]) -> np.ndarray:
    """(slices, pixels) float32 of ``entries``."""
    return np.stack([_vector(root / entry.file) for entry in entries])


def _vector(path: Path) -> np.ndarray:
    return vector(Anatomy(read_slice(path)))


def fit(training: np.ndarray, held_out: np.ndarray) -> Typical:
    """Components of ``training`` (slices, pixels) and its mirror images; the limit from ``held_out``."""
    mirrored = training.reshape(-1, SIDE, SIDE)[:, :, ::-1].reshape(training.shape)
    both = np.concatenate([training, mirrored])
    mean = both.mean(axis=0)
    components = np.linalg.svd(both - mean, full_matrices=False)[2][:COMPONENTS]
    mean, components = (array.astype(np.float16).astype(np.float32) for array in (mean, components))
    bare = Typical(mean, components, warn=np.inf)
    distances = np.array([bare.distance(one) for one in held_out])
    return Typical(mean, components, _raised(float(WARN * distances.max())))


def _raised(limit: float) -> float:
    """``limit`` with four decimals, not below it: the slice that sets it stays within."""
    return math.ceil(limit * 1e4) / 1e4


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    options = parser.parse_args(arguments)
    try:
        root = find_dataset(options.data)
        found = fit(vectors(root, learnt_from()), vectors(root, held_out()))
    except LungAppError as error:
        print(error, file=sys.stderr)
        return 2
    arrays = {"mean": found.mean.astype(np.float16), "components": found.components.astype(np.float16)}
    save_file(arrays, FILE, {"warn": f"{found.warn:.4f}"})
    print(f"{FILE.name}: warn from {found.warn:.4f}, {FILE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
