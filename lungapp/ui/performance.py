"""The "Performance" tab: how good the models are, and how far that can be trusted. Every figure is read from a card."""

from __future__ import annotations

import functools
from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr

from lungapp.texts import mark
from lungapp.ui.evidence import model_evidence
from lungapp.ui.figures import EARLIER, METRICS, PROTOCOLS, find, read_figure
from lungapp.ui.language import current, say, say_html, unbroken
from lungapp.ui.messages import explain
from lungapp.ui.models import Records, titles
from lungapp.ui.tables import card as box
from lungapp.ui.tables import figure_cell, row, table
from lungapp.ui.translated import composed

Card = dict[str, Any]

OVERVIEW = ("accuracy", "balanced_accuracy", "auc_malignant")

BASELINES = {
    "nearest_neighbour": mark("Nearest neighbour"),
    "grey_statistics": mark("Grey statistics"),
    "frozen_features": mark("Features of everyday pictures"),
}
"""What was never shown where a lesion is, and what a model must therefore stand above."""

INTRODUCTION = mark(
    "Measured on slices kept from training, under two ways of keeping them: every slice is tested once, in five "
    "rounds, by weights that did not learn from it. Small figures are 95 % intervals. The last three rows are "
    "baselines: methods that were never shown where a lesion is."
)


def build_performance_tab(records: Records, default: str, tab: gr.Tab) -> None:
    """Lay out the tab inside the current Blocks.

    Parameters
    ----------
    default : the model shown first.
    tab : where all this stands; nothing is drawn before it is opened.
    """
    gr.HTML(composed(lambda: unbroken(f'<div class="la-models">{overview(records)}</div>')))
    names = titles(records)
    if not names:
        return
    choices = [(title, name) for name, title in names.items()]
    first = default if default in names else choices[0][1]
    model = gr.Radio(choices, value=first, label=mark("Model to look at closely"), elem_id="la-measured")
    panel = gr.HTML(composed(waiting), elem_id="la-evidence")
    gr.on(
        [tab.select, model.change],
        drawer(records),
        model,
        panel,
        trigger_mode="always_last",
        show_progress="minimal",
        api_visibility="private",
    )


def drawer(records: Records) -> Callable[[str], str]:
    """What gives a model's evidence by its name: drawn when it is first looked at in a language, and kept."""
    names = titles(records)

    @functools.cache
    def draw(name: str, language: str) -> str:
        try:
            return unbroken(model_evidence(names[name], records[name]))
        except Exception as error:  # figures that are damaged
            return f'<p role="alert">{escape(explain(error))}</p>'

    return lambda name: draw(name, current())


def waiting() -> str:
    return f'<div class="la-models"><p>{say_html("The charts are being drawn.")}</p></div>'


def overview(records: Records) -> str:
    """All models and the baselines under both protocols, and why these differ."""
    tables = "".join(comparison(protocol, records) for protocol in PROTOCOLS)
    return (
        f"<h2>{say_html('How often they are right')}</h2><p>{say_html(INTRODUCTION)}</p>"
        f'<div class="la-columns">{tables}</div>'
        f'<section class="la-card"><h3>{say_html("Why the two tables differ")}</h3>{why(records)}</section>'
    )


def comparison(protocol: str, records: Records) -> str:
    """The models' and baselines' figures under one protocol, as an HTML table."""
    title, note = PROTOCOLS[protocol]
    rows = [_row(name, records[model], protocol) for model, name in titles(records).items()]
    found = baselines(records)
    rows += [_row(name, found.get(code, {}), protocol, "la-baseline") for code, name in BASELINES.items()]
    heads = [say_html(METRICS[metric]) for metric in OVERVIEW]
    caption = say_html("{title}: figures of the models", title=title)
    said = say_html(note)
    if any(find(records[model], "metrics", protocol, "earlier") is True for model in titles(records)):
        said += f" {say_html(EARLIER)}"
    return box(say_html(title), table(heads, rows, caption), said)


def why(records: Records) -> str:
    """Why the protocols disagree, as paragraphs whose figures are the baselines' own."""
    first = say(
        "The dataset names no patients, and neighbouring slices of one patient are nearly the same picture. Split at "
        "random, a tested slice mostly has such a neighbour among the slices that were learnt from; with similar "
        "slices kept apart it has none."
    )
    paragraphs = [f"{first} {_memory(records)}", _scanner(records), _above(records)]
    return "".join(f"<p>{escape(paragraph.strip())}</p>" for paragraph in paragraphs if paragraph)


def baselines(records: Records) -> dict[str, Card]:
    """The baselines' figures as a card has a model's, from the first card that has them."""
    for card in records.values():
        found = find(card, "baselines")
        if isinstance(found, dict):
            return {name: {"metrics": entry} for name, entry in found.items() if isinstance(entry, dict)}
    return {}


def _row(title: str, card: Card, protocol: str, kind: str = "") -> str:
    return row(say_html(title), [figure_cell(read_figure(card, protocol, name), name) for name in OVERVIEW], kind)


def _memory(records: Records) -> str:
    neighbour = baselines(records).get("nearest_neighbour", {})
    apart, random = (read_figure(neighbour, protocol, "accuracy") for protocol in PROTOCOLS)
    if apart is None or random is None:
        return ""
    text = say(
        "A look-up of the most similar training slice, which learns nothing, is right on {random} of randomly split "
        "slices and on {apart} with similar slices kept apart.",
        random=random.show(),
        apart=apart.show(),
    )
    if random.value <= apart.value:
        return text
    return f"{text} {say('What lies between is memory, and a model has it too.')}"


def _scanner(records: Records) -> str:
    statistics = baselines(records).get("grey_statistics", {})
    accuracy, area = (read_figure(statistics, "grouped", name) for name in ("accuracy", "auc_malignant"))
    if accuracy is None:
        return ""
    even_then = say("{share} even then", share=accuracy.show())
    if area:
        even_then = say(
            "{share} even then (AUC for malignant {area})", share=accuracy.show(), area=area.show(decimal=True)
        )
    return say(
        "Keeping similar slices apart does not settle it. Statistics of grey and noise over the whole picture, which "
        "see no lesion, are right on {even_then}: they tell the scanner's settings apart, and these differ between the "
        "classes.",
        even_then=even_then,
    )


def _above(records: Records) -> str:
    """Which models stand above all baselines with similar slices kept apart."""
    rivals = list(baselines(records).values())
    said = []
    for metric in OVERVIEW[1:]:
        bars = [read_figure(rival, "grouped", metric) for rival in rivals]
        heights = {name: read_figure(records[key], "grouped", metric) for key, name in titles(records).items()}
        if len(bars) < len(BASELINES) or not all(bars) or not any(heights.values()):
            continue
        highest = max(bar.value for bar in bars if bar)
        above = [name for name, figure in heights.items() if figure and figure.value > highest]
        named = _listed([say(name) for name in above]) if above else say("none of the models")
        said.append(say(ABOVE[metric], models=named))
    if not said:
        return ""
    return say(
        "So only what stands above all baselines with similar slices kept apart says anything about lesions. That "
        "holds {where}. Where intervals overlap, a difference may be chance.",
        where=say("; ").join(said),
    )


ABOVE = {
    "balanced_accuracy": mark("by balanced accuracy for {models}"),
    "auc_malignant": mark("by AUC for malignant for {models}"),
}


def _listed(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    return say("{others} and {last}", others=say(", ").join(names[:-1]), last=names[-1])
