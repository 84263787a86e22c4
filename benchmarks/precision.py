"""What the faster precision does to the answers on the dataset's held-out slices.

    python -m benchmarks.precision [--data FOLDER]

For each model, over the validation and the test slices of the grouped split: the largest change of a calibrated
probability from float32 to bf16, and how many slices change their class. bf16 is a setting (`LUNGAPP_PRECISION`) and
not the default as long as a probability moves by more than 0.005 or a test slice changes its class.
"""

from __future__ import annotations

import argparse

import numpy as np

from lungapp.cards import shipped
from lungapp.inference import LoadedModel
from lungapp.registry import ModelSpec
from lungapp.settings import PRECISIONS, WEIGHTS
from train.data import find_dataset
from train.pipeline import entries_of, load_part

ALLOWED = 0.005


def probabilities(spec: ModelSpec, precision: str, inputs: np.ndarray) -> np.ndarray:
    """(n, labels) calibrated."""
    loaded = LoadedModel(spec, WEIGHTS, precision)
    outputs = [output for start in range(0, len(inputs), 8) for output in loaded.run_batch(inputs[start : start + 8])]
    return np.array([loaded.predict(output.logits).probabilities for output in outputs])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    root = find_dataset(parser.parse_args().data)
    print("| Model | Slices | Largest change | of them over 0.005 | Changed class |\n|" + 5 * " --- |")
    for spec in shipped(WEIGHTS):
        for part in ("validation", "test"):
            inputs = load_part(root, entries_of("grouped", part), spec).inputs
            exact, fast = (probabilities(spec, precision, inputs) for precision in PRECISIONS)
            moved = np.abs(exact - fast).max(axis=1)
            changed = int((exact.argmax(axis=1) != fast.argmax(axis=1)).sum())
            over = int((moved > ALLOWED).sum())
            print(f"| {spec.name} | {len(inputs)} {part} | {moved.max():.4f} | {over} | {changed} |", flush=True)


if __name__ == "__main__":
    main()
