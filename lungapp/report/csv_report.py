"""Analyses as CSV (RFC 4180): one row a prediction, for spreadsheets and statistics."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from lungapp import __version__
from lungapp.calibration import Calibration
from lungapp.cards import ModelCard
from lungapp.registry import LABELS
from lungapp.report.facts import NOTICE, calibrations, moment, provenances, spoken, warning_of
from lungapp.results import Analysis, Prediction, SeriesRow

HEADER = (
    "source", "created", "version", "model", "status", "overridden", "label",
    *(f"probability_{label}" for label in LABELS),
    "activation_target", "activation_inside_lungs", "weights_sha256",
    "quality_verdict", "quality_codes", "unit", "format", "rows", "columns",
    "row_spacing_mm", "column_spacing_mm", "thickness_mm", "warning", "notice",
    "activation_method", "activation_hottest_fall", "activation_random_fall",
    "decision", "answer_set", "answer_level", "evidence_right", "evidence_low", "evidence_high", "evidence_slices",
    "evidence_groups",
)  # fmt: skip
"""Stable: programs read it. New columns go to the end."""

FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")
"""What makes a spreadsheet take a cell for a formula, as OWASP lists it under "CSV injection"; four are full-width."""


def to_csv(
    analyses: Iterable[Analysis],
    cards: Sequence[ModelCard] = (),
    sources: Iterable[str] | None = None,
    created: datetime | None = None,
) -> str:
    """One row for each prediction: one model gives one, ``"all"`` one per model and one of the ensemble.

    A rejected slice has one row with empty scores. Text that a spreadsheet would take for a formula begins with an
    apostrophe.

    Parameters
    ----------
    cards : of the models that may have spoken; weights and thresholds stay empty without.
    sources : where each slice lies in what was handed in, such as ``"file 3"``, one for each analysis.
    created : when the report was made, with its zone; now if left out.

    Raises
    ------
    ValueError
        ``sources`` are more or fewer than the analyses.
    """
    analyses = list(analyses)
    names = [f"slice {number}" for number in range(1, len(analyses) + 1)] if sources is None else list(sources)
    pairs = zip(names, analyses, strict=True)
    return to_table(HEADER, (row for name, one in pairs for row in cells(one, cards, name, created)))


def to_table(header: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    """``rows``, each by column, under ``header``; what a row leaves out stays empty."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, header, restval="", lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return stream.getvalue()


def cells(
    analysis: Analysis | SeriesRow, cards: Sequence[ModelCard], source: str, created: datetime | None
) -> Iterator[dict[str, Any]]:
    """The cells by column of `HEADER`, once for each prediction; once without scores where there is none."""
    time = moment(created).strftime("%Y-%m-%dT%H:%M:%SZ")
    shared = {"source": source, "created": time, "version": __version__, "notice": NOTICE} | _shared(analysis)
    for row in _rows(analysis, cards):
        yield shared | row


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    risky = isinstance(value, str) and (value.startswith(FORMULA_STARTS) or value.lstrip().startswith(FORMULA_STARTS))
    return f"'{value}" if risky else value


def _shared(analysis: Analysis | SeriesRow) -> dict[str, Any]:
    if analysis.slice is None:
        return {}
    item, info = analysis.slice, analysis.slice.info
    rows_mm, columns_mm = info.spacing or (None, None)
    return {
        "overridden": str(analysis.overridden).lower(),
        "quality_verdict": analysis.quality.verdict,
        "quality_codes": " ".join(finding.code for finding in analysis.quality.findings),
        "unit": item.unit,
        "format": info.format,
        "rows": item.rows,
        "columns": item.columns,
        "row_spacing_mm": rows_mm,
        "column_spacing_mm": columns_mm,
        "thickness_mm": info.thickness,
        "warning": warning_of(analysis),
    }


def _rows(analysis: Analysis | SeriesRow, cards: Sequence[ModelCard]) -> Iterator[dict[str, Any]]:
    if analysis.prediction is None:
        yield {"model": analysis.model, "status": analysis.status}
        return
    weights = {item.model: item.weights_sha256 for item in provenances(analysis, cards)}
    known, maps = calibrations(analysis, cards), {item.model: item for item in analysis.maps}
    for prediction in spoken(analysis):
        row, map_ = _answer(prediction, known.get(prediction.model)), maps.get(prediction.model)
        if weights.get(prediction.model):  # the ensemble has none of its own
            row["weights_sha256"] = weights[prediction.model]
        if map_:
            inside = None if map_.inside_lungs is None else round(float(map_.inside_lungs), 4)
            row |= {"activation_target": map_.target, "activation_inside_lungs": inside}
            row |= {"activation_method": map_.method}
            if map_.faithfulness:
                row |= {
                    "activation_hottest_fall": round(map_.faithfulness.hottest_fall, 4),
                    "activation_random_fall": round(map_.faithfulness.random_fall, 4),
                }
        yield row


def _answer(prediction: Prediction, calibration: Calibration | None) -> dict[str, Any]:
    evidence = calibration.evidence_for(prediction) if calibration else None
    row: dict[str, Any] = {
        "model": prediction.model,
        "status": prediction.status,
        "label": prediction.label,
        **{f"probability_{label}": p for label, p in prediction.scores().items()},
        "decision": prediction.decision,
        "answer_set": " ".join(prediction.answer_set),
        "answer_level": calibration.level if calibration else None,
    }
    if evidence:
        row |= {"evidence_right": evidence.right, "evidence_slices": evidence.slices}
        row |= {"evidence_low": evidence.interval[0], "evidence_high": evidence.interval[1]}
        row |= {"evidence_groups": evidence.groups}
    return row
