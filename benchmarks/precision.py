"""What the faster precision does to the answers on the dataset's held-out slices.

    python -m benchmarks.precision [--data FOLDER]

For each model, over the slices that the shipped weights did not learn from: the largest change of a calibrated
probability from float32 to bf16, and how many slices change their class or their status. bf16 may be what
`LUNGAPP_PRECISION` picks by itself only as long as no probability moves by more than 0.005 and no slice changes
its class.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from lungapp.anatomy import Anatomy
from lungapp.cards import shipped
from lungapp.inference import LoadedModel
from lungapp.preprocessing import to_input
from lungapp.reading import read_slice
from lungapp.registry import ModelSpec
from lungapp.results import Prediction
from lungapp.runtime import EXACT, FAST
from lungapp.settings import WEIGHTS
from train.data import find_dataset
from train.folds import held_out

ALLOWED = 0.005


def inputs_of(root: Path, spec: ModelSpec) -> np.ndarray:
    """(n, size, size, 1) float32: the held-out slices below ``root``, as ``spec``'s model gets them."""
    return np.stack([to_input(Anatomy(read_slice(root / entry.file)), spec) for entry in held_out()])


def predictions(spec: ModelSpec, precision: str, inputs: np.ndarray) -> list[Prediction]:
    """Of each of ``inputs`` (n, size, size, 1)."""
    loaded = LoadedModel(spec, WEIGHTS, precision)
    outputs = [output for start in range(0, len(inputs), 8) for output in loaded.run_batch(inputs[start : start + 8])]
    return [loaded.predict(output.logits) for output in outputs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    root = find_dataset(parser.parse_args().data)
    print("| Model | Slices | Largest change | of them over 0.005 | Changed class | Changed status |\n|" + 6 * " --- |")
    for spec in shipped(WEIGHTS):
        inputs = inputs_of(root, spec)
        pairs = list(zip(*(predictions(spec, way, inputs) for way in (EXACT, FAST)), strict=True))
        moved = [float(np.abs(exact.probabilities - fast.probabilities).max()) for exact, fast in pairs]
        over = sum(change > ALLOWED for change in moved)
        labels = sum(exact.label != fast.label for exact, fast in pairs)
        states = sum(exact.status != fast.status for exact, fast in pairs)
        print(f"| {spec.name} | {len(inputs)} | {max(moved):.4f} | {over} | {labels} | {states} |", flush=True)


if __name__ == "__main__":
    main()
