"""Everything a card says about how good one model is: figures, charts, and what its card does not hold."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from lungapp.texts import mark
from lungapp.ui.audit import audit_section
from lungapp.ui.calibration import calibration_section, reliability_section
from lungapp.ui.charts import Line, draw_lines
from lungapp.ui.figures import METRICS, PROTOCOLS, find, is_number, read_figure, to_figure
from lungapp.ui.language import say, say_html
from lungapp.ui.tables import card as box
from lungapp.ui.tables import count_cell, figure_cell, row, scrolling_table, table
from lungapp.ui.words import percent

Card = dict[str, Any]

SHIPPED = mark("The weights used here, on slices they did not learn from")


def model_evidence(title: str, card: Card) -> str:
    """One model's part of the tab as HTML. Pieces its card lacks are named at the end."""
    pieces = {name: draw(title, card) for name, draw in PIECES.items()}
    missing = [name for name, html in pieces.items() if not html]
    body = "".join(pieces.values())
    note = ""
    if missing:
        names = say(", ").join(map(say, missing))
        note = f"<p>{say_html('Not measured, or not on this card: {names}.', names=names)}</p>"
    return (
        f'<div class="la-models"><h2>{say_html(title)}</h2><div class="la-columns la-halves">{body}</div>{note}</div>'
    )


def figures_section(title: str, card: Card) -> str:
    """All figures: both protocols, and the shipped weights on the slices they were not taught with."""
    columns = {name: find(card, "metrics", protocol) for protocol, (name, _) in PROTOCOLS.items()}
    columns[SHIPPED] = find(card, "metrics", "grouped", "shipped_fold")
    rows = []
    for metric, name in METRICS.items():
        figures = [to_figure(find(entry, metric)) for entry in columns.values()]
        if any(figures):
            rows.append(row(say_html(name), [figure_cell(figure, metric) for figure in figures]))
    if not rows:
        return ""
    counts = row(say_html("Tested slices"), [count_cell(find(entry, "n")) for entry in columns.values()])
    heads = [say_html(name) for name in columns]
    note = say_html("Every slice is tested once, in five rounds, by weights that did not learn from it.")
    return box(say_html("All figures"), table(heads, [counts, *rows], say_html("All figures")), note)


def elsewhere_section(title: str, card: Card) -> str:
    """How the model does on patients from elsewhere, a row each."""
    rows = find(card, "metrics", "elsewhere")
    patients = [each for each in rows if is_number(find(each, "auc"))] if isinstance(rows, list) else []
    if not patients:
        return ""
    lines = [
        row(
            escape(str(find(each, "patient"))),
            [
                f"{find(each, 'auc'):.2f}",
                _of(each, "map_hits", find(each, "lesion_slices")),
                _of(each, "top_five", 5),
                _of(each, "lesion_slices", find(each, "slices")),
            ],
        )
        for each in patients
    ]
    heads = [
        say_html("AUC within the patient"),
        say_html("Map's maximum at the lesion"),
        say_html("Lesions among the five most suspicious slices"),
        say_html("Slices with a lesion"),
    ]
    note = say_html(
        "Whole scans of patients from other hospitals, whose lesions readers have marked. An AUC within the patient of "
        "0.5 is chance. So few patients show what can go wrong, not how often."
    )
    caption = say_html("On patients from elsewhere")
    return box(caption, scrolling_table(heads, lines, caption), note)


def _of(entry: Card, key: str, whole: Any) -> str:
    part = find(entry, key)
    return say_html("{part} of {whole}", part=part, whole=whole) if is_number(part) and is_number(whole) else "-"


def confusion_section(title: str, card: Card) -> str:
    """The confusion matrices of both protocols."""
    matrices = "".join(_confusion(card, protocol) for protocol in PROTOCOLS)
    if not matrices:
        return ""
    note = say_html("True class in rows, predicted class in columns, with the share of the row.")
    return box(say_html("Which classes are confused"), f'<div class="la-two">{matrices}</div>', note)


def roc_section(title: str, card: Card) -> str:
    """Both protocols' ROC curves of malignant against the rest in one chart."""
    lines, areas = [], []
    for protocol, (name, _) in PROTOCOLS.items():
        curve = [numbers(find(card, "metrics", protocol, "roc", f"{side}_positive_rate")) for side in ("false", "true")]
        if len(curve[0]) != len(curve[1]) or not curve[0]:
            continue
        area = read_figure(card, protocol, "auc_malignant")
        shown = say("area {area}", area=area.show(decimal=True)) if area else say("area not measured")
        name = say(name)
        lines.append(Line(name, curve[0], curve[1], protocol == "image_level"))
        areas.append(say("{name}: {said}", name=name, said=shown))
    if not lines:
        return ""
    together = say("; ").join(areas)
    words = say("ROC curve of {model} for malignant against the rest. {areas}.", model=title, areas=together)
    chart = draw_lines(words, lines, say("1 - specificity"), say("Sensitivity"))
    note = say_html("Malignant against the rest; the dotted line is chance. {areas}.", areas=together)
    return box(say_html("ROC curve"), chart, note)


def numbers(values: Any) -> list[float]:
    """``values`` where it is a list of numbers; else nothing."""
    return list(values) if isinstance(values, list) and all(is_number(value) for value in values) else []


def _confusion(card: Card, protocol: str) -> str:
    matrix, labels = find(card, "metrics", protocol, "confusion_matrix"), find(card, "labels")
    if not _is_square(matrix, labels):
        return ""
    rows = [row(say_html(str(label)), _shares(counts)) for label, counts in zip(labels, matrix, strict=True)]
    return table([say_html(str(label)) for label in labels], rows, say_html(PROTOCOLS[protocol][0]), shown=True)


def _shares(counts: list[float]) -> list[str]:
    total = sum(counts)
    cells = []
    for count in counts:
        share = count / total if total else 0.0
        cells.append(f'<span class="la-share" style="--la-share:{share:.2f}">{count_cell(count)}')
        cells[-1] += f"<small>{percent(share)}</small></span>" if total else "</span>"
    return cells


def _is_square(matrix: Any, labels: Any) -> bool:
    if not isinstance(matrix, list) or not isinstance(labels, list) or len(matrix) != len(labels):
        return False
    return all(len(numbers(counts)) == len(labels) for counts in matrix)


PIECES: dict[str, Callable[[str, Card], str]] = {
    mark("figures"): figures_section,
    mark("confusion matrices"): confusion_section,
    mark("ROC curve"): roc_section,
    mark("reliability"): reliability_section,
    mark("calibration"): lambda title, card: calibration_section(card),
    mark("patients from elsewhere"): elsewhere_section,
    mark("shortcut audit"): audit_section,
}
"""The pieces in the order they stand on the page."""
