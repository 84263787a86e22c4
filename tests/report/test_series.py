"""A series as JSON by its schema, as CSV and as ZIP: a row a slice, the aggregate's statement, and nobody's name."""

from __future__ import annotations

import csv
import io
import json
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from lungapp import report
from lungapp.reading import read_study
from lungapp.report.answers import series_headline, series_in_words
from lungapp.report.csv_report import HEADER as ANALYSIS_HEADER
from lungapp.report.facts import REJECTED
from lungapp.report.series_report import HEADER, SCHEMA
from lungapp.results import Aggregate, SeriesAnalysis
from lungapp.series import aggregate, summarise
from tests.fakes import FakeEngine
from tests.report.samples import CARDS, CREATED
from tests.series_files import STEP_MM, phantom_series

SCHEMAS = [
    json.loads(Path(report.__file__).with_name(f"{name}.schema.json").read_text(encoding="utf-8"))
    for name in ("series", "analysis")
]


def analysed(model: str, override: bool = False) -> SeriesAnalysis:
    study = read_study([phantom_series(8, 160)])
    entries = study.series[0].entries
    rows = list(FakeEngine().analyse_series(entries, model, override))
    return summarise(rows, len(entries), model, time.perf_counter(), study.set_aside)


@pytest.fixture(scope="module", params=["resnet50", "all"])
def series(request: pytest.FixtureRequest) -> SeriesAnalysis:
    return analysed(request.param)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def check(data: dict) -> None:
    series, analysis = (Resource.from_contents(schema) for schema in SCHEMAS)
    registry = Registry().with_resources([(one.id(), one) for one in (series, analysis)])
    Draft202012Validator.check_schema(SCHEMAS[0])
    Draft202012Validator(SCHEMAS[0], registry=registry).validate(json.loads(json.dumps(data)))


def test_json_has_a_row_a_slice_and_follows_its_schema(series: SeriesAnalysis) -> None:
    found = report.series_to_json(series, CARDS, CREATED)
    check(found)
    assert (found["schema"], found["notice"]) == (SCHEMA, report.NOTICE)
    assert found["created"] == "2026-03-04T05:06:07Z"
    assert [row["slice"] for row in found["rows"]] == list(range(1, 9))
    assert [row["position_mm"] for row in found["rows"]] == [STEP_MM * place - 120 for place in range(8)]
    assert found["rows"][0]["status"] == "rejected"
    assert found["rows"][0]["warning"] == REJECTED
    assert found["rows"][3]["status"] == "failed"
    assert found["rows"][3]["error"].startswith("Expected ")
    assert found["rows"][4]["probabilities"]["malignant"] == series.rows[4].malignant
    assert ("predictions" in found["rows"][4]) == (series.model == "all")
    assert all(model["weights_sha256"] for model in found["models"] if model["model"] != "ensemble")
    assert found["aggregate"]["statement"] == " ".join(series_in_words(series.aggregate))
    assert found["aggregate"]["headline"] == series_headline(series.aggregate)
    assert found["aggregate"]["decision"] == series.aggregate.decision
    counted = [row for row in found["rows"] if row["counted"]]
    assert len(counted) == found["aggregate"]["counted"] == sum(found["aggregate"]["decisions"].values()) > 3
    assert {row["decision"] for row in counted} == {name for name, n in found["aggregate"]["decisions"].items() if n}
    assert found["rows"][4]["answer_set"] == list(series.rows[4].prediction.answer_set)
    assert found["rows"][4]["evidence"]["slices"] == 212
    assert "not validated on patients" in found["aggregate"]["statement"]
    assert found["aggregate"]["statuses"]["failed"] == 1
    assert found["set_aside"][0]["reason"].startswith("Expected ")


def test_csv_has_what_a_single_slice_has_and_its_place_and_error(series: SeriesAnalysis) -> None:
    found = rows(report.series_to_csv(series, CARDS, CREATED))
    assert ("slice", "position_mm", *ANALYSIS_HEADER, "error", "counted") == HEADER
    count = 4 if series.model == "all" else 1
    assert len(found) == 2 + 6 * count
    assert [int(row["slice"]) for row in found] == sorted([1, 4, *[2, 3, 5, 6, 7, 8] * count])
    rejected = found[0]
    assert (rejected["status"], rejected["error"], rejected["warning"]) == ("rejected", "", REJECTED)
    assert rejected["quality_codes"]
    (failed,) = (row for row in found if row["slice"] == "4")
    assert (failed["status"], failed["warning"], failed["quality_verdict"]) == ("failed", "", "")
    assert failed["error"].startswith("Expected ")
    assert (rejected["counted"], failed["counted"], found[-1]["counted"]) == ("false", "false", "true")
    assert found[-1]["decision"] == series.rows[-1].decision
    assert {row["notice"] for row in found} == {report.NOTICE}
    assert float(found[-1]["probability_malignant"]) == series.rows[-1].malignant
    assert found[-1]["position_mm"] == str(series.rows[-1].position)
    assert all(row["weights_sha256"] for row in found if row["model"] in ("resnet50", "basic_cnn") and row["label"])


def test_zip_holds_all_of_it(series: SeriesAnalysis) -> None:
    data = report.series_to_zip(series, {7: b"seven", 5: b"five"}, CARDS, CREATED)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == [
            "lungapp-series.json",
            "lungapp-series.csv",
            "overlay-slice-0005.png",
            "overlay-slice-0007.png",
        ]
        assert json.loads(archive.read("lungapp-series.json")) == report.series_to_json(series, CARDS, CREATED)
        assert archive.read("lungapp-series.csv").decode() == report.series_to_csv(series, CARDS, CREATED)
        assert archive.read("overlay-slice-0005.png") == b"five"


def test_nothing_names_the_patient(series: SeriesAnalysis) -> None:
    assert "Mustermann" not in json.dumps(report.series_to_json(series, CARDS))
    assert "Mustermann" not in report.series_to_csv(series, CARDS)


def test_an_override_is_told_in_every_form() -> None:
    series = analysed("resnet50", override=True)
    found = report.series_to_json(series)
    check(found)
    assert found["rows"][0]["quality"]["overridden"] is True
    assert "overridden" in found["rows"][0]["warning"]
    assert (found["rows"][0]["decision"], found["rows"][0]["counted"]) == ("undecided", False)
    assert rows(report.series_to_csv(series))[0]["overridden"] == "true"


def test_nothing_scored_and_a_cancelled_run() -> None:
    series = SeriesAnalysis((), 5, "resnet50", aggregate(()), True, 0.1)
    found = report.series_to_json(series, CARDS)
    check(found)
    assert (found["cancelled"], found["slices"], found["rows"]) == (True, 5, [])
    assert (found["aggregate"]["decision"], found["aggregate"]["counted"]) == ("undecided", 0)
    assert "No slice of this series counts" in found["aggregate"]["statement"]
    assert report.series_to_csv(series).split("\r\n") == [",".join(HEADER), ""]


def of(*runs: tuple[int, int], malignant: int = 0) -> Aggregate:
    slices = sum(last - first + 1 for first, last in runs)
    decisions = {"malignant": slices + malignant, "not_malignant": 40, "undecided": 2}
    return Aggregate("malignant" if runs else "undecided", runs, slices, decisions, {})


@pytest.mark.parametrize(
    ("found", "headline"),
    [
        (of((31, 39)), "Malignant on 9 of 51 counted slices: 31 to 39"),
        (of((4, 5), (31, 39)), "Malignant on 11 of 53 counted slices: 4 to 5, 31 to 39"),
        (
            of(*((n, n + 1) for n in (2, 9, 15, 30))),
            "Malignant on 8 of 50 counted slices: in 4 places between 2 and 31",
        ),
        (of(), "Undecided"),
        (replace(of(), decision="not_malignant"), "Not malignant (normal or benign) on all counted slices"),
    ],
)
def test_the_headline_says_what_the_slices_say(found: Aggregate, headline: str) -> None:
    assert series_headline(found) == headline


def test_lone_malignant_slices_are_not_hushed_up() -> None:
    assert "stand alone" in series_in_words(of(malignant=1))[0]
    assert not [text for one in (of(), of((3, 4))) for text in series_in_words(one) if "stand alone" in text]
