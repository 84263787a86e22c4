"""What a model leans on: the shortcut audit of a card as a chart, in words, and as a table."""

from __future__ import annotations

from html import escape
from typing import Any

from lungapp.audit_sentences import recognise
from lungapp.texts import Text, mark
from lungapp.ui.charts import Dot, draw_dots
from lungapp.ui.figures import DECIMAL, find, to_figure
from lungapp.ui.language import say, say_html
from lungapp.ui.tables import card as box
from lungapp.ui.tables import figure_cell, row, scrolling_table

METRIC = "auc_malignant"

CHANCE = 0.5
"""The AUC of an answer that knows nothing."""

GROUPS = {
    mark("Lesions in sight: should be high"): {
        "clean": mark("The slice as it is"),
        "lungs_only": mark("Only the lungs"),
        "noise_equalised": mark("Noise made the same in all classes"),
    },
    mark("No lesion in sight: should be near chance"): {"noise_only": mark("Only the noise")},
    mark("Picture altered: should stay high"): {
        "window_wide": mark("Wider grey window"),
        "window_narrow": mark("Narrower grey window"),
        "blur": mark("Blurred"),
        "noise": mark("Noise added"),
        "rotation": mark("Rotated"),
        "flip": mark("Mirrored"),
        "jpeg": mark("JPEG, medium quality"),
    },
}
"""Conditions of the audit in the order of the chart, by what one hopes for."""

OTHERS = mark("Others")

COLUMNS = {
    "auc_malignant": mark("AUC for malignant"),
    "malignant_gap": mark("Malignant probability higher on malignant slices by"),
    "balanced_accuracy": mark("Balanced accuracy"),
    "accuracy": mark("Accuracy"),
}


def audit_section(title: str, card: dict[str, Any]) -> str:
    """The audit of the model called ``title`` as HTML; empty where ``card`` has none."""
    conditions = find(card, "audit", "conditions")
    if not isinstance(conditions, dict):
        return ""
    groups = {name: _dots(members, conditions) for name, members in _groups(conditions).items()}
    groups = {name: dots for name, dots in groups.items() if dots}
    if not groups:
        return ""
    shown = {say(name): dots for name, dots in groups.items()}
    chart = draw_dots(_words(title, shown), shown, say("AUC for malignant"), CHANCE)
    return box(
        say_html("What it leans on"),
        f'<div class="la-two"><div>{chart}</div><div>{_sentences(card)}</div></div>{_details(conditions)}',
        _note(card),
        "la-wide",
    )


def _note(card: dict[str, Any]) -> str:
    slices = find(card, "audit", "slices")
    first = say_html(
        "How well malignant slices are told from the rest when the picture is changed; the dotted line is chance."
    )
    if isinstance(slices, int):
        first = say_html(
            "How well malignant slices are told from the rest on {count:,} held-out slices when the picture is "
            "changed; the dotted line is chance.",
            count=slices,
        )
    second = say_html(
        "With parts hidden, a high figure shows that the model can do with what is left. A low one proves less, "
        "because such pictures are unlike those it learnt from."
    )
    return f"{first} {second}"


def _groups(conditions: dict[str, Any]) -> dict[str, dict[str, str]]:
    known = {code for members in GROUPS.values() for code in members}
    others = {str(code): str(code).replace("_", " ").capitalize() for code in conditions if code not in known}
    return {**GROUPS, OTHERS: others}


def _dots(members: dict[str, str], conditions: dict[str, Any]) -> list[Dot]:
    dots = []
    for code, name in members.items():
        if figure := to_figure(find(conditions, code, METRIC)):
            dots.append(Dot(say(name), figure.value, figure.show(METRIC in DECIMAL)))
    return dots


def _words(title: str, groups: dict[str, list[Dot]]) -> str:
    parts = []
    for name, dots in groups.items():
        rows = (f"{dot.name} {dot.shown}" for dot in dots)
        parts.append(say("{name}: {said}", name=name, said=f"{say('; ').join(rows)}."))
    return f"{say('AUC of {model} for malignant under changes of the picture.', model=title)} {' '.join(parts)}"


def _sentences(card: dict[str, Any]) -> str:
    words = find(card, "audit", "words")
    sentences = [word for word in words if isinstance(word, str)] if isinstance(words, list) else []
    rows = "".join(map(_sentence, sentences))
    return f'<h4>{say_html("In words")}</h4><ul class="la-words">{rows}</ul>' if rows else ""


def _sentence(english: str) -> str:
    known = recognise(english)
    return f"<li>{say_html(known)}</li>" if isinstance(known, Text) else f'<li lang="en">{escape(known)}</li>'


def _details(conditions: dict[str, Any]) -> str:
    names = {code: name for members in _groups(conditions).values() for code, name in members.items()}
    rows = []
    for code, name in names.items():
        if code in conditions:
            figures = [(to_figure(find(conditions, code, metric)), metric) for metric in COLUMNS]
            rows.append(row(say_html(name), [figure_cell(*figure) for figure in figures]))
    heads = [say_html(name) for name in COLUMNS.values()]
    caption = say_html("Figures of the audit by change of the picture")
    figures_table = scrolling_table(heads, rows, caption)
    return f"<details><summary>{say_html('All figures of the audit')}</summary>{figures_table}</details>"
