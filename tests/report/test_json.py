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
from lungapp.cards import ModelCard
from lungapp.methods import METHODS
from lungapp.report.answers import NORMAL_OR_BENIGN, NOT_TESTED
from lungapp.results import ActivationMap, Analysis, Faithfulness, Finding, Prediction, QualityReport
from lungapp.slices import Slice, SliceInfo
from tests.fakes import make_calibration, make_card
from tests.report.samples import CARDS, CREATED

ITEM = Slice(np.zeros((20, 30)), "HU", SliceInfo("DICOM", bits=16, spacing=(0.7, 0.7), thickness=np.float32(2.5)))
SCHEMA = json.loads(Path(report.__file__).with_name("analysis.schema.json").read_text(encoding="utf-8"))
REJECTED = QualityReport((Finding("colour", "reject", "Expected grey. Received: colour."),))


def _prediction(model: str, scores: tuple[float, ...]) -> Prediction:
    return make_card(model).predict(np.array(scores, np.float32))


def _map(model: str, inside_lungs: float | None) -> ActivationMap:
    return ActivationMap(model, "gradcam", "malignant", np.full((20, 30), 0.5, np.float32), inside_lungs)


def test_one_model() -> None:
    prediction = _prediction("resnet50", (0.125, 0.25, 0.625))
    maps = (_map("resnet50", np.float32(0.25)),)
    timings = {"total": np.float64(12.34)}
    analysis = Analysis(ITEM, QualityReport(), "resnet50", (prediction,), maps, timings_ms=timings)
    result = report.to_json(analysis, cards=CARDS, created=CREATED)
    assert result == {
        "schema": "lungapp.analysis/2",
        "version": result["version"],
        "created": "2026-03-04T05:06:07Z",
        "notice": report.NOTICE,
        "model": "resnet50",
        "status": "uncertain",
        "decision": "undecided",
        "answer_set": ["benign", "malignant"],
        "label": "malignant",
        "probabilities": {"normal": 0.125, "benign": 0.25, "malignant": 0.625},
        "evidence": {
            "low": 0.2,
            "high": 0.8,
            "slices": 212,
            "groups": 31,
            "right": 0.4,
            "interval": [0.35, 0.43],
        },
        "statement": (
            "Undecided. Cannot be excluded at 90 %: benign, malignant. In tests on patients it had not seen, 40 % of "
            "212 slices that it left undecided at a malignant probability from 20 % to 80 % were malignant (95 % "
            "interval 35 % to 43 %)."
        ),
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
                "level": 0.9,
                "thresholds": {"normal": 0.2, "benign": 0.2, "malignant": 0.2},
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
    for key in ("probabilities", "decision", "answer_set", "evidence"):
        assert result["ensemble"][key] == result[key]
    assert [row["decision"] for row in result["predictions"]] == ["undecided", "undecided"]
    assert result["agreement"] is True, "both are undecided, whatever their highest probability"
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
    scored = {"decision", "answer_set", "label", "probabilities", "evidence", "statement", "activation"}
    assert not result.keys() & (scored | {"predictions", "ensemble", "agreement"})


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
        ("overridden", {"decision": "malignant"}),
        ("overridden", {"answer_set": ["malignant"]}),
        ("one", {"decision": "benign"}),
        ("one", {"answer_set": []}),
        ("one", {"evidence": {"right": 0.9}}),
        ("rejected", {"decision": "undecided"}),
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


def test_what_no_figure_stands_behind_says_so(analyses: dict[str, Analysis]) -> None:
    bare = ModelCard(CARDS[2].data | {"calibration": make_calibration() | {"evidence": []}})
    result = report.to_json(analyses["one"], cards=[bare])
    assert (result["evidence"], result["models"][0]["level"]) == (None, 0.9)
    assert result["statement"] == f"Malignant. Cannot be excluded at 90 %: malignant. {NOT_TESTED}"
    without = report.to_json(analyses["one"])
    assert (without["evidence"], without["statement"]) == (
        None,
        f"Malignant. Cannot be excluded: malignant. {NOT_TESTED}",
    )


def test_no_figure_applies_to_a_slice_that_was_rejected(analyses: dict[str, Analysis]) -> None:
    for kind in ("overridden", "all overridden"):
        result = report.to_json(analyses[kind], cards=CARDS)
        assert result["statement"] == "Undecided. Cannot be excluded: normal, benign, malignant."
        assert [row["evidence"] for row in (result, *result.get("predictions", ()))] == [None] * (
            4 if kind == "all overridden" else 1
        )


def test_normal_against_benign_is_said_where_it_matters(analyses: dict[str, Analysis]) -> None:
    item = replace(analyses["one"], predictions=(_prediction("basic_cnn", (0.6, 0.3, 0.1)),))
    statement = report.to_json(item, cards=CARDS)["statement"]
    assert statement.startswith("Not malignant (normal or benign). Cannot be excluded at 90 %: normal, benign. ")
    assert "90 % of 212 slices with this answer and a malignant probability from 0 % to 20 % were not" in statement
    assert statement.endswith(NORMAL_OR_BENIGN)
    assert NORMAL_OR_BENIGN not in report.to_json(analyses["one"], cards=CARDS)["statement"]


def test_the_ensembles_figures_are_of_all_its_members(analyses: dict[str, Analysis]) -> None:
    """Where one could not be asked, the mean is another one, and nothing that the card says is of it."""
    fewer = replace(analyses["all"], predictions=analyses["all"].predictions[:2])
    for analysis, known in ((analyses["all"], True), (fewer, False)):
        result = report.to_json(analysis, cards=CARDS)
        assert (result["evidence"] is not None) == known
        assert ("ensemble" in {model["model"] for model in result["models"]}) == known
        assert all(row["evidence"] for row in result["predictions"])
