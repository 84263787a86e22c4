"""``docs/audit.md``, rendered from the cards alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lungapp.registry import LABELS
from train.audit_plots import FIGURES_PICTURE, PICTURES, ROOT, condition_groups
from train.conditions import NOISY

DOCUMENT = ROOT / "docs" / "audit.md"

METRICS = {
    "auc_malignant": "Malignant AUC",
    "malignant_gap": "How much higher the malignant probability is on malignant slices than on the others, on average",
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
}

CHANGED = (
    "Where two figures stand with an arrow, the first is of the weights before training was changed to lean less on "
    "shortcuts, the second of the shipped weights."
)

INTRODUCTION = f"""# What the models look at

<!-- Rendered from the cards by `python -m train.audit --write`; do not edit. -->

On this dataset a class can be told from how a slice was made as well as from what it shows, so a high figure is no
evidence that a model sees lesions. Here the shipped weights score the grouped test slices after something was taken
away from them or changed, and one looks at what is left of the figures ([`train/audit.py`](../train/audit.py); the
changes are in [`train/conditions.py`](../train/conditions.py)).

![Every condition on a synthetic phantom](images/{PICTURES.name})

How to read it:

- *Inside the lungs* is, on each side, the convex hull of all that is lung, and the pleura. Masses in and at the lungs
  lie inside, and so does a part of the heart, or most of it where the lungs reach around it; nodes in the mediastinum
  may lie outside.
- A high figure where the lungs are hidden shows that what is left is enough for the model, not that it judges a whole
  slice by it: what taking that away costs stands in the rows above. A low figure shows less: these pictures look like
  nothing a model judges well, and it may use the surroundings of a whole slice and yet make nothing of them alone. All
  the more since models are trained to call such pictures any class alike (`hollow` in
  [`train/recipes.py`](../train/recipes.py)): there low figures show that this was learnt.
- An AUC tells only the order. Where a model says nearly the same of every slice, the order of tiny differences can give
  any AUC; the second table says how far apart the probabilities are.
- Noise is made equal by adding to each slice what its level lacks to the {NOISY}th percentile of the slices. Noisier
  ones stay so, and the grain of added noise differs from a scanner's, so some of a scanner's signature is left.
- The test part has few patients: differences of a few points mean nothing.
- Grad-CAM is the map of the slice's true class; slices whose map is blank are left out. *An even map* is the lungs'
  share of the body."""


def render_document(cards: Sequence[Mapping[str, Any]]) -> str:
    """``docs/audit.md`` from the cards: tables of all models and conditions, and each model's words."""
    audited = [card for card in cards if "audit" in card]
    parts = [INTRODUCTION]
    if not audited:
        parts.append("No card has an audit yet: `python -m train.audit --write`.")
    else:
        changed = any("before" in card["audit"] for card in audited)
        picture = f"![Malignant AUC of each model on changed slices](images/{FIGURES_PICTURE.name})"
        parts += [*([CHANGED] if changed else []), picture]
        for metric, title in METRICS.items():
            parts.append(f"**{title}**\n\n{_table(audited, metric)}")
        parts += [f"**Grad-CAM inside the lungs, by true class**\n\n{_attention_table(audited)}", "## In words"]
        for card in audited:
            said = card["audit"].get("words") or ["Only the weights before the change of training were audited so far."]
            parts.append("\n".join([f"**{card.get('title', card['name'])}**", "", *(f"- {line}" for line in said)]))
    return "\n\n".join(parts) + "\n"


def _table(cards: Sequence[Mapping[str, Any]], metric: str) -> str:
    lines = _head(cards)
    for group, names in condition_groups().items():
        lines.append(f"| *{group}* |" + " |" * len(cards))
        for code, name in names.items():
            cells = (_cell(card, "conditions", code, metric) for card in cards)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _attention_table(cards: Sequence[Mapping[str, Any]]) -> str:
    lines = _head(cards)
    for label in LABELS:
        shares = (_cell(card, "attention_inside_lungs", label) for card in cards)
        lines.append(f"| {label} | " + " | ".join(shares) + " |")
        even = (_cell({"audit": {**card["audit"], "before": {}}}, "lungs_share_of_body", label) for card in cards)
        lines.append(f"| *{label}: an even map* | " + " | ".join(even) + " |")
    return "\n".join(lines)


def _head(cards: Sequence[Mapping[str, Any]]) -> list[str]:
    titles = [str(card.get("title", card["name"])) for card in cards]
    return ["| | " + " | ".join(titles) + " |", "| --- |" + " --- |" * len(cards)]


def _cell(card: Mapping[str, Any], *keys: str) -> str:
    """Before → now, or the one there is."""
    shown = []
    for stage in (card["audit"].get("before", {}), card["audit"]):
        value: Any = stage
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        shown.append("" if value is None else f"{value:.3f}")
    return " → ".join(text for text in shown if text) or "-"
