"""Several models' answers on one slice, beside one another. Everything that is not literally here is escaped."""

from __future__ import annotations

from html import escape

from lungapp.registry import get_spec
from lungapp.report.facts import STATUS
from lungapp.results import Analysis, Prediction
from lungapp.ui import words
from lungapp.ui.figures import held_out
from lungapp.ui.language import say, say_html
from lungapp.ui.models import Records


def agreement(analysis: Analysis) -> str:
    """A plain flag where the models disagree, and a word of caution where they agree; empty for one model alone."""
    if analysis.agreement is None:
        return ""
    kind = "la-agree" if analysis.agreement else "la-disagree"
    return f'<p class="la-flag {kind}" role="note">{escape(words.agreement(analysis.predictions))}</p>'


def each_model(analysis: Analysis, records: Records) -> str:
    """Class, status, probabilities and record of every model; empty where only one was asked."""
    if analysis.ensemble is None:
        return ""
    shown = "".join(_model(item, records, analysis.overridden) for item in analysis.predictions)
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


def chip(prediction: Prediction) -> str:
    """The status as a word on its colour."""
    return f'<span class="la-chip la-is-{prediction.status}">{say_html(STATUS[prediction.status])}</span>'


def _model(prediction: Prediction, records: Records, overridden: bool) -> str:
    title = get_spec(prediction.model).title
    record = "" if overridden else escape(held_out(records.get(prediction.model), prediction.probability))
    return (
        f"<section><h4>{escape(title)}</h4><p><strong>{escape(words.capital(prediction.label))}</strong> "
        f"{chip(prediction)}</p>{bars(prediction, say('{model}: probability of each class', model=title))}"
        f"{f'<p>{record}</p>' if record else ''}</section>"
    )
