"""What an axial chest slice measures, as a table: the range of each measure, and what a value outside it means.

In brackets the extremes over the 1,097 slices of IQ-OTH/NCCD and the 92 slices of one LIDC-IDRI and one Lung-PET-CT-Dx
patient that show more lung than its very tips. The ranges stand outside them: none of those slices breaks a rule, and
none was drawn to fit a picture that is no chest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lungapp.quality.measures import Measures
from lungapp.texts import mark


@dataclass(frozen=True)
class Rule:
    """``measure`` of `Measures` is expected in [``low``, ``high``]; outside, or not there at all, it means ``code``.

    ``greys`` marks rules on absolute greys, which hold in the models' window alone.
    """

    code: str
    measure: str
    low: float
    high: float
    greys: bool = False

    def broken(self, found: Measures) -> bool:
        value = getattr(found, self.measure)
        return math.isnan(value) or not self.low <= value <= self.high


RULES: tuple[Rule, ...] = (
    Rule("blank", "spread", 0.1, 1),  # [0.25]: air and tissue in one picture
    Rule("no_body", "body", 0.1, 0.95),  # [0.25, 0.86]
    Rule("no_body", "border", 0, 0.5),  # [0.38]: a crop from inside a body has no outline
    Rule("no_body", "solidity", 0.85, 1),  # [0.95]; arms beside the body leave notches
    Rule("no_body", "wall", 0.015, 0.2),  # [0.024, 0.17]: ribs, muscle and fat around the lungs
    Rule("collage", "clutter", 0, 0.25),  # [0.14, a table]
    Rule("not_axial", "aspect", 1.05, 2.6),  # [1.12, 2.38]: a chest is wider than deep
    Rule("not_axial", "flat_top", 0, 0.55),  # [0.46]
    Rule("not_axial", "flat_bottom", 0, 0.65),  # [0.56]
    Rule("no_lungs", "lungs", 0.04, 0.6),  # [0.052, 0.48]; at the tips less
    Rule("no_lungs", "back", 0.25, 1),  # [0.28]: gas in a bowel rises to the front, lungs reach to the back
    Rule("no_lungs", "lung_grey", 0.2, 0.46, greys=True),  # [0.21, 0.43]: neither plain gas nor tissue
    Rule("no_lungs", "gas", 0, 0.5, greys=True),  # [0.36, emphysema]
    Rule("not_ct", "lung_spread", 0.025, 0.2),  # [0.036, 0.13]: vessels; smooth regions are no lungs
    Rule("not_ct", "edge", 0.3, 0.85),  # [0.39, 0.72]: lungs end within a pixel or two; in an X-ray they fade
    Rule("not_ct", "air", 0.13, 0.3, greys=True),  # [0.16, 0.27]: the air around the patient is not black
    Rule("not_ct", "tissue", 0.7, 1, greys=True),  # [0.75]: fat, muscle and blood
    Rule("not_ct", "tissue_spread", 0.03, 0.19),  # [0.042, 0.16]: they differ, and not by much
    Rule("not_ct", "bone", 0.003, 0.3, greys=True),  # [0.007, 0.20]
    Rule("saturated", "black", 0, 0.5),  # [0]: a narrow window or a threshold has erased the lungs
    Rule("saturated", "white", 0, 0.9),  # [0.16]
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
    "saturated": mark("Expected detail inside the lungs. Received: areas that are all black or white."),
}
"""What is said of each code."""


def broken(found: Measures, known_window: bool) -> list[str]:
    """The codes of all rules that ``found`` breaks, each once, in the order of the table.

    Rules on absolute greys are left out where the window is not known.
    """
    rules = [rule for rule in RULES if known_window or not rule.greys]
    return list(dict.fromkeys(rule.code for rule in rules if rule.broken(found)))
