"""The pieces of a result as HTML. Everything that is not literally here is escaped."""

from __future__ import annotations

from html import escape

import numpy as np

from lungapp.cards import ENSEMBLE, ModelCard
from lungapp.reading import FORMATS
from lungapp.registry import get_spec
from lungapp.report.answers import HEADLINES, also_to_know
from lungapp.report.facts import UNSCORED, calibrations, spoken
from lungapp.results import Analysis, QualityReport
from lungapp.texts import mark
from lungapp.ui import compare, words
from lungapp.ui.language import say, say_html
from lungapp.ui.models import Records
from lungapp.ui.viewer import image


def empty() -> str:
    """What stands where the answer will be."""
    return (
        f'<section class="la-card la-empty"><h2>{say_html("No slice yet")}</h2><p>{escape(_invitation())}</p></section>'
    )


def _invitation() -> str:
    return say(
        "Upload axial chest CT as {formats}, one file or many, or a ZIP of them; or pick an example. The answer "
        "appears here: what can be said of it with the probabilities, and where the model looked.",
        formats=FORMATS,
    )


def loading(warming: bool = False) -> str:
    """Shown while a new slice is read and scored; ``warming``: while the models are being loaded, too."""
    reason = waiting_for_models() if warming else f"<p>{say_html('This takes a second or two.')}</p>"
    return (
        f'<section class="la-card la-loading"><h2>{say_html("Analysing the slice")}</h2>'
        f'<div class="la-progress"></div>{reason}</section>'
    )


def waiting_for_models() -> str:
    """Why a first answer takes longer."""
    told = say(
        "The models are being loaded; after a start this takes some seconds, up to a minute on a busy computer. "
        "The answer then appears by itself."
    )
    return f'<p role="status">{escape(told)}</p>'


def failure(message: str, advice: str) -> str:
    """A message where the answer would be; both arguments are plain text."""
    return (
        f'<section class="la-card la-failure" role="alert"><h2>{say_html("No answer for this file")}</h2>'
        f"<p>{escape(message)}</p><p>{escape(advice)}</p></section>"
    )


def answer(analysis: Analysis, records: Records) -> str:
    """What is decided, what stands behind it, probabilities and findings; each model's under their mean.

    ``records`` holds the cards' data by model name, the ensemble's among them.
    """
    prediction = analysis.prediction
    if prediction is None:
        head = f"<div><h2>{say_html(UNSCORED['rejected'])}</h2><p>{say_html(words.REJECTED)}</p></div>"
        return _card("rejected", head + _findings(analysis.quality))
    model = mark("the mean of all models") if prediction.model == ENSEMBLE else get_spec(prediction.model).title
    known = calibrations(analysis, [ModelCard(data) for data in records.values()])
    said = compare.sentences(prediction, known, analysis.overridden)
    also = "".join(f"<p>{say_html(text)}</p>" for text in also_to_know(spoken(analysis)))
    head = (
        f'<p class="la-eyebrow">{say_html(words.ANSWER_OF, model=model)}</p>'
        f"<h2>{say_html(HEADLINES[prediction.decision])}</h2>{said}{also}"
    )
    if analysis.overridden:
        head = f'<p class="la-insisted" role="alert">{say_html(words.OVERRIDDEN)}</p>{head}'
    body = (
        f'<div class="la-two"><div>{head}</div>{compare.bars(prediction)}</div>{compare.agreement(analysis)}'
        f"{_findings(analysis.quality)}{compare.each_model(analysis, known)}"
    )
    return _card(compare.kind_of(prediction), body)


def background(analysis: Analysis, notes: tuple[str, ...] = ()) -> str:
    """What reading assumed and left behind, and the very picture the model was given; folded, for those who ask.

    ``notes`` are about everything that was opened, the slice's own stand in its info.
    """
    info, parts = analysis.slice.info, []
    for title, lines in ((say("How the file was read"), (*notes, *info.notes)), (say("Privacy"), words.receipt(info))):
        rows = "".join(f"<li>{say_html(line)}</li>" for line in lines)
        parts.append(f"<h3>{escape(title)}</h3><ul>{rows}</ul>" if rows else "")
    if analysis.model_input is not None:
        grey = np.rint(analysis.model_input * 255).astype(np.uint8)
        text = say("The picture that the model was given: the body alone, cropped and scaled")
        picture = image(np.repeat(grey[..., None], 3, axis=2), text)
        how = words.model_input(analysis.model_input.shape, analysis.slice.unit)
        parts.append(
            f'<figure><div class="la-given">{picture}</div><figcaption><strong>{say_html(words.GIVEN)}</strong>'
            f" {escape(how)}</figcaption></figure>"
        )
    summary = say_html(words.BACKGROUND)
    return f'<details class="la-background"><summary>{summary}</summary>{"".join(parts)}</details>'


def _card(kind: str, body: str) -> str:
    return f'<section class="la-card la-{kind}">{body}</section>'


def _findings(quality: QualityReport) -> str:
    if not quality.findings:
        return ""
    rows = "".join(f'<li class="la-{f.severity}">{say_html(f.message)}</li>' for f in quality.findings)
    return f'<div class="la-findings"><h3>{say_html("Input check")}</h3><ul>{rows}</ul></div>'
