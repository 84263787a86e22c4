"""An analysis as JSON, by the schema in ``analysis.schema.json`` beside this file (``docs/report-formats.md``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from lungapp import __version__
from lungapp.calibration import Calibration, Evidence
from lungapp.cards import ModelCard
from lungapp.report.answers import HEADLINES, also_to_know, answer_in_words
from lungapp.report.facts import NOTICE, Provenance, calibrations, moment, provenances
from lungapp.results import ActivationMap, Analysis, Faithfulness, Prediction, QualityReport
from lungapp.slices import Slice

SCHEMA = "lungapp.analysis/2"


def to_json(
    analysis: Analysis, file: str | None = None, cards: Sequence[ModelCard] = (), created: datetime | None = None
) -> dict[str, Any]:
    """An analysis in plain JSON types: what the ``/analyse`` endpoint and the command line give out.

    Parameters
    ----------
    analysis : of one model, or of ``"all"``.
    file : a name to find the row by; left out where None, since file names may identify people.
    cards : of the models that may have spoken, the ensemble's among them; they give ``models``.
    created : when the report was made, with its zone; now if left out.

    Returns
    -------
    dict with ``schema``, ``version``, ``created``, ``notice``, ``model``, ``status``, ``quality``, ``slice`` and
    ``timings_ms``. Unless the input was rejected also ``decision``, ``answer_set``, ``label``, ``probabilities`` and
    ``evidence`` (of the ensemble for ``"all"``), the ``statement`` that says them in words, and for one model its
    ``activation``; for ``"all"`` ``predictions`` (one per model, each with its activation), ``ensemble`` and
    ``agreement``; and ``models``, weights and thresholds, where their cards were given.
    """
    time = moment(created).strftime("%Y-%m-%dT%H:%M:%SZ")
    report: dict[str, Any] = {"schema": SCHEMA, "version": __version__, "created": time, "notice": NOTICE}
    if file is not None:
        report["file"] = file
    report |= {"model": analysis.model, "status": analysis.status}
    if analysis.prediction is not None:
        report |= _scores(analysis, cards)
        models = models_json(provenances(analysis, cards))
        report |= {"models": models} if models else {}
    report |= {
        "quality": quality_json(analysis.quality, analysis.overridden),
        "slice": _slice(analysis.slice),
        "timings_ms": {step: round(float(ms), 1) for step, ms in analysis.timings_ms.items()},
    }
    return report


def models_json(items: Sequence[Provenance]) -> list[dict[str, Any]]:
    """Weights and thresholds of what spoke."""
    return [_model(item) for item in items]


def _model(item: Provenance) -> dict[str, Any]:
    known = item.calibration
    return {
        "model": item.model,
        "weights_sha256": item.weights_sha256,
        "precision": item.precision,
        "temperature": known.temperature if known else None,
        "level": known.level if known else None,
        "thresholds": dict(known.thresholds) if known else {},
    }


def _scores(analysis: Analysis, cards: Sequence[ModelCard]) -> dict[str, Any]:
    assert analysis.prediction is not None
    known = calibrations(analysis, cards)
    first = known.get(analysis.prediction.model)
    sentences = [
        *answer_in_words(analysis.prediction, first, analysis.overridden),
        *also_to_know([analysis.prediction]),
    ]
    shown = answer_json(analysis.prediction, first)
    shown["statement"] = " ".join([f"{HEADLINES[analysis.prediction.decision]}.", *sentences])
    activations = {item.model: _activation(item) for item in analysis.maps}
    if analysis.ensemble is None:
        activation = activations.get(analysis.prediction.model)
        return shown | ({"activation": activation} if activation else {})
    return shown | {
        "predictions": [
            prediction_json(item, known.get(item.model))
            | ({"activation": activations[item.model]} if item.model in activations else {})
            for item in analysis.predictions
        ],
        "ensemble": prediction_json(analysis.ensemble, first),
        "agreement": analysis.agreement,
    }


def prediction_json(prediction: Prediction, calibration: Calibration | None) -> dict[str, Any]:
    """One model's answer; ``calibration`` is what applies to it."""
    return {"model": prediction.model, "status": prediction.status, **answer_json(prediction, calibration)}


def answer_json(prediction: Prediction, calibration: Calibration | None) -> dict[str, Any]:
    """What is decided, what cannot be excluded, the scores, and how often such an answer held; None if not known."""
    evidence = calibration.evidence_for(prediction) if calibration else None
    return {
        "decision": prediction.decision,
        "answer_set": list(prediction.answer_set),
        "label": prediction.label,
        "probabilities": prediction.scores(),
        "evidence": _evidence(evidence) if evidence else None,
    }


def _evidence(item: Evidence) -> dict[str, Any]:
    return {
        "low": item.low,
        "high": item.high,
        "slices": item.slices,
        "groups": item.groups,
        "right": item.right,
        "interval": list(item.interval),
    }


def _activation(item: ActivationMap) -> dict[str, Any]:
    return {
        "method": item.method,
        "target": item.target,
        "inside_lungs": None if item.inside_lungs is None else round(float(item.inside_lungs), 4),
        "blank": bool(item.blank),
        "tested": item.faithfulness is not None,
        "holds": item.holds,
        "faithfulness": _faithfulness(item.faithfulness) if item.faithfulness else None,
    }


def _faithfulness(item: Faithfulness) -> dict[str, Any]:
    return {
        "share": round(float(item.share), 4),
        "probability": float(item.probability),
        "hottest_fall": round(float(item.hottest_fall), 4),
        "random_fall": round(item.random_fall, 4),
        "random_falls": [round(float(fall), 4) for fall in item.random_falls],
        "supported": bool(item.supported),
    }


def quality_json(quality: QualityReport, overridden: bool) -> dict[str, Any]:
    """The gate's verdict and findings."""
    findings = [{"code": f.code, "severity": f.severity, "message": f.message} for f in quality.findings]
    return {"verdict": quality.verdict, "overridden": overridden, "findings": findings}


def _slice(item: Slice) -> dict[str, Any]:
    info = item.info
    return {
        "rows": int(item.rows),
        "columns": int(item.columns),
        "unit": item.unit,
        "format": info.format,
        "bits": int(info.bits),
        "spacing_mm": None if info.spacing is None else [float(mm) for mm in info.spacing],
        "thickness_mm": None if info.thickness is None else float(info.thickness),
        "notes": list(info.notes),
        "dropped": list(info.dropped),
    }
