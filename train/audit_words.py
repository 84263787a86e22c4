"""What an audit says in plain words: by rule, from its figures alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lungapp import audit_sentences as say
from lungapp.audit_sentences import CHANGES, HIDDEN, VISIBLE
from lungapp.texts import Text, listed

WELL = 0.9
"""Malignant AUC from which a model tells malignant slices from the others."""

SLIGHT = 0.05
"""Mean difference of malignant probability between malignant slices and the others below which a model is as good as
mute, whatever the AUC makes of its order."""

HARDLY = 0.65
"""Malignant AUC below which it hardly does; as far below chance as this is above, it does so the wrong way round."""

NOTED = 0.03
"""Change of the malignant AUC that is worth a word: a smaller one may be a slice or two."""

COSTLY = {"auc_malignant": 0.05, "balanced_accuracy": 0.1}
"""What a harmless change of the picture may cost before it is named."""

Figures = Mapping[str, Mapping[str, Any]]


def words(audit: Mapping[str, Any]) -> list[str]:
    """Sentences on a card's "audit". Each follows from its figures; one whose figures are missing is left out."""
    figures = audit["conditions"]
    return [
        *_clean(figures),
        *(sentence for code in HIDDEN for sentence in _hidden(code, figures)),
        *(sentence for code in VISIBLE for sentence in _visible(code, figures)),
        *_harmless(figures),
        *_one_pixel(audit.get("one_pixel", {})),
    ]


def _auc(figures: Figures, code: str) -> float | None:
    """Rounded as it is written, so that a sentence and its figure never disagree."""
    value = figures.get(code, {}).get("auc_malignant")
    return None if value is None else round(value, 2)


def _clean(figures: Figures) -> list[str]:
    own = _auc(figures, "clean")
    balanced = figures.get("clean", {}).get("balanced_accuracy")
    if own is None or balanced is None:
        return []
    return [Text(say.CLEAN, own=own, balanced=balanced)]


def _hidden(code: str, figures: Figures) -> list[str]:
    own = _auc(figures, code)
    if own is None:
        return []
    opening, shown = HIDDEN[code]
    gap = figures[code].get("malignant_gap")
    if gap is not None and abs(gap) < SLIGHT:
        return [Text(say.MUTE, opening=opening, points=100 * abs(gap), own=own, shown=shown)]
    if own >= WELL:
        template = say.ENOUGH
    elif own >= HARDLY:
        template = say.HELPS
    elif own > 1 - HARDLY:
        template = say.NOT_ENOUGH
    else:
        template = say.BACKWARDS
    return [Text(template, opening=opening, own=own, shown=shown)]


def _visible(code: str, figures: Figures) -> list[str]:
    own, clean = _auc(figures, code), _auc(figures, "clean")
    if own is None or clean is None:
        return []
    template = say.AS_WELL if abs(own - clean) <= NOTED else say.RISES if own > clean else say.FALLS
    said = Text(template, opening=VISIBLE[code], own=own, clean=clean)
    return [Text(say.ENDED, said=said)]


def _harmless(figures: Figures) -> list[str]:
    clean = figures.get("clean", {})
    costly = []
    measured = [code for code in CHANGES if code in figures]
    for code in measured:
        pairs = {metric: (clean.get(metric), figures[code].get(metric)) for metric in COSTLY}
        if any(
            was is not None and now is not None and was - now > COSTLY[metric] for metric, (was, now) in pairs.items()
        ):
            costly.append(CHANGES[code])
    if not measured:
        return []
    changes = listed(costly or [CHANGES[code] for code in measured])
    auc, balanced = COSTLY["auc_malignant"], COSTLY["balanced_accuracy"]
    return [Text(say.COSTLY if costly else say.HARMLESS, changes=changes, auc=auc, balanced=balanced)]


def _one_pixel(moves: Mapping[str, float]) -> list[str]:
    if not moves:
        return []
    return [Text(say.ONE_PIXEL, most=100 * moves["most"], highest=100 * moves["at_most"])]
