"""A model's card from its weights file and the committed logits of its folds."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from lungapp.anatomy import Anatomy
from lungapp.cards import describe
from lungapp.models import build_model
from lungapp.preprocessing import to_input
from lungapp.reading import read_slice
from lungapp.registry import ModelSpec
from lungapp.weights_io import digest_of, read_weights
from train.audit import audit_of
from train.calibrate import calibration_of, judge, rules_of
from train.data import PROTOCOLS, manifest_digest, read_manifest
from train.folds import SHIPPED
from train.metrics import pooled_figures
from train.predict import RESULTS, Predictions, logits_of, read_folds

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "examples" / "phantom-mass.png"

BASELINES = ("nearest_neighbour", "grey_statistics", "frozen_features")
"""See `train.baselines`."""

IMAGENET = "EfficientNet-Lite0, ImageNet"
PRETRAINING = {
    "basic_cnn": f"first two layers distilled from {IMAGENET}",
    "resnet50": f"distilled from {IMAGENET}",
    "advanced_cnn": IMAGENET,
}
LIBRARIES = ("keras", "tensorflow-cpu", "numpy", "opencv-python-headless")


def figures_of(folds: Sequence[Predictions], protocol: str, temperature: float | None = None) -> dict[str, Any]:
    """Calibrated figures over ``folds``, and of the shipped grouped fold's slices alone as ``shipped_fold``."""
    judged = judge(folds, rules_of(folds, temperature), protocol)
    shipped = {"shipped_fold": pooled_figures([judged[SHIPPED]])} if protocol == "grouped" else {}
    return pooled_figures(judged) | shipped


@functools.cache
def baselines(results: Path | None = None) -> dict[str, Any]:
    """Baseline → protocol → figures, of those that were measured; their probabilities stand as they are."""
    found: dict[str, Any] = {}
    for name in BASELINES:
        for protocol in PROTOCOLS:
            if folds := read_folds(name, protocol, results):
                found.setdefault(name, {})[protocol] = figures_of(folds, protocol, temperature=1.0)
    return found


def measured(
    name: str, folds: dict[str, list[Predictions]], results: Path | None = None, temperature: float | None = None
) -> dict[str, Any]:
    """The keys of the card ``name`` that follow from logits: protocol → ``folds``, of which the grouped ones calibrate.

    Beside the protocols' figures stand those on patients from elsewhere, where they were measured.
    """
    figures = {protocol: figures_of(own, protocol, temperature) for protocol, own in folds.items() if own}
    for protocol in figures:
        if ran_earlier(name, protocol, results):
            figures[protocol]["earlier"] = True
    return {
        "calibration": calibration_of(folds["grouped"], temperature),
        "metrics": {**figures, **elsewhere_of(name, results)},
        "baselines": baselines(results),
    }


def ran_earlier(name: str, protocol: str, results: Path | None = None) -> bool:
    """Whether the folds of ``protocol`` were run with another body or model input than those that ship."""
    runs = [(results or RESULTS) / one / f"fold{SHIPPED}" / name / "run.json" for one in (protocol, "grouped")]
    if not all(run.is_file() for run in runs):
        return False
    own, shipped = (json.loads(run.read_text(encoding="utf-8")) for run in runs)
    return any(own.get(what) != shipped.get(what) for what in ("backbone_sha256", "input"))


def elsewhere_of(name: str, results: Path | None = None) -> dict[str, Any]:
    """``{"elsewhere": [...]}``, a row a patient, as `benchmarks.elsewhere` wrote them; empty where it did not."""
    path = (results or RESULTS) / "elsewhere.json"
    rows = json.loads(path.read_text(encoding="utf-8")).get(name) if path.is_file() else None
    return {"elsewhere": rows} if rows else {}


def golden(spec: ModelSpec, weights: Path, temperature: float) -> dict[str, Any]:
    """Probabilities on a committed phantom, to notice any drift of reading, preprocessing or arithmetic."""
    model = build_model(spec)
    read_weights(model, weights)
    logits = logits_of(model, to_input(Anatomy(read_slice(GOLDEN)), spec)[None])
    probabilities = Predictions((), logits.astype(np.float64), np.array([]), np.array([])).probabilities(temperature)[0]
    return {"file": GOLDEN.name, "probabilities": [round(float(p), 5) for p in probabilities]}


def make_card(spec: ModelSpec, weights: Path, results: Path | None = None) -> dict[str, Any]:
    """The card of ``weights``, those of the shipped grouped fold, with the committed logits of all folds."""
    found = measured(spec.name, {protocol: read_folds(spec.name, protocol, results) for protocol in PROTOCOLS}, results)
    entries = read_manifest()
    return {
        **describe(spec),
        "title": spec.title,
        "parameters": int(build_model(spec).count_params()),
        "weights_sha256": digest_of(weights),
        "pretraining": PRETRAINING[spec.name],
        "data": {
            "dataset": "IQ-OTH/NCCD, doi 10.17632/bhmdr45bh2",
            "files": len(entries),
            "distinct": sum(not entry.duplicate_of for entry in entries),
            "groups": len({entry.group for entry in entries if not entry.duplicate_of}),
            "manifest_sha256": manifest_digest(entries),
            "protocol": "grouped",
            "fold": SHIPPED,
        },
        **found,
        **({"audit": audit} if (audit := audit_of(spec.name, results)) else {}),
        "golden": golden(spec, weights, found["calibration"]["temperature"]),
        "created": datetime.now(UTC).date().isoformat(),
        "library_versions": {name: version(name) for name in LIBRARIES},
        "licence": "MIT (weights); trained on IQ-OTH/NCCD, CC BY 4.0",
    }
