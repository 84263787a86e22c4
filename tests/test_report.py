"""The JSON contract of ``/analyse`` and the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lungapp import report
from lungapp.registry import LABELS
from lungapp.results import ActivationMap, Analysis, Finding, Prediction, QualityReport
from lungapp.slices import Slice, SliceInfo

ITEM = Slice(np.zeros((20, 30)), "HU", SliceInfo("DICOM", bits=16, spacing=(0.7, 0.7), thickness=np.float32(2.5)))
REJECTED = QualityReport((Finding("colour", "reject", "Expected grey. Received: colour."),))


def _prediction(model: str, scores: tuple[float, ...]) -> Prediction:
    return Prediction(model, LABELS, np.array(scores, np.float32), "confident")


def _map(model: str, inside_lungs: float | None) -> ActivationMap:
    return ActivationMap(model, "gradcam", "malignant", np.full((20, 30), 0.5, np.float32), inside_lungs)


def test_one_model() -> None:
    prediction = _prediction("resnet50", (0.125, 0.25, 0.625))
    maps = (_map("resnet50", np.float32(0.25)),)
    timings = {"total": np.float64(12.34)}
    result = report.to_json(Analysis(ITEM, QualityReport(), "resnet50", (prediction,), maps, timings_ms=timings))
    assert result == {
        "schema": "lungapp.analysis/1",
        "version": result["version"],
        "notice": report.NOTICE,
        "model": "resnet50",
        "status": "confident",
        "label": "malignant",
        "probabilities": {"normal": 0.125, "benign": 0.25, "malignant": 0.625},
        "activation": {"method": "gradcam", "target": "malignant", "inside_lungs": 0.25, "blank": False},
        "quality": {"verdict": "accept", "overridden": False, "findings": []},
        "slice": {
            "rows": 20,
            "columns": 30,
            "unit": "HU",
            "format": "DICOM",
            "bits": 16,
            "spacing_mm": [0.7, 0.7],
            "thickness_mm": 2.5,
            "notes": [],
            "dropped": [],
        },
        "timings_ms": {"total": 12.3},
    }
    assert json.loads(json.dumps(result)) == result, "only plain JSON types"


def test_all_models() -> None:
    predictions = (_prediction("basic_cnn", (0.5, 0.25, 0.25)), _prediction("resnet50", (0.25, 0.25, 0.5)))
    ensemble = _prediction("ensemble", (0.375, 0.25, 0.375))
    maps = (_map("basic_cnn", None), _map("resnet50", 1.0))
    result = report.to_json(Analysis(ITEM, QualityReport(), "all", predictions, maps, ensemble))
    assert [row["model"] for row in result["predictions"]] == ["basic_cnn", "resnet50"]
    assert [row["activation"]["inside_lungs"] for row in result["predictions"]] == [None, 1.0]
    assert result["ensemble"]["probabilities"] == result["probabilities"]
    assert result["agreement"] is False
    assert "activation" not in result, "each model has its own"
    assert json.loads(json.dumps(result)) == result


@pytest.mark.parametrize("model", ["resnet50", "all"])
def test_a_rejected_input_carries_no_scores(model: str) -> None:
    result = report.to_json(Analysis(ITEM, REJECTED, model))
    assert result["status"] == "rejected"
    assert result["quality"] == {
        "verdict": "reject",
        "overridden": False,
        "findings": [{"code": "colour", "severity": "reject", "message": "Expected grey. Received: colour."}],
    }
    assert not result.keys() & {"label", "probabilities", "activation", "predictions", "ensemble", "agreement"}


def test_a_file_name_is_given_only_when_asked_for() -> None:
    analysis = Analysis(ITEM, REJECTED, "resnet50")
    assert "file" not in report.to_json(analysis)
    assert report.to_json(analysis, "a.dcm")["file"] == "a.dcm"
