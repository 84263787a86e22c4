"""Analyses of every kind, with cards that state everything."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from lungapp.cards import ModelCard
from lungapp.results import Analysis, Finding, QualityReport
from lungapp.slices import Slice, SliceInfo
from tests.fakes import FakeEngine
from tests.made_up import full_records

CREATED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
CARDS = tuple(
    ModelCard(data if "members" in data else data | {"weights_sha256": f"{place:x}" * 64})
    for place, data in enumerate(full_records().values(), start=10)
)
LONG = "Expected a grey CT slice. Received: a picture that is much more colourful than any scanner would make it. "
REJECTED = QualityReport((Finding("colour", "reject", LONG.strip()), Finding("blank", "reject", "Expected air.")))


def kinds(thorax: Slice) -> dict[str, Analysis]:
    """By name; ``thorax`` is a slice in HU that the gate accepts."""
    engine = FakeEngine()
    info = SliceInfo("DICOM", bits=16, spacing=(0.7, 0.6), thickness=2.5, dropped=("Patient's Name", "Patient ID"))
    item = Slice(thorax.pixels, "HU", info)
    grey = Slice(np.rint(255 * thorax.windowed()), "grey", SliceInfo("PNG", notes=("Transparent parts were laid on.",)))
    one, everyone = engine.analyse(item, "advanced_cnn"), engine.analyse(item, "all")
    return {
        "one": one,
        "all": everyone,
        "grey": engine.analyse(grey, "resnet50"),
        "blank": engine.analyse(item, "basic_cnn", "benign"),
        "rejected": Analysis(item, REJECTED, "resnet50"),
        "overridden": override(one),
        "all overridden": override(everyone),
    }


def override(analysis: Analysis) -> Analysis:
    """``analysis`` as the engine gives it for a slice that the gate rejected."""
    return replace(
        analysis,
        quality=REJECTED,
        overridden=True,
        predictions=tuple(item.forced() for item in analysis.predictions),
        ensemble=analysis.ensemble and analysis.ensemble.forced(),
    )
