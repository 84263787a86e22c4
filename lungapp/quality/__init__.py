"""The input gate: is this an axial chest slice that the models can be asked about at all?

The gate knows nothing of lesions and of no list of wrong pictures. It looks for what every axial chest CT has
(`lungapp.quality.measures`, `lungapp.quality.rules`): the closed outline of a body, wider than deep; lungs in it that
reach to its back, end sharply and hold vessels; fat and muscle close together and bright bone. What passes is compared
with the training slices (`lungapp.quality.typical`). How it does is measured in docs/gate.md.
"""

from __future__ import annotations

import numpy as np

from lungapp.anatomy import Anatomy
from lungapp.quality.measures import Measures, measure
from lungapp.quality.rules import EXPECTED, broken
from lungapp.quality.text import rows_of_text
from lungapp.quality.typical import typical, vector
from lungapp.results import Finding, QualityReport
from lungapp.slices import Slice, SliceInfo
from lungapp.texts import Text, mark

MAX_COLOUR = 0.05
"""Share of coloured pixels [0 in CT; histology from 0.32]; a few coloured marks are let through with a warning."""

FEW_COLOURS = 0.0005
"""Share of coloured pixels that a drawn mark has."""

MIN_SIDE = 128
"""Pixels. A thorax of 400 mm on 128 pixels leaves a 6 mm nodule two pixels wide [331]."""

AIR, TISSUE = 0.167, 0.82
"""Greys of air and of the median of soft tissue in the models' window: -1000 and -20 HU."""

OTHER_AIR, OTHER_TISSUE = (0.0, 0.32), (0.7, 1.0)
"""Where they lie in the lung windows in use: widths of 1100 to 2000 HU, centres of -700 to -400."""


def assess(anatomy: Anatomy) -> QualityReport:
    """Judge a slice; a rejected slice is not to be scored.

    Codes that reject: ``colour``, ``too_small``, those of `lungapp.quality.rules.EXPECTED`, ``inverted``, ``far``.
    Codes that warn: ``unknown_window``, ``unusual``, ``upside_down``, ``burned_in``.
    """
    findings = _picture(anatomy)
    if findings:  # anatomy is looked for only in what may be a CT slice
        return QualityReport(tuple(findings))
    return QualityReport((*_judge(anatomy), *_annotations(anatomy)))


def _reject(code: str, message: str) -> Finding:
    return Finding(code, "reject", message)


def _picture(item: Anatomy) -> list[Finding]:
    """What can be told without looking at the picture's contents."""
    findings = []
    if item.slice.info.colour > MAX_COLOUR:
        share = f"{100 * item.slice.info.colour:.0f} %"
        findings.append(
            _reject(
                "colour", Text("Expected a grey CT slice. Received: a picture with {share} coloured area.", share=share)
            )
        )
    if min(item.rows, item.columns) < MIN_SIDE:
        size = f"{item.columns} x {item.rows}"
        findings.append(
            _reject(
                "too_small",
                Text(
                    "Expected at least {least} pixels on each side. Received: {size} pixels.", least=MIN_SIDE, size=size
                ),
            )
        )
    return findings


def _judge(seen: Anatomy) -> list[Finding]:
    """Findings on a picture; greys of a file may be in another window than the models', or inverted."""
    found = measure(seen)
    codes = broken(found, known_window=True)
    if not codes:
        return _distance(seen)
    if seen.slice.unit == "grey":
        other = _as_in_models_window(seen.small, found)
        if other is not None and not broken(measure(other), known_window=False):
            message = mark(
                "The greys differ from the wide lung window that the models were trained on; scores may be off."
            )
            return [Finding("unknown_window", "warn", message), *_distance(other)]
        if not broken(measure(_shown(1 - seen.small)), known_window=False):
            return [_reject("inverted", mark("Expected dark lungs and bright bone. Received: an inverted picture."))]
    return [_reject(code, EXPECTED[code]) for code in codes]


def _as_in_models_window(small: np.ndarray, found: Measures) -> Anatomy | None:
    """The picture with its air and tissue brought to where the models expect them; None where it has no such greys."""
    in_use = OTHER_AIR[0] <= found.air <= OTHER_AIR[1] and OTHER_TISSUE[0] <= found.tissue_grey <= OTHER_TISSUE[1]
    if not in_use:
        return None
    gain = (TISSUE - AIR) / (found.tissue_grey - found.air)
    return _shown(np.clip(AIR + (small - found.air) * gain, 0, 1))


def _shown(grey: np.ndarray) -> Anatomy:
    """What the gate sees of a picture (rows, columns) in [0, 1]."""
    return Anatomy(Slice(grey, "grey", SliceInfo("array", white=1.0)))


def _distance(seen: Anatomy) -> list[Finding]:
    found = vector(seen)
    if typical().upside_down(found):
        message = mark("The slice seems to lie upside down: the models expect the patient's front at the top.")
        return [Finding("upside_down", "warn", message)]
    far = typical().distance(found)
    if far > typical().reject:
        message = mark("Expected a slice like those the models were trained on. Received: one unlike any of them.")
        return [_reject("far", message)]
    if far > typical().warn:
        message = mark(
            "This slice is less like the training slices than 99 in 100 held-out ones are; scores may be off."
        )
        return [Finding("unusual", "warn", message)]
    return []


def _annotations(seen: Anatomy) -> list[Finding]:
    info = seen.slice.info
    if info.burned_in or info.colour > FEW_COLOURS or rows_of_text(seen.grey, seen.body):
        message = mark(
            "Text or marks seem to be part of the picture. They may name the patient, and the models were not trained "
            "on them."
        )
        return [Finding("burned_in", "warn", message)]
    return []
