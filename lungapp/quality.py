"""The input gate: is this an axial chest slice that the models can be asked about at all?

The gate knows nothing of lesions. It looks for what every axial chest slice has: a body wider than deep, inside the
picture, with large regions in it that are far darker than the tissue around them. Ranges in brackets are the
extremes over the 1,097 slices of IQ-OTH/NCCD and the 92 slices of one LIDC-IDRI and one Lung-PET-CT-Dx patient that
show more lung than its very tips; thresholds stand outside them, so none of those is rejected.
"""

from __future__ import annotations

import cv2
import numpy as np

from lungapp.anatomy import body_mask, lung_mask
from lungapp.preprocessing import MODEL_WINDOW
from lungapp.results import Finding, QualityReport
from lungapp.slices import Slice

MAX_COLOUR = 0.05
"""Share of coloured pixels [0 in CT; histology from 0.32]; a few coloured annotations are let through."""

MIN_SIDE = 128
"""Pixels. A thorax of 400 mm on 128 pixels leaves a 6 mm nodule two pixels wide [331]."""

MIN_SPREAD = 0.1
"""Standard deviation of grey in [0, 1]: air and tissue in one picture spread it to a multiple of this [0.25]."""

MIN_BODY = 0.1
"""Share of the picture that is body [0.25]."""

MAX_BORDER = 0.6
"""Share of the picture's border that is body [0.37]: beyond it, no outline of a body is to be seen."""

MIN_WIDTH_TO_DEPTH = 0.95
"""A chest is wider than deep [1.12]; heads, necks, portraits and slices turned by 90 degrees are not."""

LUNG_SHARE = (0.04, 0.6)
"""Share of the body's area that is air-filled lung [0.043 at the diaphragm, 0.48]; gas in the abdomen stays below."""

MIN_CONTRAST = 0.3
"""Difference of grey between soft tissue and lung [0.38]."""

MAX_BLACK = 0.5
MAX_WHITE = 0.9
"""Share of lung at 0 [0] and of other tissue at 1 [0.45] where a narrow window or a threshold has erased detail."""

LUNG_GREY = (0.15, 0.5)
TISSUE_GREY = (0.72, 0.98)
"""Median grey of lung [0.21, 0.42] and of the rest of the body [0.78, 0.97] in the window of the training pictures."""


def assess(item: Slice) -> QualityReport:
    """Judge ``item``; a rejected slice is not to be scored.

    Codes: ``colour``, ``too_small``, ``blank``, ``no_body``, ``no_lungs``, ``saturated`` reject;
    ``unknown_window`` warns.
    """
    grey = item.windowed(MODEL_WINDOW)
    findings = _picture(item, grey)
    if not findings:  # anatomy is looked for only in what may be a CT slice
        findings = _anatomy(item, grey)
    return QualityReport(tuple(findings))


def _reject(code: str, message: str) -> Finding:
    return Finding(code, "reject", message)


def _picture(item: Slice, grey: np.ndarray) -> list[Finding]:
    """What can be told without anatomy."""
    findings = []
    if item.info.colour > MAX_COLOUR:
        share = f"{100 * item.info.colour:.0f} %"
        findings.append(_reject("colour", f"Expected a grey CT slice. Received: a picture with {share} coloured area."))
    if min(item.rows, item.columns) < MIN_SIDE:
        size = f"{item.columns} x {item.rows}"
        findings.append(
            _reject("too_small", f"Expected at least {MIN_SIDE} pixels on each side. Received: {size} pixels.")
        )
    if grey.std() < MIN_SPREAD:
        findings.append(_reject("blank", "Expected air and tissue in one picture. Received: almost a single grey."))
    return findings


def _anatomy(item: Slice, grey: np.ndarray) -> list[Finding]:
    body = body_mask(grey)
    if not _like_a_chest(body):
        message = "Expected the outline of a chest, wider than deep, in a wide lung window. Received: no such outline."
        return [_reject("no_body", message)]
    lungs = lung_mask(grey, body)
    share = lungs.sum() / body.sum()
    lung, tissue = _median(grey, lungs), _median(grey, body & ~lungs)
    if not LUNG_SHARE[0] <= share <= LUNG_SHARE[1] or tissue - lung < MIN_CONTRAST:
        message = "Expected air-filled lungs inside the body. Received: a slice without them, or in an unsuited window."
        return [_reject("no_lungs", message)]
    if np.mean(grey[lungs] <= 0) > MAX_BLACK or np.mean(grey[body & ~lungs] >= 1) > MAX_WHITE:
        return [_reject("saturated", "Expected detail inside the lungs. Received: areas that are all black or white.")]
    in_range = LUNG_GREY[0] <= lung <= LUNG_GREY[1] and TISSUE_GREY[0] <= tissue <= TISSUE_GREY[1]
    if item.unit == "grey" and not in_range:
        message = "The greys differ from the wide lung window that the models were trained on; scores may be off."
        return [Finding("unknown_window", "warn", message)]
    return []


def _like_a_chest(body: np.ndarray) -> bool:
    """Whether ``body`` (rows, columns) bool has a chest's size and proportions and lies inside the picture."""
    if body.mean() < MIN_BODY:
        return False
    _, _, width, depth = cv2.boundingRect(body.astype(np.uint8))
    border = np.concatenate([body[0], body[-1], body[1:-1, 0], body[1:-1, -1]])
    return bool(border.mean() <= MAX_BORDER and width >= MIN_WIDTH_TO_DEPTH * depth)


def _median(grey: np.ndarray, mask: np.ndarray) -> float:
    return float(np.median(grey[mask])) if mask.any() else 0.0
