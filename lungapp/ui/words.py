"""Numbers and codes of a result, said in words. Plain text: callers escape it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lungapp.preprocessing import MODEL_WINDOW
from lungapp.results import ActivationMap, Status
from lungapp.slices import SliceInfo, Unit

REJECTED = "This picture did not pass the input check, so no model was asked."
OVERRIDDEN = (
    "The input check rejected this picture, and it was scored because you asked for it. No figure of this page applies "
    "to such a picture."
)
BACKGROUND = "About this file: how it was read, what was left behind, what the model was given"
NO_RELIANCE = "Do not rely on this answer."
NOT_FAITHFUL = "The map does not mark what this model relied on: do not rely on this map."
OUTSIDE = "Everything coloured lies outside the body."
TESTING = "Testing whether this map marks what the model relied on \u2026"


def status(name: Status, calibration: Mapping[str, Any]) -> str:
    """What a status means, in a sentence or two. ``calibration`` is the card's, empty where there is none."""
    if name == "rejected":
        return REJECTED
    target, threshold = (_share(calibration.get(key)) for key in ("target_accuracy", "confident_above"))
    if target and not threshold and name == "uncertain":
        return (
            f"This model never counts as confident: validation could not show, at any probability, that at least "
            f"{percent(target)} of its answers are right. {NO_RELIANCE}"
        )
    level = "the level this model needs to commit itself"
    if target and threshold:
        level = (
            f"{percent(threshold)}, the level from which at least {percent(target)} of answers were right in validation"
        )
    if name == "confident":
        return f"The probability reaches {level}. Such an answer can still be wrong."
    return f"The probability is below {level}. {NO_RELIANCE}"


def _share(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 < value < 1 else None


def percent(share: float) -> str:
    """A share in [0, 1] as whole per cent, never rounded up to certainty or down to impossibility."""
    if 0.99 < share < 1:
        return "over 99 %"
    if 0 < share < 0.01:
        return "under 1 %"
    return f"{share:.0%}".replace("%", " %")


def attention(item: ActivationMap) -> str:
    """How much of the attention lies inside the lungs."""
    if item.blank:
        return f"The model found nothing in this slice that speaks for {item.target}, so nothing is coloured."
    if item.inside_lungs is None:
        return "No lungs were found in this slice, so it is not known how much of the attention lies inside them."
    share = f"({percent(item.inside_lungs)})"
    if item.inside_lungs >= 2 / 3:
        return f"Most of the attention {share} lies inside the lungs."
    if item.inside_lungs >= 1 / 3:
        return f"Only part of the attention {share} lies inside the lungs."
    return f"Little of the attention {share} lies inside the lungs: the model looked mostly elsewhere."


def faithfulness(item: ActivationMap) -> str:
    """What blurring did to the probability, and whether the map can be relied on; empty where it was not measured."""
    found = item.faithfulness
    if found is None:
        return ""
    if not found.share:
        return f"{OUTSIDE} Do not rely on this map."
    covered = "hottest tenth of the body" if found.share > 0.095 else f"coloured {percent(found.share)} of the body"
    before, after = found.probability, found.probability - found.hottest_fall
    elsewhere = found.probability - found.random_fall
    most = found.probability - max(found.random_falls)
    said = (
        f"Blurring the {covered} {_moves(before, after, f'the {item.target} probability', ' from ' + percent(before))}"
    )
    said += f"; blurring other parts of the same size {_moves(before, elsewhere, 'it')} on average"
    if found.supported:
        return f"{said}. The map marks what this model relied on."
    reason = f", one of them to {percent(most)}" if most <= after < elsewhere else ""
    return f"{said}{reason}. {NOT_FAITHFUL}"


def _moves(before: float, after: float, what: str, start: str = "") -> str:
    """How a probability went on from ``before`` to ``after``, as far as whole per cent tell."""
    if percent(before) == percent(after):
        return f"leaves {what} at {percent(after)}"
    return f"{'lowers' if after < before else 'raises'} {what}{start} to {percent(after)}"


def place_of_peak(values: np.ndarray) -> str:
    """Where in the picture a map, (rows, columns), is highest, for readers who cannot see it."""
    row, column = np.unravel_index(int(np.argmax(values)), values.shape)
    vertical = ("upper", "middle", "lower")[int(3 * row / values.shape[0])]
    horizontal = ("left", "centre", "right")[int(3 * column / values.shape[1])]
    return "centre" if (vertical, horizontal) == ("middle", "centre") else f"{vertical} {horizontal}"


def receipt(info: SliceInfo) -> tuple[str, ...]:
    """What of a file was left behind, and what becomes of the rest."""
    kept = "Only the pixels, their size and spacing, and the file's display window were read."
    if info.dropped:
        left = f"Left behind unread, as it could identify someone: {', '.join(info.dropped)}."
    else:
        left = "Nothing else was found in the file that could identify someone."
    return left, kept, "The upload is deleted when the page is closed or another file is opened."


def model_input(shape: tuple[int, ...], unit: Unit) -> str:
    """How the picture that a model was given, (rows, columns), came about from a slice in ``unit``."""
    window = f"centre {MODEL_WINDOW.centre:.0f}, width {MODEL_WINDOW.width:.0f} HU"
    passed = f"the window of the training pictures ({window})" if unit == "HU" else "the file's own greys"
    return f"{shape[0]} x {shape[1]} pixels, in {passed}; everything outside the body is black."
