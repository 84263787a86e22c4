"""Several models' answers on one slice, beside one another. Everything that is not literally here is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from lungapp.calibration import Calibration
from lungapp.registry import get_spec
from lungapp.report.answers import HEADLINES, answer_in_words
from lungapp.results import Analysis, Prediction
from lungapp.ui import words
from lungapp.ui.language import say, say_html

Known = Mapping[str, Calibration | None]
"""What applies to each model's answer (`lungapp.report.facts.calibrations`)."""


def agreement(analysis: Analysis) -> str:
    """A plain flag where the models disagree, and a word of caution where they agree; empty for one model alone."""
    if analysis.agreement is None:
        return ""
    kind = "la-agree" if analysis.agreement else "la-disagree"
    return f'<p class="la-flag {kind}" role="note">{escape(words.agreement(analysis.predictions))}</p>'


def each_model(analysis: Analysis, known: Known) -> str:
    """Answer, what stands behind it and probabilities of every model; empty where only one was asked."""
    if analysis.ensemble is None:
        return ""
    shown = "".join(_model(item, known, analysis.overridden) for item in analysis.predictions)
    return f'<div><h3 class="la-heading">{say_html(words.EACH_MODEL)}</h3><div class="la-each">{shown}</div></div>'


def bars(prediction: Prediction, name: str = "") -> str:
    """The probabilities as a list with a bar each; ``name`` is the list's own where it needs one."""
    rows = "".join(
        f"<li><span>{escape(words.capital(label))}</span>"
        f'<span class="la-track"><span style="width:{100 * p:.1f}%"></span></span>'
        f"<span>{words.percent(p)}</span></li>"
        for label, p in prediction.scores().items()
    )
    return f'<ul class="la-bars" aria-label="{escape(name or say(words.PROBABILITIES))}">{rows}</ul>'


def kind_of(prediction: Prediction) -> str:
    """Which of the style sheet's colours an answer has."""
    return "undecided" if prediction.decision == "undecided" else "decided"


def sentences(prediction: Prediction, known: Known, overridden: bool) -> str:
    """What cannot be excluded, and what stands behind the answer; a paragraph each."""
    said = answer_in_words(prediction, known.get(prediction.model), overridden)
    return "".join(f"<p>{say_html(text)}</p>" for text in said)


def _model(prediction: Prediction, known: Known, overridden: bool) -> str:
    title = get_spec(prediction.model).title
    shown = bars(prediction, say("{model}: probability of each class", model=title))
    return (
        f"<section><h4>{escape(title)}</h4><p><strong>{say_html(HEADLINES[prediction.decision])}</strong></p>"
        f"{shown}{sentences(prediction, known, overridden)}</section>"
    )
