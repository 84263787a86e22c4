"""The input gate: is this an axial chest slice that the models can be asked about at all?

The gate knows nothing of lesions and of no list of wrong pictures. It looks for what every axial chest CT has
(`lungapp.quality.measures`, `lungapp.quality.rules`), on greys that `lungapp.greys` has brought to one scale: the
closed outline of a body, wider than deep; lungs in it that end sharply; fat and muscle close together. What passes is
compared with the training slices (`lungapp.quality.typical`). How it does is measured in docs/gate.md.
"""

from __future__ import annotations

from dataclasses import replace

from lungapp.anatomy import Anatomy
from lungapp.quality.measures import measure
from lungapp.quality.rules import DOUBTS, EXPECTED, doubts, rejections
from lungapp.quality.text import rows_of_text
from lungapp.quality.typical import turned_over, typical, vector
from lungapp.results import Finding, QualityReport
from lungapp.texts import Text, mark

MAX_COLOUR = 0.05
"""Share of coloured pixels [0 in CT; histology from 0.32]; a few coloured marks are let through with a warning."""

FEW_COLOURS = 0.0005
"""Share of coloured pixels that a drawn mark has."""

MIN_SIDE = 128
"""Pixels. A thorax of 400 mm on 128 pixels leaves a 6 mm nodule two pixels wide [331]."""

EXPLAIN = {"unusual", "little_lung", "lungs_black"}
"""Doubts that come with a picture unlike the training slices', so that this is no doubt of its own."""


def assess(anatomy: Anatomy) -> QualityReport:
    """Judge a slice; a rejected slice is not to be scored.

    Codes that reject: ``colour``, ``too_small``, those of `lungapp.quality.rules.EXPECTED`, ``inverted``.
    Codes that warn: those of `lungapp.quality.rules.DOUBTS`, ``upside_down``, ``burned_in``.
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


def _judge(anatomy: Anatomy) -> list[Finding]:
    """Findings on what the picture shows."""
    measures = measure(anatomy)
    if codes := rejections(measures):
        if anatomy.slice.unit == "grey" and not rejections(measure(_inverted(anatomy))):
            return [_reject("inverted", mark("Expected dark lungs and bright bone. Received: an inverted picture."))]
        return [_reject(code, EXPECTED[code]) for code in codes]
    pixels = vector(anatomy)
    if typical().upside_down(pixels):
        turned = mark("The slice seems to lie upside down: the models expect the patient's front at the top.")
        findings, distance = [Finding("upside_down", "warn", turned)], typical().distance(turned_over(pixels))
    else:
        findings, distance = [], typical().distance(pixels)
    codes = doubts(measures)
    if distance > typical().warn and not EXPLAIN.intersection(codes):
        codes.append("unusual")
    turned_too = bool(findings) and codes != ["little_lung"]  # which a prone patient's series has at its ends
    if len(codes) > 1 or (codes and turned_too):
        return [_reject("no_chest", EXPECTED["no_chest"])]
    return [*findings, *(Finding(code, "warn", DOUBTS[code]) for code in codes)]


def _inverted(anatomy: Anatomy) -> Anatomy:
    item = anatomy.slice
    return Anatomy(replace(item, pixels=item.info.white - item.pixels))


def _annotations(seen: Anatomy) -> list[Finding]:
    info = seen.slice.info
    if info.burned_in or info.colour > FEW_COLOURS or rows_of_text(seen.grey, seen.body):
        message = mark(
            "Text or marks seem to be part of the picture. They may name the patient, and the models were not trained "
            "on them."
        )
        return [Finding("burned_in", "warn", message)]
    return []
