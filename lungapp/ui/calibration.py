"""What a card promises: how often its probabilities hold, what it excludes, and how often such answers held."""

from __future__ import annotations

from html import escape
from typing import Any

from lungapp.calibration import Calibration
from lungapp.cards import ENSEMBLE, ModelCard
from lungapp.report.answers import DECISION_WORDS
from lungapp.texts import mark
from lungapp.ui.charts import Line, draw_lines
from lungapp.ui.figures import DECIMAL, PROTOCOLS, Figure, find, is_number, to_figure
from lungapp.ui.language import say, say_html
from lungapp.ui.tables import card as box
from lungapp.ui.tables import facts, figure_cell, row, table
from lungapp.ui.words import capital, percent

Card = dict[str, Any]

LARGEST = 160
"""Area of the largest mark of a reliability diagram, in square points; the others' are in proportion."""


def reliability_section(title: str, card: Card) -> str:
    """The reliability diagram."""
    found = {name: find(card, "metrics", protocol) for protocol, (name, _) in PROTOCOLS.items()}
    bins = {name: _bins(entry) for name, entry in found.items() if _bins(entry)}
    if not bins:
        return ""
    most = max(entry["n"] for entries in bins.values() for entry in entries)
    lines = [
        Line(
            say(name),
            [entry["confidence"] for entry in entries],
            [entry["accuracy"] for entry in entries],
            name == PROTOCOLS["image_level"][0],
            [max(12.0, LARGEST * entry["n"] / most) for entry in entries],
        )
        for name, entries in bins.items()
    ]
    said = say("; ").join(
        say("{name}: {said}", name=name, said=_describe(found[name], entries)) for name, entries in bins.items()
    )
    words = say("Reliability of {model}. {lines}.", model=title, lines=said)
    chart = draw_lines(words, lines, say("Probability it gave"), say("Share right"))
    note = say_html(
        "A model whose probabilities hold lies on the dotted line; below it is too sure of "
        "itself. Larger marks stand for more slices."
    )
    return box(say_html("Do its probabilities hold?"), chart, note)


def calibration_section(card: Card) -> str:
    """What is excluded below which probability, and how often each kind of answer held."""
    try:
        calibration = ModelCard(card).calibration
    except (KeyError, ValueError):
        return ""
    level = percent(calibration.level)
    note = say_html(
        "A class is excluded below its own probability, set so that at least {level} of the slices of each class keep "
        "theirs, on patients not seen before. It was set on {slices:,} slices in {groups:,} groups of similar ones, "
        "which stand for patients.",
        level=level,
        slices=calibration.slices,
        groups=calibration.groups,
    )
    excluded = {
        say_html("{label} excluded below", label=capital(label)): escape(percent(threshold))
        for label, threshold in calibration.thresholds.items()
    }
    if card["name"] != ENSEMBLE:
        excluded[say_html("Temperature")] = f"{calibration.temperature:.2f}"
    return box(say_html("What its answers promise"), facts(excluded) + _coverage(card) + _evidence(calibration), note)


COVERAGE = {
    "covered": mark("Answers that held the true class"),
    "decided": mark("Answers that decided malignant or not malignant"),
    "right": mark("Of these decisions, right"),
}


def _coverage(card: Card) -> str:
    """How often answer sets held the true class and came to a decision, on slices that set none of their thresholds."""
    figures = {name: to_figure(find(card, "calibration", "coverage", key)) for key, name in COVERAGE.items()}
    rows = [row(say_html(name), [figure_cell(figure, "")]) for name, figure in figures.items() if figure]
    return (
        table([say_html("Share, with its 95 % interval")], rows, say_html("What came of that promise")) if rows else ""
    )


HELD = {
    "malignant": mark("{share} were malignant"),
    "not_malignant": mark("{share} were not malignant"),
    "undecided": mark("{share} were malignant"),
}


def _evidence(calibration: Calibration) -> str:
    """How often answers held, by decision and malignant probability; a sentence where that was not measured."""
    if not calibration.evidence:
        return f"<p>{say_html('How often its answers held was not measured.')}</p>"
    rows = []
    for item in calibration.evidence:
        where = say("malignant from {low} to {high}", low=percent(item.low), high=percent(item.high))
        figure = Figure(item.right, item.interval)
        held = say_html(HELD[item.decision], share=figure.show())
        head = f"{say_html(DECISION_WORDS[item.decision])}<small>{escape(where)}</small>"
        sizes = f"{item.slices:,}<small>{item.groups:,}</small>"
        rows.append(row(head, [f"{held}<small>{figure.show_interval(short=True)}</small>", sizes]))
    heads = [say_html("Held, with its 95 % interval"), say_html("Slices, and groups of similar ones")]
    return table(heads, rows, say_html("How its answers went on slices it had not seen"), shown=True)


def _bins(entry: Any) -> list[dict[str, Any]]:
    bins = find(entry, "reliability")
    if not isinstance(bins, list):
        return []
    return [each for each in bins if all(is_number(find(each, key)) for key in ("n", "confidence", "accuracy"))]


def _describe(entry: Any, bins: list[dict[str, Any]]) -> str:
    slices = sum(each["n"] for each in bins)
    too_sure = sum(each["n"] for each in bins if each["confidence"] > each["accuracy"])
    error = to_figure(find(entry, "ece"))
    said = [say("calibration error {error}", error=error.show("ece" in DECIMAL))] if error else []
    if slices:
        said.append(say("too sure for {share} of the slices", share=percent(too_sure / slices)))
    return say(", ").join(said)
