"""What an axial chest slice measures, as a table: the range of each measure, and what a value outside it means.

Ranges are argued, not fitted: other scanners, windows, children, arms, crops and disease lie in them. In brackets the
extremes over IQ-OTH/NCCD, three patients of LIDC-IDRI and Lung-PET-CT-Dx, and 26 pictures from two other collections.
What no chest is like rejects. What few chests are like is a doubt, and warns; two doubts of different kinds reject, as
disease or a scanner explains one of them, seldom two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lungapp.quality.measures import Measures
from lungapp.texts import mark


@dataclass(frozen=True)
class Rule:
    """``measure`` of `Measures` is expected in [``low``, ``high``]; outside, or not there at all, it means ``code``."""

    code: str
    measure: str
    low: float
    high: float

    def broken(self, measures: Measures) -> bool:
        value = getattr(measures, self.measure)
        return math.isnan(value) or not self.low <= value <= self.high


REJECTING: tuple[Rule, ...] = (
    Rule("blank", "spread", 0.1, 1),  # [0.23, 0.38]: air and tissue in one picture
    Rule("no_body", "body", 0.1, 0.97),  # [0.25, 0.90]: a third of the side at least; a tight crop leaves corners
    Rule("no_body", "border", 0, 0.8),  # [0.54]: a crop may touch the skin all round; one from inside has no outline
    Rule("no_body", "solidity", 0.8, 1),  # [0.86, neck and shoulders]: arms at the side leave notches
    Rule("no_body", "wall", 0.01, 0.3),  # [0.035, 0.17]: ribs and skin at least; a crop may cut them
    Rule("collage", "clutter", 0, 0.35),  # [0.14, a table]: with both arms apart 0.3; a second chest would be 1
    Rule("not_axial", "aspect", 0.95, 3),  # [1.12, 2.5]: a child is nearly round, shoulders with arms down are wide
    Rule("not_axial", "flat_top", 0, 0.6),  # [0.47]: where another plane is cut off, it is cut over all its width
    Rule("not_axial", "flat_bottom", 0, 0.75),  # [0.66, cropped]: a heavy patient's back is flat on the table
    Rule("no_lungs", "lungs", 0.008, 0.65),  # [0.010, 0.51]: twice a trachea; emphysema has the most
    Rule("no_lungs", "front_gas", 0, 0.55),  # [0.48]: gas in a bowel rises to the front, lungs have a back and texture
    Rule("no_lungs", "lung_grey", 0.15, 0.55),  # [0.157, 0.45]: plain air where a window cut it; half consolidated
    Rule("not_ct", "lung_spread", 0, 0.25),  # [0.17]: more than vessels in air
    Rule("not_ct", "edge", 0.22, 0.92),  # [0.33, 0.81]: lungs end within a pixel or two; in an X-ray they fade
    Rule("not_ct", "tissue_grey", 0.66, 0.93),  # [0.79, 0.87]: between all fat, -260 HU, and all contrast
    Rule("not_ct", "tissue_spread", 0, 0.26),  # [0.23]: fat, muscle and blood lie close together
    Rule("not_ct", "tissue", 0.5, 1),  # [0.65]
    Rule("not_ct", "bone", 0, 0.35),  # [0.26, a narrow window]
)

WARNING: tuple[Rule, ...] = (
    Rule("little_lung", "lungs", 0.05, 1),  # the tips of the lungs; [0.088] in the dataset
    Rule("little_lung", "front_gas", 0, 0.5),
    Rule("cropped", "border", 0, 0.5),  # [0.37] in the dataset
    Rule("cropped", "flat_top", 0, 0.5),  # [0.45]
    Rule("cropped", "flat_bottom", 0, 0.6),  # [0.56]
    Rule("lungs_black", "lung_spread", 0.02, 1),  # [0.026] where lungs show vessels
    Rule("lungs_black", "gas", 0, 0.9),  # [0.71]: nothing but black
    Rule("narrow_window", "tissue_spread", 0.03, 0.24),  # [0.038]: fat and muscle are one white
    Rule("narrow_window", "tissue", 0.6, 1),
    Rule("unusual", "aspect", 1.05, 2.6),  # [1.12, 2.31] in the dataset
    Rule("unusual", "clutter", 0, 0.25),  # [0.14]
    Rule("unusual", "edge", 0.32, 0.85),  # [0.38, 0.83]: a soft kernel, a sharp one
)

EXPECTED: dict[str, str] = {
    "blank": mark("Expected air and tissue in one picture. Received: almost a single grey."),
    "no_body": mark("Expected the closed outline of a chest inside the picture. Received: no such outline."),
    "collage": mark("Expected one slice. Received: several pictures, or a picture with much else around it."),
    "not_axial": mark(
        "Expected an axial slice, wider than deep and round. Received: another plane, a crop, or a turned slice."
    ),
    "no_lungs": mark(
        "Expected air-filled lungs in the chest. Received: a slice without them, or with too little of them."
    ),
    "not_ct": mark(
        "Expected the greys of CT: dark lungs with vessels, fat and muscle close together, bright bone. "
        "Received: other greys, or an unsuited window."
    ),
    "no_chest": mark("Expected an axial chest slice. Received: a picture that differs from one in several ways."),
}
"""What is said where a slice is rejected."""

DOUBTS: dict[str, str] = {
    "little_lung": mark("The slice shows little lung, so scores are doubtful; choose a slice nearer the middle."),
    "cropped": mark("The chest is cut off at the picture's border, so scores may be off; upload the whole slice."),
    "lungs_black": mark(
        "The picture's window has erased the vessels and all else in the lungs, so scores are doubtful; "
        "upload the DICOM file or a picture in a lung window."
    ),
    "narrow_window": mark(
        "The picture's window has erased differences between soft tissues, so scores may be off; "
        "upload the DICOM file or a picture in a wide lung window."
    ),
    "unusual": mark("The slice is unlike the slices that the models were trained on, so scores may be off."),
}
"""What is said where a slice gets a warning."""


def rejections(measures: Measures) -> list[str]:
    """The codes for which a slice is rejected, each once, in the order of the table."""
    return _broken(REJECTING, measures)


def doubts(measures: Measures) -> list[str]:
    """The codes of what few chests are like, each once, in the order of the table."""
    return _broken(WARNING, measures)


def _broken(rules: tuple[Rule, ...], measures: Measures) -> list[str]:
    return list(dict.fromkeys(rule.code for rule in rules if rule.broken(measures)))
