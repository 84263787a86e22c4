"""The pieces of a series' result as HTML and as rows of a table. Everything that is not literally here is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from lungapp.reading import FORMATS
from lungapp.rendering import render_grey, render_heat, shrink
from lungapp.report.answers import DECISION_WORDS, series_headline, series_in_words
from lungapp.report.facts import UNSCORED, title_of
from lungapp.results import Analysis, SeriesAnalysis, SeriesRow
from lungapp.texts import mark, plural
from lungapp.ui import charts, words
from lungapp.ui.language import say, say_html
from lungapp.ui.panels import waiting_for_models
from lungapp.ui.series_table import NOT_COUNTED, short_answer
from lungapp.ui.viewer import image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OVERLAY_SIDE = 384
"""Pixels; the whole slice is one click away."""

CHART_HEIGHT = 2.9

OPEN = """element.addEventListener('click', (event) => {
    const button = event.target.closest('[data-slice]');
    if (button) trigger('click', { slice: Number(button.dataset.slice) });
});"""
"""Tells which slice's button was clicked."""


def empty() -> str:
    """What stands where the result will be."""
    return f'<section class="la-card la-empty"><h2>{say_html("No series yet")}</h2><p>{_invitation()}</p></section>'


def _invitation() -> str:
    return say_html(
        "Upload the slices of a series, many files or a ZIP of them ({formats}), and press Analyse series. The slices "
        "are scored one by one and put together along the patient.",
        formats=FORMATS,
    )


def waiting(title: str, count: int, notes: tuple[str, ...] = ()) -> str:
    """Shown when a series was read and is not scored yet."""
    said = "".join(f"<li>{say_html(note)}</li>" for note in notes)
    said = f"<ul>{said}</ul>" if said else ""
    ready = say_html(
        plural(
            "{n} slice is ready. Press Analyse series to score it.",
            "{n} slices are ready. Press Analyse series to score them.",
            count,
        )
    )
    return f'<section class="la-card la-waiting"><h2>{say_html(title)}</h2><p>{ready}</p>{said}</section>'


def progress(done: int, total: int, warming: bool = False) -> str:
    """How far the work is, with its count; ``warming``: while the models are being loaded."""
    told = say_html("Slice {done} of {total}", done=done, total=total)
    if not done:
        told = say_html(plural("Starting with {n} slice", "Starting with {n} slices", total))
    first = waiting_for_models() if warming else ""
    return (
        f'<section class="la-card la-working"><div role="status"><h2>{told}</h2></div>'
        f'<div class="la-track" role="progressbar" aria-label="{say_html("Slices done")}" aria-valuemin="0" '
        f'aria-valuemax="{total}" '
        f'aria-valuenow="{done}"><span style="width:{100 * done / max(1, total):.1f}%"></span></div>{first}</section>'
    )


def summary(series: SeriesAnalysis, notes: tuple[str, ...] = ()) -> str:
    """What the slices say together, what that is and is not, counts, and whether the run was cancelled."""
    found = series.aggregate
    parts = []
    if series.cancelled:
        done = say_html(
            "Cancelled: {done} of {total} slices were done. All that follows is of those alone.",
            done=len(series.rows),
            total=series.total,
        )
        parts.append(f'<p class="la-insisted" role="alert">{done}</p>')
    together = say_html("All slices together, {model}", model=title_of(series.model))
    said = " ".join(map(say_html, series_in_words(found)))
    parts.append(
        f'<div><p class="la-eyebrow">{together}</p><h2>{say_html(series_headline(found))}</h2></div>'
        f'<p class="la-caveat"><strong>{say_html("What this answer is.")}</strong> {said}</p>{_counts(series)}'
    )
    told = "".join(f"<li>{say_html(note)}</li>" for note in notes)
    parts.append(f'<ul class="la-notes">{told}</ul>' if told else "")
    kind = "undecided" if found.decision == "undecided" else "decided"
    return f'<section class="la-card la-{kind}">{"".join(parts)}</section>'


def _counts(series: SeriesAnalysis) -> str:
    found = series.aggregate
    # The count after the words, for in some languages they would have to agree with one before them.
    answers = {DECISION_WORDS[decision]: count for decision, count in found.decisions.items()}
    others = {NOT_COUNTED: sum(row.prediction is not None for row in series.rows) - found.counted}
    others |= {word: found.states[state] for state, word in UNSCORED.items()}
    counted = [say("{name}: {said}", name=name, said=str(count)) for name, count in answers.items()]
    counted += [say("{name}: {said}", name=name, said=str(count)) for name, count in others.items() if count]
    pace = say("{pace:.1f} slices a second", pace=len(series.rows) / series.seconds) if series.seconds else ""
    facts = {
        mark("Slices"): str(len(series.rows)),
        mark("Answers"): say(", ").join(one.replace(" ", "\N{NO-BREAK SPACE}") for one in counted),
        mark("Speed"): pace,
    }
    rows = "".join(f"<dt>{say_html(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)
    return f'<dl class="la-counts">{rows}</dl>'


def chart(series: SeriesAnalysis) -> str:
    """The probability of malignant along the patient; slices that do not count, or were not scored, marked as such."""
    rows = series.rows
    if not any(row.prediction for row in rows):
        return ""
    in_mm = all(row.position is not None for row in rows)
    places = {row.number: float(row.position or 0.0) if in_mm else float(row.number) for row in rows}
    counted = [(places[row.number], row.malignant if row.counted else np.nan) for row in rows]
    doubtful = [(places[row.number], row.malignant) for row in rows if row.prediction and not row.counted]
    missing = [places[row.number] for row in rows if row.malignant is None]

    def fill(figure: Figure) -> None:
        axes = figure.subplots()
        for place, (first, last) in enumerate(series.aggregate.runs):
            label = "" if place else say("Decided malignant")  # in the legend once
            axes.axvspan(places[first], places[last], color=charts.FAINT, linewidth=3, label=label)
        size = (14 if len(rows) < 80 else 5) ** 0.5
        line: dict[str, Any] = {"color": charts.FIRST, "marker": "o", "markersize": size}
        axes.plot(*zip(*counted, strict=True), **line, linewidth=1.4, label=say("Malignant"))
        if doubtful:
            hollow = line | {"linestyle": "none", "markerfacecolor": charts.GROUND}
            axes.plot(*zip(*doubtful, strict=True), **hollow, label=say(NOT_COUNTED))
        if missing:
            style: dict[str, Any] = {"color": charts.SECOND, "marker": "x", "linestyle": "none", "markersize": 5}
            axes.plot(missing, [0.0] * len(missing), **style, label=say(UNSCORED["rejected"]), clip_on=False, zorder=4)
        along = say("Slice, in the order they came in")
        if in_mm:
            along = say("Position along the patient, feet to head (mm)")
        axes.set(ylim=(-0.02, 1.02), xlabel=along, ylabel=say("Probability of malignant"))
        if not in_mm:
            charts.tick_whole(axes)
        axes.grid(linewidth=0.6)
        figure.legend(loc="outside upper left", ncols=3, handlelength=1.4, columnspacing=1.0, fontsize=10)

    drawn = charts.draw(fill, CHART_HEIGHT, in_words(series))
    return (
        f'<section class="la-card la-series-chart"><h3>{say_html("Malignant probability along the patient")}</h3>'
        f"{drawn}<p>{escape(in_words(series))}</p></section>"
    )


def in_words(series: SeriesAnalysis) -> str:
    """The chart's result for readers who do not see it."""
    counted = [(row.malignant or 0.0, row.number) for row in series.rows if row.counted]
    without = len(series.rows) - len(counted)
    said = []
    if counted:
        (low, at_low), (high, at_high) = min(counted), max(counted)
        said.append(
            say(
                "The probability of malignant is lowest at slice {at_low} with {low} and highest at slice {at_high} "
                "with {high}.",
                at_low=at_low,
                low=words.percent(low),
                at_high=at_high,
                high=words.percent(high),
            )
        )
    if without:
        said.append(say("Not counted: {count} of {total} slices.", count=without, total=len(series.rows)))
    return " ".join(said)


def most_suspicious(found: list[tuple[SeriesRow, Analysis]]) -> str:
    """The slices with the highest probability, each with its attention laid over it and a button that opens it."""
    if not found:
        return ""
    told = say_html(
        "The highest probabilities of malignant among the counted slices, whether high or low. Colour shows what the "
        "model weighed for malignant; it does not outline a lesion."
    )
    figures = "".join(_suspicious(row, analysis) for row, analysis in found)
    return (
        f'<section class="la-series-part"><h3>{say_html("Most suspicious slices")}</h3><p>{told}</p>'
        f'<div class="la-suspicious">{figures}</div></section>'
    )


def _suspicious(row: SeriesRow, analysis: Analysis) -> str:
    grey = shrink(render_grey(analysis.slice), OVERLAY_SIDE)
    if analysis.drawn_maps:
        values, note = np.mean([item.values for item in analysis.drawn_maps], axis=0), ""
        text = say(
            "Slice {number} with the attention for malignant laid over it, {place}",
            number=row.number,
            place=words.place_of_peak(values),
        )
        layers = image(grey, text) + image(render_heat(shrink(values, OVERLAY_SIDE)), "", "la-heat")
    else:
        blank = analysis.maps and all(item.blank for item in analysis.maps)
        note = f" {say_html(mark('Nothing in it speaks for malignant.') if blank else words.NO_MAP)}"
        layers = image(grey, say("Slice {number}", number=row.number))
    return (
        f'<figure><div class="la-stack">{layers}</div><figcaption><strong>{escape(_place(row))}</strong> '
        f"{escape(result(row))}.{note}</figcaption>"
        f'<button type="button" data-slice="{row.number}">'
        f"{say_html('Open slice {number}', number=row.number)}</button></figure>"
    )


def strip(series: SeriesAnalysis) -> str:
    """All slices as thumbnails that open them, in their order."""
    pieces = "".join(f"<li>{_thumbnail(row)}</li>" for row in series.rows)
    return (
        f'<section class="la-series-part"><h3>{_order(series)}</h3>'
        f'<ol class="la-strip" tabindex="0" aria-label="{say_html("All slices")}">{pieces}</ol></section>'
    )


def _order(series: SeriesAnalysis) -> str:
    if any(row.position is not None for row in series.rows):
        return say_html("All slices, feet to head")
    return say_html("All slices, in the order they came in")


def _thumbnail(row: SeriesRow) -> str:
    name = say_html("Slice {number}", number=row.number)
    if row.thumbnail is None:
        return f'<div class="la-none"><span></span><strong>{name}</strong>{say_html(UNSCORED["failed"])}</div>'
    picture = image(np.repeat(row.thumbnail[..., None], 3, axis=2), "")
    kind = "" if row.counted else ' class="la-uncounted"'
    return (
        f'<button type="button" data-slice="{row.number}"{kind}>{picture}'
        f"<strong>{name}</strong>{escape(short_answer(row))}</button>"
    )


def result(row: SeriesRow) -> str:
    """A scored row's result in words: the probability of malignant, and what is decided."""
    share = words.percent(row.malignant or 0.0)
    return say("{answer}. Probability of malignant {share}", answer=short_answer(row), share=share)


def _place(row: SeriesRow) -> str:
    if row.position is None:
        return say("Slice {number}", number=row.number)
    return say("Slice {number}, {position:.1f} mm", number=row.number, position=row.position)
