"""The JSON contract of ``/analyse`` and the command line, and its published schema."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from lungapp import report
from lungapp.methods import METHODS
from lungapp.registry import LABELS
from lungapp.results import ActivationMap, Analysis, Faithfulness, Finding, Prediction, QualityReport
from lungapp.slices import Slice, SliceInfo
from tests.report.samples import CARDS, CREATED

ITEM = Slice(np.zeros((20, 30)), "HU", SliceInfo("DICOM", bits=16, spacing=(0.7, 0.7), thickness=np.float32(2.5)))
SCHEMA = json.loads(Path(report.__file__).with_name("analysis.schema.json").read_text(encoding="utf-8"))
REJECTED = QualityReport((Finding("colour", "reject", "Expected grey. Received: colour."),))


def _prediction(model: str, scores: tuple[float, ...]) -> Prediction:
    return Prediction(model, LABELS, np.array(scores, np.float32), "confident")


def _map(model: str, inside_lungs: float | None) -> ActivationMap:
    return ActivationMap(model, "gradcam", "malignant", np.full((20, 30), 0.5, np.float32), inside_lungs)


def test_one_model() -> None:
    prediction = _prediction("resnet50", (0.125, 0.25, 0.625))
    maps = (_map("resnet50", np.float32(0.25)),)
    timings = {"total": np.float64(12.34)}
    analysis = Analysis(ITEM, QualityReport(), "resnet50", (prediction,), maps, timings_ms=timings)
    result = report.to_json(analysis, cards=CARDS, created=CREATED)
    assert result == {
        "schema": "lungapp.analysis/1",
        "version": result["version"],
        "created": "2026-03-04T05:06:07Z",
        "notice": report.NOTICE,
        "model": "resnet50",
        "status": "confident",
        "label": "malignant",
        "probabilities": {"normal": 0.125, "benign": 0.25, "malignant": 0.625},
        "activation": {
            "method": "gradcam",
            "target": "malignant",
            "inside_lungs": 0.25,
            "blank": False,
            "tested": False,
            "holds": None,
            "faithfulness": None,
        },
        "models": [
            {
                "model": "resnet50",
                "weights_sha256": "b" * 64,
                "precision": "f32",
                "temperature": 1.37,
                "confident_above": 0.93,
                "thresholds": {"sensitivity_95": 0.214, "specificity_95": 1.0001},
            }
        ],
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


KINDS = ["one", "all", "grey", "blank", "rejected", "overridden", "all overridden"]


def faults(result: dict) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(result)]


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("cards", [(), CARDS])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_follows_the_schema(analyses: dict[str, Analysis], kind: str, cards: tuple) -> None:
    result = report.to_json(analyses[kind], None, cards)
    assert faults(result) == []
    assert faults(result | {"file": "a.dcm"}) == []
    assert ("models" in result) == (bool(cards) and kind != "rejected")
    assert result["quality"]["overridden"] is ("overridden" in kind)


@pytest.mark.parametrize("method", [method.name for method in METHODS])
def test_what_a_map_is_worth_is_told(analyses: dict[str, Analysis], method: str) -> None:
    found = Faithfulness(0.1, 0.93, np.float32(0.52), (0.02, 0.04, -0.03))
    map_ = replace(analyses["one"].maps[0], method=method, faithfulness=found)
    result = report.to_json(replace(analyses["one"], maps=(map_,)))
    assert faults(result) == []
    assert result["activation"]["method"] == method
    assert result["activation"]["tested"] is True
    assert result["activation"]["holds"] is True
    assert result["activation"]["faithfulness"] == {
        "share": 0.1,
        "probability": 0.93,
        "hottest_fall": 0.52,
        "random_fall": 0.01,
        "random_falls": [0.02, 0.04, -0.03],
        "supported": True,
    }
    assert json.loads(json.dumps(result)) == result


def test_the_schema_knows_just_the_methods_there_are() -> None:
    assert SCHEMA["$defs"]["activation"]["properties"]["method"]["enum"] == [method.name for method in METHODS]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("rejected", {"label": "normal", "probabilities": {"normal": 1, "benign": 0, "malignant": 0}}),
        ("one", {"status": "rejected"}),
        ("one", {"probabilities": {"normal": 1.2, "benign": 0, "malignant": 0}}),
        ("one", {"patient": "Doe"}),
        ("one", {"ensemble": None}),
        ("all", {"activation": None}),
        ("overridden", {"status": "confident"}),
        ("one", {"created": "2026-03-04"}),
    ],
)
def test_the_schema_refuses_what_must_not_be(analyses: dict[str, Analysis], kind: str, change: dict) -> None:
    assert faults(report.to_json(analyses[kind]) | change) != []


def test_the_documented_example_follows_the_schema(analyses: dict[str, Analysis]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "report-formats.md").read_text(encoding="utf-8")
    example = json.loads(page.split("```json")[1].split("```")[0])
    assert faults(example) == []
    assert list(example) == list(report.to_json(analyses["one"], None, CARDS)), "no key is missing, in the same order"
    assert example["notice"] == report.NOTICE


def test_the_time_is_utc_and_needs_a_zone(analyses: dict[str, Analysis]) -> None:
    east = datetime.fromisoformat("2026-03-04T07:06:07+02:00")
    assert report.to_json(analyses["one"], created=east)["created"] == "2026-03-04T05:06:07Z"
    with pytest.raises(ValueError, match="Expected a time with its zone"):
        report.to_json(analyses["one"], created=east.replace(tzinfo=None))


def test_a_model_that_is_never_confident_says_so_with_null(analyses: dict[str, Analysis]) -> None:
    from lungapp.cards import ModelCard

    card = ModelCard(CARDS[2].data | {"calibration": {"temperature": 1, "confident_above": None}})
    [model] = report.to_json(analyses["one"], cards=[card])["models"]
    assert (model["confident_above"], model["thresholds"]) == (None, {})
