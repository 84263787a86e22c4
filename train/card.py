"""A model's card from its weights file and the predictions of its runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
from train.calibrate import calibrate, calibration_figures, is_confident, leaving_out, operating_rates
from train.data import manifest_digest, read_manifest
from train.history import read_history
from train.metrics import Judged, figures, selective
from train.predict import Predictions, logits_of, read_predictions

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "examples" / "phantom-mass.png"
PREDICTIONS = ROOT / "train" / "results"
"""Committed logits on the validation and test slices, <protocol>/<model>-seed<N>/{validation,test}.csv."""

CROSSVAL = PREDICTIONS / "crossval.json"

BASELINES = ("nearest_neighbour", "grey_statistics")
"""See `train.baselines`."""

LIBRARIES = ("keras", "tensorflow-cpu", "numpy", "opencv-python-headless")


def protocol_figures(runs: list[Path]) -> dict[str, Any]:
    """Calibrated test figures over ``runs`` (one a seed), each run calibrated on its own validation slices."""
    tests = [read_predictions(run / "test.csv") for run in runs]
    temperatures = [calibrate(read_predictions(run / "validation.csv"))["temperature"] for run in runs]
    return {"seeds": seeds_of(runs), **figures(judge(tests, temperatures, runs[0].parent.name))}


def judge(tests: Sequence[Predictions], temperatures: Sequence[float], protocol: str) -> list[Judged]:
    """What the figures of ``protocol`` need: probabilities, truth, and what the bootstrap draws."""
    files = {file: number for number, file in enumerate(sorted({file for test in tests for file in test.files}))}
    return [
        Judged(
            test.probabilities(temperature),
            test.labels,
            test.groups if protocol == "grouped" else np.array([files[file] for file in test.files]),
        )
        for test, temperature in zip(tests, temperatures, strict=True)
    ]


def seeds_of(runs: list[Path]) -> list[int]:
    """The seeds that the folders of ``runs`` are named after."""
    return [int(run.name.rsplit("seed", 1)[1]) for run in runs]


def calibration_of(run: Path, folds: Sequence[Predictions] = ()) -> dict[str, Any]:
    """A card's whole ``calibration``: what the validation slices of ``run`` say, and what the test slices say then.

    ``folds`` as in `calibrate`; the groups of the test slices are left out of them here.
    """
    test = read_predictions(run / "test.csv")
    calibration = calibrate(read_predictions(run / "validation.csv"), folds=leaving_out(folds, test.groups))
    return calibration | tested(test, calibration) | calibration_figures(test, calibration["temperature"])


def tested(test: Predictions, calibration: dict[str, Any]) -> dict[str, Any]:
    """The keys of ``calibration`` that hold its rules against ``test``: operating points, abstention."""
    temperature = calibration["temperature"]
    points = {
        name: point | {"test": operating_rates(test, temperature, point["threshold"])}
        for name, point in calibration["operating_points"].items()
    }
    return {"operating_points": points, "test": _selective(test, calibration)}


def confident_figures(run: Path, calibration: dict[str, Any]) -> dict[str, Any]:
    """How often the confident and the other predictions are right on the test slices of ``run``."""
    return _selective(read_predictions(run / "test.csv"), calibration)


def _selective(test: Predictions, calibration: dict[str, Any]) -> dict[str, Any]:
    probabilities = test.probabilities(calibration["temperature"])
    return selective(probabilities, test.labels, is_confident(probabilities, calibration))


def crossval_of(name: str) -> dict[str, Any]:
    """``{"crossval": ...}`` of the model or ensemble ``name`` for its card; empty where none was run."""
    if not CROSSVAL.is_file():
        return {}
    found = json.loads(CROSSVAL.read_text(encoding="utf-8"))
    results = found["results"]
    if name not in results:
        return {}
    beside = {
        "audit": found["audit"].get(name),
        "baselines": {key: results[key] for key in BASELINES if key in results},
    }
    own = results[name] | {key: value for key, value in beside.items() if value}
    return {"crossval": {"settings": found["settings"], **own}}


def golden(spec: ModelSpec, weights: Path, temperature: float) -> dict[str, Any]:
    """Probabilities on a committed phantom, to notice any drift of reading, preprocessing or arithmetic."""
    model = build_model(spec)
    read_weights(model, weights)
    logits = logits_of(model, to_input(read_slice(GOLDEN), spec)[None])
    probabilities = Predictions((), logits.astype(np.float64), np.array([]), np.array([])).probabilities(temperature)[0]
    return {"file": GOLDEN.name, "probabilities": [round(float(p), 5) for p in probabilities]}


def make_card(
    spec: ModelSpec, weights: Path, own: Path, runs: dict[str, list[Path]], folds: Sequence[Predictions] = ()
) -> dict[str, Any]:
    """The whole card of ``weights``, which came from the run ``own``.

    ``runs`` gives, per protocol, the runs of the same recipe whose test predictions make that protocol's figures;
    ``folds`` may choose the abstention threshold (see `calibrate`).
    """
    settings = json.loads((own / "run.json").read_text())
    calibration = calibration_of(own, folds)
    entries = read_manifest()
    model = build_model(spec)
    return {
        **describe(spec),
        "title": spec.title,
        "parameters": int(model.count_params()),
        "weights_sha256": digest_of(weights),
        "pretraining": settings["pretrained"],
        **{key: settings[key] for key in ("teacher", "start") if key in settings},
        "data": {
            "dataset": "IQ-OTH/NCCD, doi 10.17632/bhmdr45bh2",
            "files": len(entries),
            "distinct": sum(not entry.duplicate_of for entry in entries),
            "groups": len({entry.group for entry in entries if not entry.duplicate_of}),
            "manifest_sha256": manifest_digest(entries),
            "protocol": settings["protocol"],
            "seed": settings["seed"],
        },
        "calibration": calibration,
        "metrics": {protocol: protocol_figures(folders) for protocol, folders in runs.items() if folders},
        **crossval_of(spec.name),
        "history": read_history(own),
        "golden": golden(spec, weights, calibration["temperature"]),
        "created": datetime.now(UTC).date().isoformat(),
        "library_versions": {name: version(name) for name in LIBRARIES},
        "licence": "MIT (weights); trained on IQ-OTH/NCCD, CC BY 4.0",
    }
