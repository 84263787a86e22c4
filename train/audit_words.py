"""What an audit says in plain words: by rule, from its figures alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lungapp.registry import LABELS

WELL = 0.9
"""Malignant AUC from which a model tells malignant slices from the others."""

SLIGHT = 0.05
"""Mean difference of malignant probability between malignant slices and the others below which a model is as good as
mute, whatever the AUC makes of its order."""

HARDLY = 0.65
"""Malignant AUC below which it hardly does; as far below chance as this is above, it does so the wrong way round."""

AIM = 0.95
"""Malignant AUC that a model should reach from the lungs alone with the noise made equal."""

NOTED = 0.03
"""Change of the malignant AUC that is worth a word: a smaller one may be a slice or two."""

COSTLY = {"auc_malignant": 0.05, "balanced_accuracy": 0.1}
"""What a harmless change of the picture may cost before it is named."""

EVEN = 1.25
"""A map lies in the lungs more, or less, than an even one would, from this ratio on."""

HIDDEN = {
    "lungs_masked_out": ("With the lungs masked out", "what lies outside the lungs"),
    "border_only": ("From a band along the body's edge alone", "the body's edge, with its outline,"),
    "noise_only": ("From the noise alone", "the scanner's noise"),
}
"""Conditions that show no lesion in the lungs: how a sentence on them begins, and what they do show."""

VISIBLE = {
    "lungs_only": "From the lungs alone",
    "noise_equalised": "With the noise made equal",
    "lungs_only_noise_equalised": "From the lungs alone and with the noise made equal",
}
"""Conditions that keep the lungs and take away something that ought not to count."""

HARMLESS = {
    "window_wide": "a wider window",
    "window_narrow": "a narrower window",
    "blur": "blur",
    "noise": "more noise",
    "rotation": "rotation",
    "flip": "mirroring",
    "jpeg_50": "JPEG at quality 50",
    "jpeg_20": "JPEG at quality 20",
}

Figures = Mapping[str, Mapping[str, Any]]


def words(audit: Mapping[str, Any]) -> list[str]:
    """Sentences on a card's "audit". Each follows from its figures; one whose figures are missing is left out."""
    figures = audit["conditions"]
    return [
        *_clean(figures),
        *(sentence for code in HIDDEN for sentence in _hidden(code, figures)),
        *(sentence for code in VISIBLE for sentence in _visible(code, figures)),
        *_harmless(figures),
        *_attention(audit),
        *_changed(figures, audit.get("before", {}).get("conditions", {})),
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
    return [f"On the slices as they are: malignant AUC {own:.2f}, balanced accuracy {balanced:.2f}."]


def _hidden(code: str, figures: Figures) -> list[str]:
    own = _auc(figures, code)
    if own is None:
        return []
    opening, shown = HIDDEN[code]
    gap = figures[code].get("malignant_gap")
    if gap is not None and abs(gap) < SLIGHT:
        points = f"{100 * abs(gap):.1f} percentage points"
        said = f"its malignant probability differs by {points} between malignant slices and the others (AUC {own:.2f})"
        said += f": it makes next to nothing of {shown.rstrip(',')}"
    elif own >= WELL:
        said = f"it still tells malignant slices from the others (AUC {own:.2f}): {shown} is enough for it"
    elif own >= HARDLY:
        said = f"it still tells malignant slices from the others in part (AUC {own:.2f}): {shown} helps it"
    elif own > 1 - HARDLY:
        said = f"it hardly tells malignant slices from the others (AUC {own:.2f}): {shown} is not enough for it"
    else:
        said = f"it ranks malignant slices below the others (AUC {own:.2f}): it goes by {shown}, the wrong way round"
    return [f"{opening} {said}."]


def _visible(code: str, figures: Figures) -> list[str]:
    own, clean = _auc(figures, code), _auc(figures, "clean")
    if own is None or clean is None:
        return []
    opening = VISIBLE[code]
    if abs(own - clean) <= NOTED:
        said = f"it does as well as on the whole slice (malignant AUC {own:.2f}, there {clean:.2f})"
    elif own > clean:
        said = f"its malignant AUC rises from {clean:.2f} to {own:.2f}"
    else:
        said = (
            f"its malignant AUC falls from {clean:.2f} to {own:.2f}: "
            "it leans on what was taken away, or the change itself puts it off"
        )
    if code == "lungs_only_noise_equalised":
        said += f"; it should reach {AIM:.2f} and {'does' if own >= AIM else 'does not'}"
    return [f"{opening} {said}."]


def _harmless(figures: Figures) -> list[str]:
    clean = figures.get("clean", {})
    costly = []
    measured = [code for code in HARMLESS if code in figures]
    for code in measured:
        pairs = {metric: (clean.get(metric), figures[code].get(metric)) for metric in COSTLY}
        if any(
            was is not None and now is not None and was - now > COSTLY[metric] for metric, (was, now) in pairs.items()
        ):
            costly.append(HARMLESS[code])
    if not measured:
        return []
    points = {
        metric: f"{most:.2f} of {metric.replace('auc_malignant', 'malignant AUC')}" for metric, most in COSTLY.items()
    }
    limit = f"more than {' or '.join(points.values()).replace('_', ' ')}"
    if costly:
        return [f"Of the changes that leave the lesion in sight, these cost it {limit}: {', '.join(costly)}."]
    names = ", ".join(HARMLESS[code] for code in measured)
    return [f"No change that leaves the lesion in sight ({names}) costs it {limit}."]


def _attention(audit: Mapping[str, Any]) -> list[str]:
    inside, size = audit.get("attention_inside_lungs", {}), audit.get("lungs_share_of_body", {})
    sentences = []
    for label in LABELS:
        if label not in inside:
            if label in size:
                sentences.append(f"On {label} slices the Grad-CAM map for {label} is blank throughout.")
            continue
        said = f"On {label} slices Grad-CAM puts {_percent(inside[label])} of its mass inside the lungs"
        if label in size:
            ratio = inside[label] / size[label] if size[label] else 0.0
            how = "more than" if ratio > EVEN else "less than" if ratio < 1 / EVEN else "about as much as"
            said += f", which are {_percent(size[label])} of the body: {how} an even map would"
        sentences.append(f"{said}.")
    return sentences


def _changed(figures: Figures, before: Figures) -> list[str]:
    pairs = {code: (_auc(before, code), _auc(figures, code)) for code in (*HIDDEN, "lungs_only_noise_equalised")}
    known = {code: (was, now) for code, (was, now) in pairs.items() if was is not None and now is not None}
    if not known:
        return []
    openings = {**{code: opening for code, (opening, _) in HIDDEN.items()}, **VISIBLE}
    moved = [
        f"{_lower(openings[code])} from {was:.2f} to {now:.2f}"
        for code, (was, now) in known.items()
        if abs(now - was) > NOTED
    ]
    if not moved:
        return [f"The change of training moved none of these malignant AUCs by more than {NOTED:.2f}."]
    return [f"The change of training took the malignant AUC {', '.join(moved)}."]


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")
