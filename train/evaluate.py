"""Recompute every figure of the cards and fail on a difference.

    python -m train.evaluate [MODEL …] [--data FOLDER] [--write]

Grouped figures, calibration and the golden probabilities are recomputed from the weights and the dataset's slices.
The image-level figures belong to weights that are not shipped (they are trained on slices nearly equal to the test
slices): they are recomputed from those runs' committed logits; ``python -m train.fit MODEL --protocol image_level``
makes them anew. ``--write`` also renders the README's table. About a minute on two cores.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lungapp.cards import read_card, shipped
from lungapp.errors import LungAppError
from lungapp.models import load_model
from lungapp.registry import ModelSpec, get_spec
from lungapp.settings import WEIGHTS
from train.calibrate import calibrate
from train.card import confident_figures, golden, protocol_figures
from train.data import find_dataset, manifest_digest, read_manifest
from train.pipeline import entries_of, load_part
from train.predict import logits_of, read_predictions, write_predictions
from train.publish import kept_runs
from train.table import render_table, write_readme

TOLERANCE = 0.0015
"""On figures that are rounded to four digits: arithmetic differs in the last bits between processors."""


def recompute(spec: ModelSpec, root: Path) -> dict[str, Any]:
    """The parts of ``spec``'s card that follow from its weights, the dataset and the committed logits."""
    model, card = load_model(spec, WEIGHTS)
    seed = card.data["data"]["seed"]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "grouped" / f"{spec.name}-seed{seed}"
        run.mkdir(parents=True)
        for part in ("validation", "test"):
            loaded = load_part(root, entries_of("grouped", part), spec)
            write_predictions(run / f"{part}.csv", loaded, logits_of(model, loaded.inputs))
        calibration = calibrate(read_predictions(run / "validation.csv"))
        return {
            "data": {"manifest_sha256": manifest_digest(read_manifest())},
            "calibration": calibration | {"test": confident_figures(run, calibration)},
            "metrics": {
                "grouped": protocol_figures([run]),
                "image_level": protocol_figures(kept_runs(spec, seed)["image_level"]),
            },
            "golden": golden(spec, WEIGHTS / f"{spec.name}.safetensors", calibration["temperature"]),
        }


def differences(expected: Any, received: Any, where: str = "") -> Iterator[str]:
    """Every place where ``received`` differs from the card's ``expected`` by more than `TOLERANCE`."""
    if isinstance(received, dict):
        for key, value in received.items():
            if not isinstance(expected, dict) or key not in expected:
                yield f"{where}/{key}: missing in the card"
            else:
                yield from differences(expected[key], value, f"{where}/{key}")
    elif isinstance(received, list):
        if not isinstance(expected, list) or len(expected) != len(received):
            yield f"{where}: card {expected}, recomputed {received}"
        else:
            for index, value in enumerate(received):
                yield from differences(expected[index], value, f"{where}/{index}")
    elif isinstance(received, float):
        if abs(expected - received) > TOLERANCE:
            yield f"{where}: card {expected}, recomputed {received}"
    elif expected != received:
        yield f"{where}: card {expected}, recomputed {received}"


def main(arguments: list[str] | None = None) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [spec.name for spec in shipped(WEIGHTS)]
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"default: {' '.join(names)}")
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    parser.add_argument("--write", action="store_true", help="render the table into README.md")
    options = parser.parse_args(arguments)
    wrong = 0
    try:
        root = find_dataset(options.data)
        for name in options.models or names:
            spec = get_spec(name)
            found = list(differences(read_card(spec, WEIGHTS).data, recompute(spec, root)))
            wrong += len(found)
            print(f"{name}: {'every figure recomputed, equal' if not found else f'{len(found)} differ'}")
            print(*found, sep="\n", end="\n" if found else "")
    except LungAppError as error:
        print(error, file=sys.stderr)
        return 2
    print(render_table())
    if options.write:
        write_readme()
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
