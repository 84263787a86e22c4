"""Cards with every key a card may have, all of it invented and none of it rounded to anything that looks measured."""

from __future__ import annotations

from typing import Any

from lungapp.cards import ModelCard
from lungapp.registry import LABELS, MODELS
from tests.fakes import FakeEngine, make_calibration, make_card

CONDITIONS = (
    "clean", "lungs_only", "noise_equalised", "noise_only", "window_wide", "window_narrow", "blur", "noise",
    "rotation", "flip", "jpeg",
)  # fmt: skip


def figures(level: float, slices: int = 1054) -> dict[str, Any]:
    """A cross-validation's figures under one protocol, accuracy ``level``."""

    def figure(value: float) -> dict[str, Any]:
        return {
            "value": value,
            "interval": [max(0.0, value - 0.05), min(1.0, value + 0.03)],
            "folds": [value] * 4 + [None],
        }

    rates = [step / 20 for step in range(21)]
    return {
        "n": slices,
        "folds": 5,
        "bootstrap_units": 117,
        "accuracy": figure(level),
        "balanced_accuracy": figure(level - 0.06),
        "precision_macro": figure(level - 0.05),
        "recall_macro": figure(level - 0.06),
        "f1_macro": figure(level - 0.07),
        "auc_malignant": figure(round((2 + level) / 3, 3)),
        "sensitivity_at_95_specificity": figure(level - 0.1),
        "ece": figure(round((1 - level) / 2, 3)),
        "brier": figure(round(1.2 * (1 - level), 3)),
        "confusion_matrix": [[340, 50, 12], [61, 41, 14], [9, 15, 512]],
        "roc": {"false_positive_rate": rates, "true_positive_rate": [rate ** (1 - level) for rate in rates]},
        "reliability": reliability(1 - level),
    }


def reliability(gap: float) -> list[dict[str, float]]:
    """Bins whose accuracy lies ``gap`` below their confidence."""
    return [
        {"low": low / 10, "high": low / 10 + 0.1, "n": 4 * low * low, "confidence": low / 10 + 0.05,
         "accuracy": low / 10 + 0.05 - gap}
        for low in range(4, 10)
    ]  # fmt: skip


def audit(drop: float) -> dict[str, Any]:
    """An audit whose every condition costs ``drop`` more than the one before it."""
    return {
        "slices": 105,
        "conditions": {
            code: {"accuracy": 0.8 - drop * step, "balanced_accuracy": 0.7, "auc_malignant": 0.97 - drop * step}
            for step, code in enumerate(CONDITIONS)
        },
        "words": ["It leans on noise.", "Blur costs it little."],
    }


def full_card(name: str, level: float = 0.81) -> dict[str, Any]:
    """A card with all keys; ``level`` sets how good its figures are."""
    row = {"slices": 40, "lesion_slices": 9, "map_hits": 6, "top_five": 4}
    return {
        **make_card(name).data,
        "title": titles[name],
        "input": {"size": 224, "channels": 1, "range": [0, 1]},
        "weights_sha256": "0123456789abcdef",
        "created": "2026-01-31",
        "licence": "MIT",
        "data": {"dataset": "IQ-OTH/NCCD", "protocol": "grouped", "fold": 0},
        "metrics": {
            "grouped": figures(level) | {"shipped_fold": figures(level - 0.02, 211)},
            "image_level": figures(0.98),
            "elsewhere": [{"patient": "P1", "auc": 0.83, **row}, {"patient": "P2", "auc": 0.41, **row}],
        },
        "calibration": make_calibration(temperature=1.37) | {"coverage": COVERAGE},
        "baselines": {
            "nearest_neighbour": {"grouped": figures(0.594), "image_level": figures(0.991)},
            "grey_statistics": {"grouped": figures(0.787), "image_level": figures(0.962)},
            "frozen_features": {"grouped": figures(0.71), "image_level": figures(0.9)},
        },
        "audit": audit(0.02),
    }


titles = {spec.name: spec.title for spec in MODELS} | {"ensemble": "Ensemble"}

COVERAGE = {
    "covered": {"value": 0.921, "interval": [0.88, 0.95]},
    "by_class": {label: {"value": 0.9, "interval": [0.8, 0.96]} for label in LABELS},
    "classes": {"value": 1.61, "interval": [1.5, 1.7]},
    "decided": {"value": 0.853, "interval": [0.8, 0.9]},
    "right": {"value": 0.944, "interval": [0.9, 0.97]},
}


def full_records() -> dict[str, dict[str, Any]]:
    """Full cards of all models, each better than the one before it, and of the ensemble."""
    records = {spec.name: full_card(spec.name, 0.77 + 0.03 * place) for place, spec in enumerate(MODELS)}
    ensemble = full_card("ensemble", 0.86)
    for key in ("audit", "input", "weights_sha256", "parameters", "pretraining"):
        del ensemble[key]
    ensemble["calibration"] = make_calibration(temperature=None) | {"coverage": COVERAGE}
    return {**records, "ensemble": ensemble | {"labels": list(LABELS), "members": dict.fromkeys(records, "0")}}


class MeasuredEngine(FakeEngine):
    """A fake engine all of whose cards are full, and which has an ensemble's card too."""

    def __init__(self) -> None:
        *models, self._ensemble = (ModelCard(data) for data in full_records().values())
        super().__init__(tuple(models))

    def ensemble_card(self) -> ModelCard | None:
        return self._ensemble
