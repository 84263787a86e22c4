"""The pieces of a series' result as HTML and as rows of a table. Everything that is not literally here is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from lungapp.reading import FORMATS
from lungapp.rendering import render_grey, render_heat, shrink
from lungapp.report.facts import NOTICE, STATE, aggregate_in_words, title_of
from lungapp.results import Analysis, SeriesAnalysis, SeriesRow
from lungapp.ui import charts, words
from lungapp.ui.panels import image

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
    return (
        '<section class="la-card la-empty"><h2>No series yet</h2>'
        f"<p>Upload the slices of a series, many files or a ZIP of them ({FORMATS}), and press Analyse. The slices are "
        "scored one by one and put together along the patient.</p></section>"
    )


def waiting(title: str, count: int, notes: tuple[str, ...] = ()) -> str:
    """Shown when a series was read and is not scored yet."""
    said = "".join(f"<li>{escape(note)}</li>" for note in notes)
    said = f"<ul>{said}</ul>" if said else ""
    ready = "1 slice is" if count == 1 else f"{count} slices are"
    return (
        f'<section class="la-card la-waiting"><h2>{escape(title)}</h2>'
        f"<p>{ready} ready. Press Analyse to score them.</p>{said}</section>"
    )


def progress(done: int, total: int) -> str:
    """How far the work is, with its count."""
    told = f"Slice {done} of {total}" if done else f"Starting with {total} slices"
    first = "" if done else "<p>The first answer after a start takes some seconds longer.</p>"
    return (
        f'<section class="la-card la-working"><div role="status"><h2>{told}</h2></div>'
        f'<div class="la-track" role="progressbar" aria-label="Slices done" aria-valuemin="0" aria-valuemax="{total}" '
        f'aria-valuenow="{done}"><span style="width:{100 * done / max(1, total):.1f}%"></span></div>{first}</section>'
    )


def summary(series: SeriesAnalysis, notes: tuple[str, ...] = ()) -> str:
    """The aggregate with what it is and is not, counts, and whether the run was cancelled."""
    found = series.aggregate
    parts = []
    if series.cancelled:
        done = f"Cancelled: {len(series.rows)} of {series.total} slices were done. All that follows is of those alone."
        parts.append(f'<p class="la-insisted" role="alert">{done}</p>')
    parts.append(f'<div><p class="la-eyebrow">All slices together, {escape(title_of(series.model))}</p>')
    if found.value is None:
        parts.append(f"<h2>No mean of {found.window} slices</h2><p>Fewer than {found.window} slices were scored.</p>")
    else:
        first, last = found.slices[0], found.slices[-1]
        parts.append(
            f"<h2>Malignant, highest mean of {found.window} neighbouring slices: {words.percent(found.value)}</h2>"
            f"<p>Slices {first} to {last}."
        )
        if found.maximum is not None:
            parts.append(f" The highest single slice is {found.maximum_slice} with {words.percent(found.maximum)}.")
        parts.append("</p>")
    parts.append(f"</div>{_caveats(series)}{_counts(series)}")
    told = "".join(f"<li>{escape(note)}</li>" for note in notes)
    parts.append(f'<ul class="la-notes">{told}</ul>' if told else "")
    return f'<section class="la-card la-uncertain">{"".join(parts)}</section>'


def _caveats(series: SeriesAnalysis) -> str:
    said = " ".join(aggregate_in_words(series.aggregate))
    return f'<p class="la-caveat"><strong>What this number is.</strong> {escape(said)} {escape(NOTICE)}</p>'


def _counts(series: SeriesAnalysis) -> str:
    found = series.aggregate
    classes = ", ".join(f"{count} {label}" for label, count in found.labels.items())
    states = ", ".join(f"{count} {STATE[state].lower()}" for state, count in found.states.items() if count)
    pace = f"{len(series.rows) / series.seconds:.1f} slices a second" if series.seconds else ""
    slices = f"{len(series.rows)} slice{'s' * (len(series.rows) != 1)}"
    facts = {"Slices": f"{slices}: {states}" if states else slices, "Predicted class": classes, "Speed": pace}
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)
    return f'<dl class="la-counts">{rows}</dl>'


def chart(series: SeriesAnalysis) -> str:
    """The probability of malignant along the patient, slices that were not scored marked as such."""
    rows = series.rows
    if not any(row.prediction for row in rows):
        return ""
    in_mm = all(row.position is not None for row in rows)
    places = {row.number: float(row.position or 0.0) if in_mm else float(row.number) for row in rows}
    scored = [(places[row.number], np.nan if row.malignant is None else row.malignant) for row in rows]
    missing = [places[row.number] for row in rows if row.malignant is None]
    window = [places[number] for number in series.aggregate.slices]

    def fill(figure: Figure) -> None:
        axes = figure.subplots()
        if window:
            label = f"Highest mean of {series.aggregate.window}"
            axes.axvspan(min(window), max(window), color=charts.FAINT, linewidth=3, label=label)
        x, y = zip(*scored, strict=True)
        size = 14 if len(rows) < 80 else 5
        axes.plot(x, y, color=charts.FIRST, linewidth=1.4, marker="o", markersize=size**0.5, label="Malignant")
        if missing:
            style: dict[str, Any] = {"color": charts.SECOND, "marker": "x", "linestyle": "none", "markersize": 5}
            axes.plot(missing, [0.0] * len(missing), **style, label="Not scored", clip_on=False, zorder=4)
        along = "Position along the patient, feet to head (mm)" if in_mm else "Slice, in the order they came in"
        axes.set(ylim=(-0.02, 1.02), xlabel=along, ylabel="Probability of malignant")
        axes.grid(linewidth=0.6)
        figure.legend(loc="outside upper left", ncols=3, handlelength=1.4, columnspacing=1.0, fontsize=10)

    drawn = charts.draw(fill, CHART_HEIGHT, in_words(series))
    return (
        '<section class="la-card la-series-chart"><h3>Malignant probability along the patient</h3>'
        f"{drawn}<p>{escape(in_words(series))}</p></section>"
    )


def in_words(series: SeriesAnalysis) -> str:
    """The chart's result for readers who do not see it."""
    found = [(row.malignant, row.number) for row in series.rows if row.malignant is not None]
    (low, at_low), (high, at_high) = min(found), max(found)
    without = len(series.rows) - len(found)
    rest = f" {without} of {len(series.rows)} slices were not scored." if without else ""
    return (
        f"The probability of malignant is lowest at slice {at_low} with {words.percent(low)} and highest at slice "
        f"{at_high} with {words.percent(high)}.{rest}"
    )


def most_suspicious(found: list[tuple[SeriesRow, Analysis]]) -> str:
    """The slices with the highest probability, each with its attention laid over it and a button that opens it."""
    if not found:
        return ""
    figures = "".join(_suspicious(row, analysis) for row, analysis in found)
    return (
        '<section class="la-series-part"><h3>Most suspicious slices</h3><p>The highest probabilities of malignant '
        "among the scored slices, whether high or low. Colour shows what the model weighed for malignant; it does not "
        f'outline a lesion.</p><div class="la-suspicious">{figures}</div></section>'
    )


def _suspicious(row: SeriesRow, analysis: Analysis) -> str:
    grey = shrink(render_grey(analysis.slice), OVERLAY_SIDE)
    values = np.mean([item.values for item in analysis.maps], axis=0)
    blank = "" if values.any() else " Nothing in it speaks for malignant."
    text = f"Slice {row.number} with the attention for malignant laid over it, {words.place_of_peak(values)}"
    layers = image(grey, text) + image(render_heat(shrink(values, OVERLAY_SIDE)), "", "la-heat")
    return (
        f'<figure><div class="la-stack">{layers}</div><figcaption><strong>{_place(row)}</strong> '
        f"{escape(result(row))}.{blank}</figcaption>"
        f'<button type="button" data-slice="{row.number}">Open slice {row.number}</button></figure>'
    )


def strip(series: SeriesAnalysis) -> str:
    """All slices as thumbnails that open them, in their order."""
    pieces = "".join(f"<li>{_thumbnail(row)}</li>" for row in series.rows)
    return (
        f'<section class="la-series-part"><h3>All slices, {_order(series)}</h3>'
        f'<ol class="la-strip" tabindex="0" aria-label="All slices">{pieces}</ol></section>'
    )


def _order(series: SeriesAnalysis) -> str:
    return "feet to head" if any(row.position is not None for row in series.rows) else "in the order they came in"


def _thumbnail(row: SeriesRow) -> str:
    if row.thumbnail is None:
        return f'<div class="la-none"><span></span><strong>Slice {row.number}</strong>{STATE[row.state]}</div>'
    picture = image(np.repeat(row.thumbnail[..., None], 3, axis=2), "")
    return (
        f'<button type="button" data-slice="{row.number}" class="la-row-{row.state}">{picture}'
        f"<strong>Slice {row.number}</strong>{escape(_short(row))}</button>"
    )


def _short(row: SeriesRow) -> str:
    if row.prediction is None:
        return STATE[row.state]
    return f"{row.prediction.label.capitalize()} {words.percent(row.prediction.probability)}"


def result(row: SeriesRow) -> str:
    """A row's result in words: the probability of malignant, the class, and how far to rely on it."""
    if row.prediction is None:
        return STATE[row.state]
    malignant = words.percent(row.malignant or 0.0)
    return f"Malignant {malignant}. Predicted {row.prediction.label}, {STATE[row.state].lower()}"


def _place(row: SeriesRow) -> str:
    where = "" if row.position is None else f", {row.position:.1f} mm"
    return f"Slice {row.number}{where}"
