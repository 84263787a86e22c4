"""Recompute every committed figure and fail on a difference.

    python -m train.evaluate [MODEL …] [--data FOLDER] [--write] [--no-audit]

Grouped figures, calibration, the shortcut audit and the golden probabilities of a model are recomputed from its weights
and the dataset's slices. The figures of weights that are not shipped are recomputed from those runs' committed logits:
the image-level ones (trained on slices nearly equal to the test slices) and the cross-validation's. ``python -m
train.fit`` and ``python -m train.crossval`` make those logits anew. The ensemble follows from its members. ``--write``
also renders the README's tables and the other pages of figures. Some minutes on two cores, most of them ResNet-50's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lungapp.cards import ENSEMBLE, read_card, read_ensemble_card, shipped
from lungapp.errors import LungAppError
from lungapp.models import load_model
from lungapp.registry import ModelSpec, get_spec
from lungapp.settings import WEIGHTS
from train.audit import audit, write_document
from train.card import CROSSVAL, calibration_of, crossval_of, golden, protocol_figures
from train.crossval_table import PAGE, render, summarise
from train.data import find_dataset, manifest_digest, read_manifest
from train.ensemble import make_ensemble_card, shared_runs
from train.model_cards import write as write_model_cards
from train.pipeline import entries_of, load_part
from train.predict import logits_of, write_predictions
from train.publish import kept_runs
from train.table import render_table, write_readme

TOLERANCE = 0.0015
"""On figures that are rounded to four digits: arithmetic differs in the last bits between processors."""

AUDIT_TOLERANCE = 0.04
"""On the audit's: among some 1,500 changed pictures one may lie so near a tie that it falls the other way elsewhere,
and one of ten benign slices is 0.033 of balanced accuracy."""


def recompute(spec: ModelSpec, root: Path, with_audit: bool = True) -> dict[str, Any]:
    """The parts of ``spec``'s card that follow from its weights, the dataset and the committed logits."""
    model, card = load_model(spec, WEIGHTS)
    seed = card.data["data"]["seed"]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "grouped" / f"{spec.name}-seed{seed}"
        run.mkdir(parents=True)
        for part in ("validation", "test"):
            loaded = load_part(root, entries_of("grouped", part), spec)
            write_predictions(run / f"{part}.csv", loaded, logits_of(model, loaded.inputs))
        calibration = calibration_of(run)
        found = {
            "data": {"manifest_sha256": manifest_digest(read_manifest())},
            "calibration": calibration,
            "metrics": {
                "grouped": protocol_figures([run]),
                "image_level": protocol_figures(kept_runs(spec, seed)["image_level"]),
            },
            "golden": golden(spec, WEIGHTS / f"{spec.name}.safetensors", calibration["temperature"]),
            **crossval_of(spec.name),
        }
        if with_audit:  # ``loaded`` is the test part
            found["audit"] = audit(model, loaded, calibration["temperature"])
        return found


def recompute_ensemble() -> dict[str, Any]:
    """The ensemble's card, which follows from the committed logits of its members."""
    cards = [read_card(spec, WEIGHTS) for spec in shipped(WEIGHTS)]
    made = make_ensemble_card(cards, shared_runs(cards)) | crossval_of(ENSEMBLE)
    return {key: made[key] for key in ("members", "calibration", "metrics", "crossval") if key in made}


def differences(expected: Any, received: Any, where: str = "") -> Iterator[str]:
    """Every place where ``received`` differs from the card's ``expected`` by more than `tolerance`.

    Of a ROC curve the area is compared: where two slices all but tie, another processor may bend it elsewhere.
    """
    if where.endswith("/roc") and isinstance(expected, dict):
        expected, received = _area(expected), _area(received)
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
        if not isinstance(expected, int | float) or abs(expected - received) > tolerance(where):
            yield f"{where}: card {expected}, recomputed {received}"
    elif expected != received:
        yield f"{where}: card {expected}, recomputed {received}"


def tolerance(where: str) -> float:
    """By how much the figure at ``where`` in a card may differ from its recomputation."""
    return AUDIT_TOLERANCE if where.startswith("/audit") else TOLERANCE


def _area(roc: dict[str, list[float]]) -> float:
    return float(np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"]))


def main(arguments: list[str] | None = None) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [spec.name for spec in shipped(WEIGHTS)]
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"default: {' '.join(names)}")
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    parser.add_argument("--write", action="store_true", help="render README.md, docs/ and weights/README.md")
    parser.add_argument("--no-audit", action="store_true", help="leave the shortcut audit out: the longest part")
    options = parser.parse_args(arguments)
    wrong = 0
    try:
        root = find_dataset(options.data)
        for name in options.models or names:
            spec = get_spec(name)
            wrong += _report(name, read_card(spec, WEIGHTS).data, recompute(spec, root, not options.no_audit))
        if not options.models:
            wrong += _report(ENSEMBLE, read_ensemble_card(WEIGHTS).data, recompute_ensemble())
            wrong += _report("cross-validation", json.loads(CROSSVAL.read_text(encoding="utf-8")), summarise())
    except LungAppError as error:
        print(error, file=sys.stderr)
        return 2
    print(render_table())
    if options.write:
        write_readme()
        write_document()
        PAGE.write_text(render(summarise()), encoding="utf-8")
        write_model_cards()
    return int(wrong > 0)


def _report(name: str, expected: dict[str, Any], received: dict[str, Any]) -> int:
    """Print what differs of one card; returns how much."""
    found = list(differences(expected, received))
    print(f"{name}: {'every figure recomputed, equal' if not found else f'{len(found)} differ'}", flush=True)
    print(*found, sep="\n", end="\n" if found else "")
    return len(found)


if __name__ == "__main__":
    sys.exit(main())
