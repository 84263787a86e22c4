"""What a card's calibration promises: which classes cannot be excluded, and how often such an answer held.

A class stays in the answer set while its calibrated probability reaches the class's own threshold, set so that for each
class at least ``level`` of the slices of patients a model had not seen keep theirs (class-conditional conformal
prediction: Vovk, *Conditional validity of inductive conformal predictors*, 2012), with groups of similar slices, not
slices, as what is exchangeable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lungapp.registry import LABELS
from lungapp.results import DECISIONS, Decision, Prediction


@dataclass(frozen=True)
class Evidence:
    """How answers of one kind went on slices of groups that the model had not seen.

    ``low`` and ``high`` bound the malignant probability, [``low``, ``high``), up to and with 1. ``right`` is the share
    of the ``slices``, out of ``groups`` of similar ones, for which the decision held; for "undecided" it is the share
    that was malignant. ``interval`` is its 95 % interval.
    """

    decision: Decision
    low: float
    high: float
    slices: int
    groups: int
    right: float
    interval: tuple[float, float]

    def covers(self, prediction: Prediction) -> bool:
        malignant = prediction.scores()["malignant"]
        inside = self.low <= malignant < self.high or malignant >= 1 <= self.high
        return self.decision == prediction.decision and inside


@dataclass(frozen=True)
class Calibration:
    """A card's ``calibration``; ``temperature`` is 1 for the ensemble, whose members are calibrated already."""

    temperature: float
    level: float
    thresholds: Mapping[str, float]
    slices: int
    groups: int
    evidence: tuple[Evidence, ...] = ()

    def answer_set(self, labels: Sequence[str], probabilities: np.ndarray) -> tuple[str, ...]:
        """The classes, in the order of ``labels``, that cannot be excluded: all where the thresholds leave none."""
        chosen = [label for label, p in zip(labels, probabilities, strict=True) if p >= self.thresholds[label]]
        return tuple(chosen or labels)

    def evidence_for(self, prediction: Prediction) -> Evidence | None:
        """The band that ``prediction`` falls into; None where nothing like it was tested."""
        return next((band for band in self.evidence if band.covers(prediction)), None)


def read_calibration(stated: Any, with_temperature: bool = True) -> Calibration:
    """What a card says under ``calibration``. Raises ValueError where it is damaged, for then it promises nothing."""
    entry = _entry(stated)
    thresholds = _entry(entry.get("thresholds"))
    if set(thresholds) != set(LABELS):
        raise ValueError("a threshold for each class")
    temperature = _number(entry.get("temperature"), math.inf) if with_temperature else 1.0
    level = _number(entry.get("level"), 1)
    if temperature == 0 or not 0 < level < 1:
        raise ValueError("a temperature above 0, and a level between 0 and 1")
    bands = entry.get("evidence", [])
    if not isinstance(bands, list):
        raise ValueError("a list of bands")
    return Calibration(
        temperature,
        level,
        {label: _number(thresholds[label], 1) for label in LABELS},
        _count(entry.get("slices")),
        _count(entry.get("groups")),
        tuple(map(_band, bands)),
    )


def _band(stated: Any) -> Evidence:
    entry = _entry(stated)
    interval = entry.get("interval")
    if not isinstance(interval, list) or len(interval) != 2 or entry.get("decision") not in DECISIONS:
        raise ValueError("bands of a decision, with an interval")
    low, high, right, start, end = (
        _number(value, 1) for value in (entry.get("low"), entry.get("high"), entry.get("right"), *interval)
    )
    if low >= high or start > end:
        raise ValueError("bands from low to high, with an interval")
    slices, groups = _count(entry.get("slices")), _count(entry.get("groups"))
    return Evidence(entry["decision"], low, high, slices, groups, right, (start, end))


def _entry(stated: Any) -> dict[str, Any]:
    if not isinstance(stated, dict):
        raise ValueError("an object")
    return stated


def _number(value: Any, most: float) -> float:
    """``value``, a finite number from 0 to ``most``; true is none, nor is NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most or math.isinf(value):
        raise ValueError(f"a number from 0 to {most}")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a count from 1")
    return value
