"""The sentences of a shortcut audit: made from these templates where a card is written, and recognised by them again.

A model card keeps its audit's sentences as plain English. The page finds in them which template they came from, and can
so say them in another language.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Any

from lungapp.texts import Text, listed, mark

CLEAN = mark("On the slices as they are: malignant AUC {own:.2f}, balanced accuracy {balanced:.2f}.")

MUTE = mark(
    "{opening} its malignant probability differs by {points:.1f} percentage points between malignant slices and the "
    "others (AUC {own:.2f}): it makes next to nothing of {shown}."
)
ENOUGH = mark("{opening} it still tells malignant slices from the others (AUC {own:.2f}): {shown} is enough for it.")
HELPS = mark("{opening} it still tells malignant slices from the others in part (AUC {own:.2f}): {shown} helps it.")
NOT_ENOUGH = mark(
    "{opening} it hardly tells malignant slices from the others (AUC {own:.2f}): {shown} is not enough for it."
)
BACKWARDS = mark(
    "{opening} it ranks malignant slices below the others (AUC {own:.2f}): it goes by {shown}, the wrong way round."
)

AS_WELL = mark("{opening} it does as well as on the whole slice (malignant AUC {own:.2f}, there {clean:.2f})")
RISES = mark("{opening} its malignant AUC rises from {clean:.2f} to {own:.2f}")
FALLS = mark(
    "{opening} its malignant AUC falls from {clean:.2f} to {own:.2f}: it leans on what was taken away, or the change "
    "itself puts it off"
)
ENDED = mark("{said}.")

COSTLY = mark(
    "Of the changes that leave the lesion in sight, these cost it more than {auc:.2f} of malignant AUC or "
    "{balanced:.2f} of balanced accuracy: {changes}."
)
HARMLESS = mark(
    "No change that leaves the lesion in sight ({changes}) costs it more than {auc:.2f} of malignant AUC or "
    "{balanced:.2f} of balanced accuracy."
)

ONE_PIXEL = mark(
    "A crop that begins one pixel later moves its probabilities by at most {highest:.0f} percentage points, on 19 of "
    "20 slices by at most {most:.0f}."
)

HIDDEN = {"noise_only": (mark("From the noise alone"), mark("the scanner's noise"))}
"""Conditions that show no lesion: how a sentence on them begins, and what they do show."""

VISIBLE = {"lungs_only": mark("From the lungs alone"), "noise_equalised": mark("With the noise made equal")}
"""Conditions that keep the lungs and take away something that ought not to count."""

CHANGES = {
    "window_wide": mark("a wider window"),
    "window_narrow": mark("a narrower window"),
    "blur": mark("blur"),
    "noise": mark("more noise"),
    "rotation": mark("rotation"),
    "flip": mark("mirroring"),
    "jpeg": mark("JPEG at quality 50"),
}
"""Changes that leave the lesion in sight."""

SENTENCES = (CLEAN, MUTE, ENOUGH, HELPS, NOT_ENOUGH, BACKWARDS, ENDED, COSTLY, HARMLESS, ONE_PIXEL)

PARTS: dict[str, Sequence[str]] = {
    "opening": (*(opening for opening, _ in HIDDEN.values()), *VISIBLE.values()),
    "shown": tuple(shown for _, shown in HIDDEN.values()),
    "said": (AS_WELL, RISES, FALLS),
}
"""What may stand in a brace that holds words."""

LISTS = {"changes": tuple(CHANGES.values())}
"""The same for a brace that holds one or several, with a comma between them."""


def recognise(sentence: str) -> str:
    """``sentence`` as a `Text` that can be translated; the same English string where no template fits."""
    return _among(SENTENCES, sentence) or sentence


def _among(templates: Sequence[str], words: str) -> Text | None:
    return next((found for template in templates if (found := _match(template, words))), None)


def _match(template: str, words: str) -> Text | None:
    """``words`` as ``template`` with its values; None where it is not made of it."""
    found = re.fullmatch(_pattern(template), words)
    if not found:
        return None
    values: dict[str, Any] = {}
    for name, part in found.groupdict().items():
        value = _value(name, part)
        if value is None:
            return None
        values[name] = value
    return Text(template, **values)


def _value(name: str, part: str) -> float | Text | None:
    if name in PARTS:
        return _among(PARTS[name], part)
    if name in LISTS:
        items = [_among(LISTS[name], item) for item in part.split(", ")]
        whole = [item for item in items if item]
        return listed(whole) if len(whole) == len(items) else None
    return float(part)


def _pattern(template: str) -> str:
    """A regular expression for what ``template`` makes: numbers by their format, anything for words."""
    parts, known = [], set()
    for literal, name, form, _ in string.Formatter().parse(template):
        parts.append(re.escape(literal))
        if name is None:
            continue
        digits = (form or "").strip(".f")
        number = rf"\d+\.\d{{{digits}}}" if digits != "0" else r"\d+"
        parts.append(f"(?P={name})" if name in known else f"(?P<{name}>{number if form else '.+'})")
        known.add(name)
    return "".join(parts)
