"""A series as JSON, by ``series.schema.json`` beside this file, as CSV, and as a ZIP of both with overlays."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from lungapp import __version__
from lungapp.cards import ModelCard
from lungapp.report.answers import series_headline, series_in_words
from lungapp.report.csv_report import HEADER as ANALYSIS_HEADER
from lungapp.report.csv_report import cells, to_table
from lungapp.report.facts import NOTICE, calibrations, moment, provenances, warning_of
from lungapp.report.json_report import answer_json, models_json, prediction_json, quality_json
from lungapp.results import Aggregate, SeriesAnalysis, SeriesRow

SCHEMA = "lungapp.series/2"

HEADER = ("slice", "position_mm", *ANALYSIS_HEADER, "error", "counted")
"""Stable: programs read it. ``activation_`` columns stay empty, as maps are made when a slice is looked at."""

JSON_NAME, CSV_NAME = "lungapp-series.json", "lungapp-series.csv"


def series_to_json(
    series: SeriesAnalysis, cards: Sequence[ModelCard] = (), created: datetime | None = None
) -> dict[str, Any]:
    """A series in plain JSON types: what the ``/analyse_series`` endpoint gives out.

    Returns
    -------
    dict with ``schema``, ``version``, ``created``, ``notice``, ``model``, ``slices`` (how many there were),
    ``cancelled``, ``seconds``, ``aggregate``, ``models`` (weights and thresholds, where their cards were given),
    ``rows``, one a slice, and ``set_aside``, what is no slice of the series and why. A row has ``slice``, ``source``,
    ``position_mm``, ``status`` and whether it is ``counted``; its answer, as `answer_json` has it, where it was scored;
    ``quality`` and sizes where it was read; ``error`` where something went wrong.
    """
    scored = next((row for row in series.rows if row.prediction), None)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "created": moment(created).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "notice": NOTICE,
        "model": series.model,
        "slices": series.total,
        "cancelled": series.cancelled,
        "seconds": round(series.seconds, 2),
        "aggregate": _aggregate(series.aggregate),
        "models": models_json(provenances(scored, cards)) if scored else [],
        "rows": [_row(row, cards) for row in series.rows],
        "set_aside": [{"source": item.source, "reason": item.reason} for item in series.set_aside],
    }


def series_to_csv(series: SeriesAnalysis, cards: Sequence[ModelCard] = (), created: datetime | None = None) -> str:
    """One row for each slice and prediction, as `lungapp.report.to_csv` has them, with number, position and error."""
    return to_table(
        HEADER,
        (one for row in series.rows for one in series_cells(row, cards, created)),
    )


def series_cells(
    row: SeriesRow, cards: Sequence[ModelCard] = (), created: datetime | None = None
) -> Iterator[dict[str, Any]]:
    """The cells by column of `HEADER`, once for each prediction; once without scores where there is none."""
    for one in cells(row, cards, row.source, created):
        place = {"slice": row.number, "position_mm": row.position, "counted": str(row.counted).lower()}
        yield {**place, **one, **_failure(row)}


def _failure(row: SeriesRow) -> dict[str, Any]:
    """What a row says instead of a status; nothing where it has one."""
    return {"status": row.state, "error": row.error, "warning": ""} if row.error else {}


def series_to_zip(
    series: SeriesAnalysis,
    overlays: Mapping[int, bytes],
    cards: Sequence[ModelCard] = (),
    created: datetime | None = None,
) -> bytes:
    """CSV, JSON and the overlays, PNG files by the number of their slice, as the bytes of a ZIP archive."""
    created = moment(created)
    files = {
        JSON_NAME: json.dumps(series_to_json(series, cards, created), indent=2).encode(),
        CSV_NAME: series_to_csv(series, cards, created).encode(),
    } | {f"overlay-slice-{number:04}.png": data for number, data in sorted(overlays.items())}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, created.timetuple()[:6]), data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _aggregate(found: Aggregate) -> dict[str, Any]:
    return {
        "decision": found.decision,
        "headline": series_headline(found),
        "malignant_runs": [list(run) for run in found.runs],
        "malignant_slices": found.malignant_slices,
        "counted": found.counted,
        "decisions": dict(found.decisions),
        "statuses": dict(found.states),
        "statement": " ".join(series_in_words(found)),
    }


def _row(row: SeriesRow, cards: Sequence[ModelCard]) -> dict[str, Any]:
    known = calibrations(row, cards)
    said: dict[str, Any] = {
        "slice": row.number,
        "source": row.source,
        "position_mm": row.position,
        "status": row.state,
        "counted": row.counted,
    }
    if row.prediction:
        said |= answer_json(row.prediction, known.get(row.prediction.model))
    if row.ensemble:
        said["predictions"] = [prediction_json(item, known.get(item.model)) for item in row.predictions]
        said["agreement"] = row.agreement
    if row.slice:
        said |= {
            "quality": quality_json(row.quality, row.overridden),
            "rows": row.slice.rows,
            "columns": row.slice.columns,
            "unit": row.slice.unit,
            "format": row.slice.info.format,
        }
    if row.error:
        said["error"] = row.error
    warning = "" if row.error else warning_of(row)
    return said | ({"warning": warning} if warning else {})
