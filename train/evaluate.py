"""Recompute every committed figure and fail on a difference.

    python -m train.evaluate [MODEL …] [--data FOLDER] [--write]

The logits on the shipped fold's held-out slices and the golden probabilities are recomputed from the shipped weights
and the dataset; all figures of the cards from the committed logits of all folds. ``python -m train.crossval`` makes
those anew. ``--write`` also renders the README's table, ``docs/crossval.md``, ``docs/audit.md`` and
``weights/README.md``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lungapp.cards import ENSEMBLE, read_card, read_ensemble_card, shipped
from lungapp.errors import LungAppError
from lungapp.models import load_model
from lungapp.registry import ModelSpec, get_spec
from lungapp.settings import WEIGHTS
from train.audit import audit_of
from train.audit import write_document as write_audit
from train.card import golden, measured
from train.data import PROTOCOLS, find_dataset, manifest_digest, read_manifest
from train.ensemble import make_ensemble_card
from train.folds import SHIPPED, held_out
from train.model_cards import write as write_model_cards
from train.predict import RESULTS, inputs_of, logits_of, read_folds, read_predictions
from train.table import render_table
from train.table import write as write_tables

TOLERANCE = 0.0015
"""On figures that are rounded to four digits: arithmetic differs in the last bits between processors."""

LOGITS_TOLERANCE = 0.05
"""On logits: the committed ones come from features kept in 16 bit, before the weights were."""


def logits_differ(spec: ModelSpec, root: Path) -> Iterator[str]:
    """Where the shipped weights of ``spec`` do not say what is committed of the shipped fold's held-out slices."""
    committed = read_predictions(RESULTS / "grouped" / f"fold{SHIPPED}" / spec.name / "test.csv")
    entries = held_out()
    if committed.files != tuple(entry.file for entry in entries):
        yield f"held-out slices: committed {len(committed.files)} other ones than the {len(entries)} of the manifest"
        return
    model, _ = load_model(spec, WEIGHTS)
    received = logits_of(model, inputs_of(root, entries, spec))
    for place in np.flatnonzero(np.abs(received - committed.logits).max(axis=1) > LOGITS_TOLERANCE):
        yield f"{committed.files[place]}: committed {committed.logits[place]}, recomputed {received[place]}"


def recompute(spec: ModelSpec) -> dict[str, Any]:
    """The parts of the card of ``spec`` that follow from its weights and the committed logits."""
    found = measured(spec.name, {protocol: read_folds(spec.name, protocol) for protocol in PROTOCOLS})
    weights = WEIGHTS / f"{spec.name}.safetensors"
    return {
        "data": {"manifest_sha256": manifest_digest(read_manifest())},
        **found,
        **({"audit": audit} if (audit := audit_of(spec.name)) else {}),
        "golden": golden(spec, weights, found["calibration"]["temperature"]),
    }


def recompute_ensemble() -> dict[str, Any]:
    """The parts of the ensemble's card that follow from its members."""
    made = make_ensemble_card([read_card(spec, WEIGHTS) for spec in shipped(WEIGHTS)])
    return {key: made[key] for key in ("members", "calibration", "metrics", "baselines")}


def differences(expected: Any, received: Any, where: str = "") -> Iterator[str]:
    """Every place where ``received`` differs from the card's ``expected`` by more than `TOLERANCE`.

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
        if not isinstance(expected, int | float) or abs(expected - received) > TOLERANCE:
            yield f"{where}: card {expected}, recomputed {received}"
    elif expected != received:
        yield f"{where}: card {expected}, recomputed {received}"


def _area(roc: dict[str, list[float]]) -> float:
    return float(np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"]))


def main(arguments: list[str] | None = None) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [spec.name for spec in shipped(WEIGHTS)]
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"default: {' '.join(names)}")
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    parser.add_argument("--write", action="store_true", help="render README.md, docs/ and weights/README.md")
    options = parser.parse_args(arguments)
    wrong = 0
    try:
        root = find_dataset(options.data)
        for name in options.models or names:
            spec = get_spec(name)
            card = read_card(spec, WEIGHTS).data
            wrong += _report(name, [*logits_differ(spec, root), *differences(card, recompute(spec))])
        if not options.models:
            wrong += _report(ENSEMBLE, list(differences(read_ensemble_card(WEIGHTS).data, recompute_ensemble())))
    except LungAppError as error:
        print(error, file=sys.stderr)
        return 2
    print(render_table())
    if options.write:
        write_tables()
        write_audit()
        write_model_cards()
    return int(wrong > 0)


def _report(name: str, differing: list[str]) -> int:
    """Print what differs of one card; returns how much."""
    print(f"{name}: {f'{len(differing)} differ' if differing else 'every figure recomputed, equal'}", flush=True)
    print(*differing, sep="\n", end="\n" if differing else "")
    return len(differing)


if __name__ == "__main__":
    sys.exit(main())
