"""What a card says about its probabilities: how often they hold, before and after calibration, and when to abstain."""

from __future__ import annotations

from html import escape
from typing import Any

from lungapp.texts import mark
from lungapp.ui.charts import Line, draw_lines
from lungapp.ui.figures import DECIMAL, PROTOCOLS, find, is_number, to_figure
from lungapp.ui.language import say, say_html
from lungapp.ui.tables import card as box
from lungapp.ui.tables import facts, figure_cell, row, table
from lungapp.ui.words import percent

Card = dict[str, Any]

SCORES = {"ece": mark("Calibration error"), "brier": mark("Brier score"), "nll": mark("Log loss")}

STAGES = {"before": mark("Before calibration"), "after": mark("Calibrated")}

SPLITS = {"validation": "Chosen on", "test": "Then, on test slices"}

LARGEST = 160
"""Area of the largest mark of a reliability diagram, in square points; the others' are in proportion."""


def reliability_section(title: str, card: Card) -> str:
    """The reliability diagram: of the served weights before and after calibration, or else by cross-validation."""
    found = {name: find(card, "calibration", stage) for stage, name in STAGES.items()}
    where = mark("The served weights on their test slices, similar slices kept apart")
    if _same_twice(found):
        del found[STAGES["before"]]
    if not any(_bins(entry) for entry in found.values()):
        found = {name: find(card, "crossval", protocol) for protocol, (name, _) in PROTOCOLS.items()}
        where = mark("By cross-validation")
    bins = {name: _bins(entry) for name, entry in found.items() if _bins(entry)}
    if not bins:
        return ""
    most = max(entry["n"] for entries in bins.values() for entry in entries)
    lines = [
        Line(
            say(name),
            [entry["confidence"] for entry in entries],
            [entry["accuracy"] for entry in entries],
            name in (STAGES["before"], PROTOCOLS["image_level"][0]),
            [max(12.0, LARGEST * entry["n"] / most) for entry in entries],
        )
        for name, entries in bins.items()
    ]
    said = say("; ").join(
        say("{name}: {said}", name=name, said=_describe(found[name], entries)) for name, entries in bins.items()
    )
    words = say("Reliability of {model}. {lines}.", model=title, lines=said)
    chart = draw_lines(words, lines, say("Probability it gave"), say("Share right"), unit=True)
    note = say_html(
        "{where}. A model whose probabilities hold lies on the dotted line; below it is too sure of itself. Larger "
        "marks stand for more slices.",
        where=where,
    )
    return box(say_html("Do its probabilities hold?"), chart, note)


def calibration_section(title: str, card: Card) -> str:
    """Temperature, errors of the probabilities, operating points and abstention in figures."""
    calibration = find(card, "calibration")
    if not isinstance(calibration, dict):
        return ""
    body = _settings(calibration) + _scores(calibration) + _operating_points(calibration) + _abstention(card)
    note = say_html("Set on validation slices only, then tried on the test slices, with similar slices kept apart.")
    return box(say_html("Calibration and abstention"), body, note) if body else ""


def _settings(calibration: Card) -> str:
    temperature = calibration.get("temperature")
    said = {mark("Temperature"): f"{temperature:.2f}"} if is_number(temperature) else {}
    if "confident_above" in calibration:
        threshold = calibration["confident_above"]
        sure = is_number(threshold) and threshold < 1
        named = mark("Called confident")
        said[named] = say("never: validation did not bear it out")
        if sure:
            said[named] = say("from {threshold}", threshold=percent(threshold))
    if is_number(calibration.get("target_accuracy")):
        said[mark("Aim for confident answers")] = say("{share} right", share=percent(calibration["target_accuracy"]))
    return facts({say_html(name): escape(text) for name, text in said.items()})


def _scores(calibration: Card) -> str:
    rows = []
    for metric, name in SCORES.items():
        figures = [to_figure(find(calibration, stage, metric)) for stage in STAGES]
        if any(figures):
            rows.append(row(say_html(name), [figure_cell(figure, metric) for figure in figures]))
    caption = say_html("Errors of the probabilities, lower is better")
    return table([say_html(stage) for stage in STAGES.values()], rows, caption, shown=True) if rows else ""


def _operating_points(calibration: Card) -> str:
    points = calibration.get("operating_points")
    rows = []
    for name, point in points.items() if isinstance(points, dict) else ():
        threshold = find(point, "threshold")
        shown = say_html("malignant never")
        if is_number(threshold) and threshold <= 1:
            shown = say_html("malignant from {threshold:.3f}", threshold=threshold)
        head = f"{escape(_point_name(str(name)))}<small>{shown}</small>"
        rows.append(row(head, [_rates(find(point, split)) for split in ("validation", "test")]))
    heads = [say_html("Validation"), say_html("Test")]
    caption = say_html("Operating points for malignant: sensitivity and specificity they give")
    return table(heads, rows, caption, shown=True) if rows else ""


POINTS = {"sensitivity": mark("Sensitivity {share} %"), "specificity": mark("Specificity {share} %")}
RATES = {"sensitivity": mark("sensitivity"), "specificity": mark("specificity")}


def _point_name(code: str) -> str:
    """Words for a point's code: `sensitivity_95` is "Sensitivity 95 %"."""
    word, _, share = code.partition("_")
    if not share.isdecimal() or word not in POINTS:
        return code.replace("_", " ").capitalize()
    return say(POINTS[word], share=share)


def _rates(rates: Any) -> str:
    figures = {name: to_figure(find(rates, name)) for name in RATES}
    said = [f"{figure.show()}<small>{say_html(RATES[name])}</small>" for name, figure in figures.items() if figure]
    return "".join(said) or say_html("not measured")


def _abstention(card: Card) -> str:
    places = {say_html("On the test slices"): find(card, "calibration", "test")}
    for protocol, (name, _) in PROTOCOLS.items():
        places[say_html("By cross-validation, {how}", how=say(name).lower())] = find(
            card, "crossval", protocol, "selective"
        )
    rows = []
    for place, counts in places.items():
        n = {kind: find(counts, kind, "n") for kind in ("confident", "uncertain")}
        if all(is_number(count) for count in n.values()) and sum(n.values()):
            cells = [_kept(counts[kind], sum(n.values())) for kind in n]
            rows.append(row(place, cells))
    heads = [say_html("Confident"), say_html("Uncertain")]
    caption = say_html("Abstention: share of slices, and how many of them were right")
    return table(heads, rows, caption, shown=True) if rows else ""


def _kept(counts: dict[str, Any], total: int) -> str:
    n, right = counts["n"], counts.get("right")
    share = percent(n / total).replace(" ", "&nbsp;")
    said = say("{n:,} of {total:,} ({share})", n=n, total=total, share=share)
    if n and is_number(right):
        shown = say_html("{right:,} right ({share})", right=right, share=percent(right / n))
        said += f"<small>{shown}</small>"
    return said


def _same_twice(found: dict[str, Any]) -> bool:
    before, after = (_bins(entry) for entry in found.values())
    return bool(after) and before == after


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
