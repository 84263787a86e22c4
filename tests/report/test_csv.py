"""Analyses as CSV: a stable header, a row a prediction, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungapp import report
from lungapp.report.csv_report import FORMULA_STARTS, HEADER
from lungapp.report.facts import OVERRIDDEN
from lungapp.results import Analysis, Faithfulness
from lungapp.slices import Slice
from tests.report.samples import CARDS, CREATED, REJECTED


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_what_a_map_is_worth_has_columns(analyses: dict[str, Analysis]) -> None:
    found = Faithfulness(0.1, 0.97, 0.52, (0.02, 0.04))
    map_ = replace(analyses["one"].maps[0], method="layercam", faithfulness=found)
    [row] = rows(report.to_csv([replace(analyses["one"], maps=(map_,))], CARDS))
    told = [row[f"activation_{name}"] for name in ("method", "hottest_fall", "random_fall")]
    assert told == ["layercam", "0.52", "0.03"]


def test_golden(analyses: dict[str, Analysis]) -> None:
    lines = report.to_csv([analyses["one"]], CARDS, ["file 1"], CREATED).split("\r\n")
    assert lines[0] == (
        "source,created,version,model,status,overridden,label,probability_normal,probability_benign,"
        "probability_malignant,activation_target,activation_inside_lungs,weights_sha256,"
        "quality_verdict,quality_codes,unit,format,rows,columns,row_spacing_mm,column_spacing_mm,thickness_mm,"
        "warning,notice,activation_method,activation_hottest_fall,activation_random_fall,"
        "decision,answer_set,answer_level,evidence_right,evidence_low,evidence_high,evidence_slices,evidence_groups"
    )
    version = report.to_json(analyses["one"])["version"]
    assert lines[1:] == [
        f"file 1,2026-03-04T05:06:07Z,{version},advanced_cnn,confident,false,malignant,0.004,0.026,0.97,"
        f"malignant,0.72,{'c' * 64},accept,,HU,DICOM,256,256,0.7,0.6,2.5,,"
        f'"{report.NOTICE}",gradcam,,,malignant,malignant,0.9,0.94,0.89,0.97,212,31',
        "",
    ]


def test_one_row_a_prediction(analyses: dict[str, Analysis]) -> None:
    found = rows(report.to_csv([analyses["all"], analyses["rejected"], analyses["overridden"]], CARDS))
    assert [row["model"] for row in found[:4]] == ["basic_cnn", "resnet50", "advanced_cnn", "ensemble"]
    assert {row["source"] for row in found[:4]} == {"slice 1"}
    rejected, overridden = found[4:]
    assert rejected["status"] == "rejected"
    assert rejected["quality_codes"] == "colour blank"
    assert not any(rejected[name] for name in HEADER if name.startswith(("probability", "activation", "label")))
    assert (overridden["overridden"], overridden["warning"]) == ("true", OVERRIDDEN)
    assert [row["decision"] for row in found] == [
        "not_malignant", "undecided", "malignant", "undecided", "", "undecided"
    ]  # fmt: skip
    assert [row["answer_set"] for row in found[:2]] == ["normal benign", "benign malignant"]
    assert overridden["answer_set"] == "normal benign malignant"
    assert not any(overridden[name] for name in HEADER if name.startswith(("answer_level", "evidence")))
    assert float(overridden["probability_malignant"]) == pytest.approx(0.97)


@given(st.text(max_size=20).map(lambda text: text.replace("\0", "")), st.sampled_from(["", " =", *FORMULA_STARTS]))
def test_a_source_is_never_a_formula_and_comes_back(rest: str, start: str) -> None:
    source = start + rest
    analysis = Analysis(Slice(np.zeros((1, 1)), "HU"), REJECTED, "resnet50")
    [row] = rows(report.to_csv([analysis], sources=[source], created=CREATED))
    assert row["source"] in (source, "'" + source)
    assert not row["source"].lstrip().startswith(FORMULA_STARTS)


def test_sources_must_fit(analyses: dict[str, Analysis]) -> None:
    with pytest.raises(ValueError, match="longer than argument 1"):
        report.to_csv([analyses["one"], analyses["grey"]], sources=["file 1"])
    assert report.to_csv([]).split("\r\n") == [",".join(HEADER), ""]
