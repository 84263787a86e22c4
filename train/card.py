"""A model's card from its weights file and the predictions of its runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from lungapp.cards import describe
from lungapp.models import build_model
from lungapp.preprocessing import to_input
from lungapp.reading import read_slice
from lungapp.registry import ModelSpec
from lungapp.weights_io import digest_of, read_weights
from train.calibrate import calibrate
from train.data import manifest_digest, read_manifest
from train.metrics import Judged, figures
from train.predict import Predictions, logits_of, read_predictions

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "examples" / "phantom-mass.png"
PREDICTIONS = ROOT / "train" / "results"
"""Committed logits on the validation and test slices, <protocol>/<model>-seed<N>/{validation,test}.csv."""

LIBRARIES = ("keras", "tensorflow-cpu", "numpy", "opencv-python-headless")


def protocol_figures(runs: list[Path]) -> dict[str, Any]:
    """Calibrated test figures over ``runs`` (one a seed), each run calibrated on its own validation slices."""
    tests = [read_predictions(run / "test.csv") for run in runs]
    grouped = runs[0].parent.name == "grouped"
    files = {file: number for number, file in enumerate(sorted({file for test in tests for file in test.files}))}
    judged = [
        Judged(
            test.probabilities(calibrate(read_predictions(run / "validation.csv"))["temperature"]),
            test.labels,
            test.groups if grouped else np.array([files[file] for file in test.files]),
        )
        for run, test in zip(runs, tests, strict=True)
    ]
    seeds = [int(run.name.rsplit("seed", 1)[1]) for run in runs]
    return {"seeds": seeds, **figures(judged)}


def confident_figures(run: Path, calibration: dict[str, Any]) -> dict[str, Any]:
    """How often the confident and the other predictions are right on the test slices of ``run``."""
    test: Predictions = read_predictions(run / "test.csv")
    probabilities = test.probabilities(calibration["temperature"])
    right = probabilities.argmax(axis=1) == test.labels
    confident = probabilities.max(axis=1) >= calibration["confident_above"]
    return {
        name: {"n": int(mask.sum()), "right": int(right[mask].sum())}
        for name, mask in (("confident", confident), ("uncertain", ~confident))
    }


def golden(spec: ModelSpec, weights: Path, temperature: float) -> dict[str, Any]:
    """Probabilities on a committed phantom, to notice any drift of reading, preprocessing or arithmetic."""
    model = build_model(spec)
    read_weights(model, weights)
    logits = logits_of(model, to_input(read_slice(GOLDEN), spec)[None])
    probabilities = Predictions((), logits.astype(np.float64), np.array([]), np.array([])).probabilities(temperature)[0]
    return {"file": GOLDEN.name, "probabilities": [round(float(p), 5) for p in probabilities]}


def make_card(spec: ModelSpec, weights: Path, own: Path, runs: dict[str, list[Path]]) -> dict[str, Any]:
    """The whole card of ``weights``, which came from the run ``own``.

    ``runs`` gives, per protocol, the runs of the same recipe whose test predictions make that protocol's figures.
    """
    settings = json.loads((own / "run.json").read_text())
    calibration = calibrate(read_predictions(own / "validation.csv"))
    entries = read_manifest()
    model = build_model(spec)
    return {
        **describe(spec),
        "title": spec.title,
        "parameters": int(model.count_params()),
        "weights_sha256": digest_of(weights),
        "pretraining": settings["pretrained"],
        **({"teacher": settings["teacher"]} if "teacher" in settings else {}),
        "data": {
            "dataset": "IQ-OTH/NCCD, doi 10.17632/bhmdr45bh2",
            "files": len(entries),
            "distinct": sum(not entry.duplicate_of for entry in entries),
            "groups": len({entry.group for entry in entries if not entry.duplicate_of}),
            "manifest_sha256": manifest_digest(entries),
            "protocol": settings["protocol"],
            "seed": settings["seed"],
        },
        "calibration": calibration | {"test": confident_figures(own, calibration)},
        "metrics": {protocol: protocol_figures(folders) for protocol, folders in runs.items() if folders},
        "golden": golden(spec, weights, calibration["temperature"]),
        "created": datetime.now(UTC).date().isoformat(),
        "library_versions": {name: version(name) for name in LIBRARIES},
        "licence": "MIT (weights); trained on IQ-OTH/NCCD, CC BY 4.0",
    }
