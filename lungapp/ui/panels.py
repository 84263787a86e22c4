"""The pieces of a result as HTML. Everything that is not literally here is escaped."""

from __future__ import annotations

import base64
from html import escape
from typing import Any

import numpy as np

from lungapp.cards import ENSEMBLE
from lungapp.methods import get_method
from lungapp.reading import FORMATS
from lungapp.registry import get_spec
from lungapp.rendering import render_colour_bar, render_grey, render_heat, shrink, to_png
from lungapp.report.facts import STATUS
from lungapp.results import ActivationMap, Analysis, Prediction, QualityReport
from lungapp.slices import Slice
from lungapp.ui import words
from lungapp.ui.figures import find, held_out

LONGEST_SIDE = 1024
"""Pictures on the page are scaled down to this, in pixels; scores and maps are made from the whole slice."""


def empty() -> str:
    """What stands where the answer will be."""
    return (
        '<section class="la-card la-empty"><h2>No slice yet</h2>'
        f"<p>Upload axial chest CT as {FORMATS}, one file or many, or a ZIP of them; "
        "or pick an example. The answer appears here: the predicted class with its probabilities, and where the model "
        "looked.</p></section>"
    )


def loading(warming: bool = False) -> str:
    """Shown while a new slice is read and scored; ``warming``: while the models are being loaded, too."""
    reason = (
        '<p role="status">The models are being loaded; after a start this takes some seconds, up to a minute on a busy '
        "computer. The answer then appears by itself.</p>"
        if warming
        else "<p>This takes a second or two.</p>"
    )
    return (
        '<section class="la-card la-loading"><h2>Analysing the slice</h2><div class="la-progress"></div>'
        f"{reason}</section>"
    )


def failure(message: str, advice: str) -> str:
    """A message where the answer would be; both arguments are plain text."""
    return (
        '<section class="la-card la-failure" role="alert"><h2>No answer for this file</h2>'
        f"<p>{escape(message)}</p><p>{escape(advice)}</p></section>"
    )


def answer(analysis: Analysis, card: dict[str, Any] | None = None) -> str:
    """Class, status, probabilities and findings. ``card`` is that of the model, or of the ensemble, that answered."""
    prediction = analysis.prediction
    word = STATUS[analysis.status]
    sentence = escape(words.status(analysis.status, find(card or {}, "calibration") or {}))
    if prediction is None:
        return _card("rejected", f"<div><h2>{word}</h2><p>{sentence}</p></div>{_findings(analysis.quality)}")
    if analysis.overridden:
        sentence = words.NO_RELIANCE
    model = "The mean of all models" if prediction.model == ENSEMBLE else get_spec(prediction.model).title
    head = (
        f'<p class="la-eyebrow">Predicted class</p><h2>{escape(prediction.label.capitalize())}'
        f' <span class="la-chip">{word}</span></h2>'
        f"<p>{escape(model)} gives this slice a probability of {words.percent(prediction.probability)} for "
        f"{escape(prediction.label)}. {sentence}</p>"
    )
    if analysis.overridden:
        head = f'<p class="la-insisted" role="alert">{escape(words.OVERRIDDEN)}</p>{head}'
    record = "" if analysis.overridden else escape(held_out(card, prediction.probability))
    record = f'<p class="la-record"><strong>How far to trust it.</strong> {record}</p>' if record else ""
    body = f'<div class="la-two"><div>{head}</div>{_bars(prediction)}</div>{_findings(analysis.quality)}{record}'
    return _card(analysis.status, body)


def pictures(item: Slice, activation: ActivationMap | None = None, testing: bool = False) -> str:
    """The slice, and beside it the slice with the model's attention laid over it.

    ``testing`` says that the map's faithfulness is being measured.

    The overlay is two layers; the page changes its opacity without asking the server, and no picture is written to
    the server's disk.
    """
    grey = shrink(render_grey(item), LONGEST_SIDE)
    size = f"{item.rows} rows, {item.columns} columns"
    plain = _figure(image(grey, f"The uploaded CT slice, {size}"), "Slice", f"{size}, {item.info.format}")
    if activation is None:
        return f'<div class="la-pictures la-single">{plain}</div>'
    title = get_spec(activation.model).title
    heat = image(render_heat(shrink(activation.values, LONGEST_SIDE)), "", "la-heat")
    where = f"highest in the {words.place_of_peak(activation.values)} of the picture"
    text = f"The slice with the attention of {title} for {activation.target} laid over it, " + (
        "which is blank" if activation.blank else where
    )
    heading = f"Attention for {activation.target}, {get_method(activation.method).title}"
    overlay = _figure(image(grey, text) + heat, heading, words.attention(activation), _tested(activation, testing))
    return f'<div class="la-pictures">{plain}{overlay}</div>{_legend()}'


def background(analysis: Analysis, notes: tuple[str, ...] = ()) -> str:
    """What reading assumed and left behind, and the very picture the model was given; folded, for those who ask.

    ``notes`` are about everything that was opened, the slice's own stand in its info.
    """
    info, parts = analysis.slice.info, []
    for title, lines in (("How the file was read", (*notes, *info.notes)), ("Privacy", words.receipt(info))):
        rows = "".join(f"<li>{escape(line)}</li>" for line in lines)
        parts.append(f"<h3>{title}</h3><ul>{rows}</ul>" if rows else "")
    if analysis.model_input is not None:
        grey = np.rint(analysis.model_input * 255).astype(np.uint8)
        text = "The picture that the model was given: the body alone, cropped and scaled"
        picture = image(np.repeat(grey[..., None], 3, axis=2), text)
        how = words.model_input(analysis.model_input.shape, analysis.slice.unit)
        parts.append(_figure(picture, "What the model was given", how))
    return f'<details class="la-background"><summary>{words.BACKGROUND}</summary>{"".join(parts)}</details>'


def _card(kind: str, body: str) -> str:
    return f'<section class="la-card la-{kind}">{body}</section>'


def _bars(prediction: Prediction) -> str:
    rows = "".join(
        f"<li><span>{escape(label.capitalize())}</span>"
        f'<span class="la-track"><span style="width:{100 * p:.1f}%"></span></span>'
        f"<span>{words.percent(p)}</span></li>"
        for label, p in prediction.scores().items()
    )
    return f'<ul class="la-bars" aria-label="Probability of each class">{rows}</ul>'


def _findings(quality: QualityReport) -> str:
    if not quality.findings:
        return ""
    rows = "".join(f'<li class="la-{f.severity}">{escape(f.message)}</li>' for f in quality.findings)
    return f'<div class="la-findings"><h3>Input check</h3><ul>{rows}</ul></div>'


def _figure(layers: str, title: str, caption: str, more: str = "") -> str:
    return (
        f'<figure><div class="la-stack">{layers}</div><figcaption><strong>{escape(title)}</strong> '
        f"{escape(caption)}{more}</figcaption></figure>"
    )


def _tested(activation: ActivationMap, testing: bool) -> str:
    """Whether the map can be relied on, as HTML; empty where that was not measured and will not be."""
    found = activation.faithfulness
    if found:
        kind = "la-supported" if found.supported else "la-unsupported"
        return f'<p class="la-tested {kind}">{escape(words.faithfulness(activation))}</p>'
    return f'<p class="la-tested">{words.TESTING}</p>' if testing and not activation.blank else ""


def _legend() -> str:
    bar = image(render_colour_bar(), "Colour scale: dark is low, bright yellow is high attention")
    note = "Relative to the highest value in this slice; not the outline of a lesion."
    return f'<div class="la-legend"><span>Low</span>{bar}<span>High</span><p>{note}</p></div>'


def image(picture: np.ndarray, text: str, kind: str = "") -> str:
    """An RGB or RGBA picture as an element that holds it; ``text`` is for readers who do not see it."""
    data = base64.b64encode(to_png(picture)).decode("ascii")
    return f'<img class="{kind}" alt="{escape(text)}" src="data:image/png;base64,{data}">'
