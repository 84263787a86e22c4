"""Everything a card says about how good one model is: figures, charts, and what its card does not hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lungapp.texts import mark
from lungapp.ui.audit import audit_section
from lungapp.ui.calibration import calibration_section, reliability_section
from lungapp.ui.charts import Line, draw_lines
from lungapp.ui.figures import METRICS, PROTOCOLS, SOURCES, find, is_number, read_figure
from lungapp.ui.language import say, say_html
from lungapp.ui.tables import card as box
from lungapp.ui.tables import count_cell, figure_cell, row, table
from lungapp.ui.words import percent

Card = dict[str, Any]

HISTORY = {"loss": mark("Loss"), "accuracy": mark("Accuracy")}


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


def figures_section(source: str, card: Card) -> str:
    """All figures under ``source``, both protocols side by side; empty where none is on ``card``."""
    rows = []
    for metric, name in METRICS.items():
        figures = [read_figure(card, protocol, metric, source) for protocol in PROTOCOLS]
        if any(figures):
            rows.append(row(say_html(name), [figure_cell(figure, metric) for figure in figures]))
    if not rows:
        return ""
    counts = []
    for key, name in (("n", say_html("Tested slices")), ("runs", say_html("Runs, averaged"))):
        found = [find(card, source, protocol, key) for protocol in PROTOCOLS]
        counts += [row(name, [count_cell(count) for count in found])] if any(map(is_number, found)) else []
    title, note = SOURCES[source]
    run = f" {how_run([card])}" if source == "crossval" else ""
    heads = [say_html(title) for title, _ in PROTOCOLS.values()]
    caption = say_html("{title}: all figures", title=title)
    return box(say_html(title), table(heads, [*counts, *rows], caption), say_html(note) + run)


def how_run(cards: list[Card]) -> str:
    """Folds, resolution and epochs of the cross-validation of ``cards``, as HTML; empty where none says.

    Settings that differ by model stand under ``models`` in a card, for all of them; its own count where it has some.
    """
    settings = [each for card in cards for each in _settings(card)]
    folds, size, epochs = (_range([find(each, key) for each in settings]) for key in ("folds", "size", "epochs"))
    parts = [
        say("in {folds} folds", folds=folds) if folds else "",
        say("at {size} x {size} pixels", size=size) if size else "",
        say("for {epochs} epochs a fold", epochs=epochs) if epochs else "",
    ]
    if not any(parts):
        return ""
    text = say_html("It was run {how}.", how=say(", ").join(part for part in parts if part))
    served = _range([find(card, "input", "size") for card in cards])
    if size and served and served != size:
        other = say_html(
            "The weights this page uses see {size} x {size} pixels: these figures are of the way the models are made, "
            "not of those weights.",
            size=served,
        )
        text += f" {other}"
    return text


def _settings(card: Card) -> list[Card]:
    settings = find(card, "crossval", "settings")
    nested = find(settings, "models")
    models = nested if isinstance(nested, dict) else {}
    own = models.get(str(find(card, "name")))
    return [settings, *(models.values() if own is None else [own])]


def _range(values: list[Any]) -> str:
    """One number, or the lowest and highest of several."""
    known = sorted({value for value in values if is_number(value)})
    if not known:
        return ""
    low, high = f"{known[0]:g}", f"{known[-1]:g}"
    return low if len(known) == 1 else say("{low} to {high}", low=low, high=high)


def confusion_section(title: str, card: Card) -> str:
    """The confusion matrices of both protocols, from the cross-validation where there is one."""
    for source, (origin, _) in SOURCES.items():
        matrices = "".join(_confusion(card, protocol, source) for protocol in PROTOCOLS)
        if matrices:
            note = say_html(
                "{origin}. True class in rows, predicted class in columns, with the share of the row.", origin=origin
            )
            return box(say_html("Which classes are confused"), f'<div class="la-two">{matrices}</div>', note)
    return ""


def roc_section(title: str, card: Card) -> str:
    """Both protocols' ROC curves of malignant against the rest in one chart."""
    for source, (origin, _) in SOURCES.items():
        lines, areas = [], []
        for protocol, (name, _) in PROTOCOLS.items():
            curve = [
                numbers(find(card, source, protocol, "roc", f"{side}_positive_rate")) for side in ("false", "true")
            ]
            if len(curve[0]) != len(curve[1]) or not curve[0]:
                continue
            area = read_figure(card, protocol, "auc_malignant", source)
            shown = say("area {area}", area=area.show(decimal=True)) if area else say("area not measured")
            name = say(name)
            lines.append(Line(name, curve[0], curve[1], protocol == "image_level"))
            areas.append(say("{name}: {said}", name=name, said=shown))
        if lines:
            together = say("; ").join(areas)
            words = say("ROC curve of {model} for malignant against the rest. {areas}.", model=title, areas=together)
            chart = draw_lines(words, lines, say("1 - specificity"), say("Sensitivity"), unit=True)
            note = say_html(
                "{origin}. Malignant against the rest; the dotted line is chance. {areas}.",
                origin=origin,
                areas=together,
            )
            return box(say_html("ROC curve"), chart, note)
    return ""


def history_section(title: str, card: Card) -> str:
    """Loss and accuracy over the epochs of training."""
    history = find(card, "history")
    rows = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    stages = [entry.get("stage") for entry in rows]
    breaks = [index + 0.5 for index in range(1, len(rows)) if stages[index] != stages[index - 1]]
    charts = "".join(_history_chart(title, rows, key, breaks) for key in HISTORY)
    if not charts:
        return ""
    notes = [
        say_html(
            "As training saw it. The training line is of altered slices, which are harder, so it may lie on the worse "
            "side."
        )
    ]
    if breaks:
        notes.append(say_html("A dotted line marks a new stage of training."))
    if find(card, "start"):
        notes.append(say_html("Only the last stage: it went on from weights whose curves were not kept."))
    return box(say_html("Training curves"), f'<div class="la-two">{charts}</div>', " ".join(notes), "la-wide")


def numbers(values: Any) -> list[float]:
    """``values`` where it is a list of numbers; else nothing."""
    return list(values) if isinstance(values, list) and all(is_number(value) for value in values) else []


def _history_chart(title: str, rows: list[Card], key: str, breaks: list[float]) -> str:
    lines, said = [], []
    for prefix, name in (("", say("Training")), ("val_", say("Validation"))):
        points = [(epoch, row[prefix + key]) for epoch, row in enumerate(rows, 1) if is_number(row.get(prefix + key))]
        if points:
            epochs, values = zip(*points, strict=True)
            lines.append(Line(name, epochs, values, bool(prefix)))
            said.append(say("{line} ends at {value:.2f}", line=name.lower(), value=points[-1][1]))
    if not lines:
        return ""
    words = say(
        "{curve} of {model} over {count} epochs: {ends}.",
        curve=HISTORY[key],
        model=title,
        count=len(rows),
        ends=say(", ").join(said),
    )
    return draw_lines(words, lines, say("Epoch"), say(HISTORY[key]), breaks=breaks)


def _confusion(card: Card, protocol: str, source: str) -> str:
    matrix, labels = find(card, source, protocol, "confusion_matrix"), find(card, "labels")
    if isinstance(matrix, dict):
        matrix = matrix.get("value")
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
    mark("cross-validation"): lambda title, card: figures_section("crossval", card),
    mark("single split"): lambda title, card: figures_section("metrics", card),
    mark("confusion matrices"): confusion_section,
    mark("ROC curve"): roc_section,
    mark("reliability"): reliability_section,
    mark("calibration"): lambda title, card: calibration_section(card),
    mark("training curves"): history_section,
    mark("shortcut audit"): audit_section,
}
"""The pieces in the order they stand on the page."""
