"""What a model leans on: the shortcut audit of a card as a chart, in words, and as a table."""

from __future__ import annotations

from html import escape
from typing import Any

from lungapp.ui.charts import Dot, draw_dots
from lungapp.ui.figures import DECIMAL, find, to_figure
from lungapp.ui.tables import card as box
from lungapp.ui.tables import figure_cell, row, table
from lungapp.ui.words import percent

METRIC = "auc_malignant"

CHANCE = 0.5
"""The AUC of an answer that knows nothing."""

GROUPS = {
    "Lesions in sight: should be high": {
        "clean": "The slice as it is",
        "lungs_only": "Only the lungs",
        "noise_equalised": "Noise made the same in all classes",
        "lungs_only_noise_equalised": "Only the lungs, noise made the same",
    },
    "Lungs hidden: should be near chance": {
        "lungs_masked_out": "Lungs filled with plain grey",
        "border_only": "Only a band at the body's edge",
        "noise_only": "Only the noise",
    },
    "Picture altered: should stay high": {
        "window_wide": "Wider grey window",
        "window_narrow": "Narrower grey window",
        "blur": "Blurred",
        "noise": "Noise added",
        "rotation": "Rotated",
        "flip": "Mirrored",
        "jpeg_50": "JPEG, medium quality",
        "jpeg_20": "JPEG, low quality",
    },
}
"""Conditions of the audit in the order of the chart, by what one hopes for."""

OTHERS = "Others"

COLUMNS = {
    "auc_malignant": "AUC for malignant",
    "malignant_gap": "Malignant probability higher on malignant slices by",
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
}


def audit_section(title: str, card: dict[str, Any]) -> str:
    """The audit of the model called ``title`` as HTML; empty where ``card`` has none."""
    conditions = find(card, "audit", "conditions")
    if not isinstance(conditions, dict):
        return ""
    old = find(card, "audit", "before", "conditions")
    before = old if isinstance(old, dict) else {}
    groups = {name: _dots(members, conditions, before) for name, members in _groups(conditions).items()}
    groups = {name: dots for name, dots in groups.items() if dots}
    if not groups:
        return ""
    chart = draw_dots(_words(title, groups), groups, "AUC for malignant", CHANCE)
    said = _sentences(card) + _attention(card) + _details(conditions, before)
    return box(
        "What it leans on",
        f'<div class="la-two"><div>{chart}</div><div>{said}</div></div>',
        _note(card, groups),
        "la-wide",
    )


def _note(card: dict[str, Any], groups: dict[str, list[Dot]]) -> str:
    slices = find(card, "audit", "slices")
    where = f" on {slices:,} held-out slices" if isinstance(slices, int) else ""
    text = (
        f"How well malignant slices are told from the rest{where} when the picture is changed; the dotted line is "
        "chance. With parts hidden, a high figure shows that the model can do with what is left. A low one proves "
        "less, because such pictures are unlike those it learnt from."
    )
    if any(dot.before is not None for dots in groups.values() for dot in dots):
        text += " Hollow: the weights before training was changed to lean less on shortcuts."
    return text


def _groups(conditions: dict[str, Any]) -> dict[str, dict[str, str]]:
    known = {code for members in GROUPS.values() for code in members}
    others = {str(code): str(code).replace("_", " ").capitalize() for code in conditions if code not in known}
    return {**GROUPS, OTHERS: others}


def _dots(members: dict[str, str], conditions: dict[str, Any], before: dict[str, Any]) -> list[Dot]:
    dots = []
    for code, name in members.items():
        figure, old = to_figure(find(conditions, code, METRIC)), to_figure(find(before, code, METRIC))
        if figure:
            dots.append(Dot(name, figure.value, figure.show(METRIC in DECIMAL), old.value if old else None))
    return dots


def _words(title: str, groups: dict[str, list[Dot]]) -> str:
    parts = []
    for name, dots in groups.items():
        rows = (
            f"{dot.name} {dot.shown}" + ("" if dot.before is None else f", before {dot.before:.3f}") for dot in dots
        )
        parts.append(f"{name}: {'; '.join(rows)}.")
    return f"AUC of {title} for malignant under changes of the picture. {' '.join(parts)}"


def _sentences(card: dict[str, Any]) -> str:
    words = find(card, "audit", "words")
    sentences = [word for word in words if isinstance(word, str)] if isinstance(words, list) else []
    rows = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<h4>In words</h4><ul class="la-words">{rows}</ul>' if rows else ""


def _attention(card: dict[str, Any]) -> str:
    shares = find(card, "audit", "attention_inside_lungs")
    figures = {name: to_figure(share) for name, share in shares.items()} if isinstance(shares, dict) else {}
    said = [f"{percent(figure.value)} for {escape(str(name))}" for name, figure in figures.items() if figure]
    if not said:
        return ""
    return f"<p>Share of the model's attention that lies inside the lungs: {', '.join(said)}.</p>"


def _details(conditions: dict[str, Any], before: dict[str, Any]) -> str:
    names = {code: name for members in _groups(conditions).values() for code, name in members.items()}
    rows = []
    for code, name in names.items():
        if code in conditions:
            figures = [(to_figure(find(conditions, code, metric)), metric) for metric in COLUMNS]
            figures += [(to_figure(find(before, code, METRIC)), METRIC)] if before else []
            rows.append(row(escape(name), [figure_cell(*figure) for figure in figures]))
    heads = [*COLUMNS.values(), *([f"{COLUMNS[METRIC]}, before"] if before else [])]
    figures_table = table(heads, rows, "Figures of the audit by change of the picture")
    return f"<details><summary>All figures of the audit</summary>{figures_table}</details>"
