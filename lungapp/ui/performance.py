"""The "Performance" tab: how good the models are, and how far that can be trusted. Every figure is read from a card."""

from __future__ import annotations

import functools
from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr

from lungapp.ui.evidence import how_run, model_evidence
from lungapp.ui.figures import METRICS, PROTOCOLS, SOURCES, find, read_figure
from lungapp.ui.models import Records, titles
from lungapp.ui.tables import card as box
from lungapp.ui.tables import figure_cell, row, table

Card = dict[str, Any]

OVERVIEW = ("accuracy", "balanced_accuracy", "auc_malignant")

BASELINES = {"nearest_neighbour": "Nearest neighbour", "grey_statistics": "Grey statistics"}
"""What knows nothing of lesions, and what a model must therefore stand above."""

WAITING = '<div class="la-models"><p>The charts are being drawn.</p></div>'

INTRODUCTION = (
    "Measured on slices kept from training, under two ways of keeping them. Small figures are 95 % intervals."
)
RIVALS = "The last two rows are baselines: methods that know nothing of lesions."


def build_performance_tab(records: Records, default: str, tab: gr.Tab) -> None:
    """Lay out the tab inside the current Blocks.

    Parameters
    ----------
    default : the model shown first.
    tab : where all this stands; nothing is drawn before it is opened.
    """
    gr.HTML(f'<div class="la-models">{overview(records)}</div>')
    names = titles(records)
    if not names:
        return
    choices = [(title, name) for name, title in names.items()]
    first = default if default in names else choices[0][1]
    model = gr.Radio(choices, value=first, label="Model to look at closely", elem_id="la-measured")
    panel = gr.HTML(WAITING, elem_id="la-evidence")
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
    """What gives a model's evidence by its name: drawn when it is first looked at, and kept."""
    names = titles(records)
    return functools.cache(lambda name: model_evidence(names[name], records[name]))


def overview(records: Records) -> str:
    """All models and both baselines under both protocols, why these differ, and how it was measured."""
    source = "crossval" if any(find(card, "crossval") for card in records.values()) else "metrics"
    title, note = SOURCES[source]
    tables = "".join(comparison(protocol, records, source) for protocol in PROTOCOLS)
    run = how_run(list(records.values()))
    said = f"{note} {run} {RIVALS if source == 'crossval' else ''}"
    return (
        f"<h2>How often they are right</h2><p>{INTRODUCTION}</p>"
        f'<p><strong>{title}.</strong> {said}</p><div class="la-columns">{tables}</div>'
        f'<section class="la-card"><h3>Why the two tables differ</h3>{why(records)}</section>'
    )


def comparison(protocol: str, records: Records, source: str = "crossval") -> str:
    """The models' and baselines' figures under one protocol, as an HTML table."""
    title, note = PROTOCOLS[protocol]
    rows = [_row(name, records[model], protocol, source) for model, name in titles(records).items()]
    if source == "crossval":
        found = baselines(records)
        rows += [
            _row(name, {source: found.get(code)}, protocol, source, "la-baseline") for code, name in BASELINES.items()
        ]
    heads = [METRICS[metric] for metric in OVERVIEW]
    return box(title, table(heads, rows, f"{title}: figures of the models"), note)


def why(records: Records) -> str:
    """Why the protocols disagree, as paragraphs whose figures are the baselines' own."""
    first = (
        "The dataset names no patients, and neighbouring slices of one patient are nearly the same picture. Split at "
        "random, a tested slice mostly has such a neighbour among the slices that were learnt from; with similar "
        "slices kept apart it has none."
    )
    paragraphs = [f"{first} {_memory(records)}", _scanner(records), _above(records)]
    return "".join(f"<p>{escape(paragraph.strip())}</p>" for paragraph in paragraphs if paragraph)


def baselines(records: Records) -> dict[str, Card]:
    """The baselines' cross-validation, from the first card that has it."""
    for card in records.values():
        found = find(card, "crossval", "baselines")
        if isinstance(found, dict):
            return {name: entry for name, entry in found.items() if isinstance(entry, dict)}
    return {}


def _row(title: str, card: Card, protocol: str, source: str, kind: str = "") -> str:
    cells = [figure_cell(read_figure(card, protocol, metric, source), metric) for metric in OVERVIEW]
    return row(escape(title), cells, kind)


def _memory(records: Records) -> str:
    neighbour = {"crossval": baselines(records).get("nearest_neighbour")}
    apart, random = (read_figure(neighbour, protocol, "accuracy", "crossval") for protocol in PROTOCOLS)
    if apart is None or random is None:
        return ""
    text = (
        f"A look-up of the most similar training slice, which learns nothing, is right on {random.show()} of randomly "
        f"split slices and on {apart.show()} with similar slices kept apart."
    )
    return text + (" What lies between is memory, and a model has it too." if random.value > apart.value else "")


def _scanner(records: Records) -> str:
    statistics = {"crossval": baselines(records).get("grey_statistics")}
    accuracy, area = (read_figure(statistics, "grouped", name, "crossval") for name in ("accuracy", "auc_malignant"))
    if accuracy is None:
        return ""
    also = f" (AUC for malignant {area.show(decimal=True)})" if area else ""
    return (
        f"Keeping similar slices apart does not settle it. Statistics of grey and noise over the whole picture, which "
        f"see no lesion, are right on {accuracy.show()} even then{also}: they tell the scanner's settings apart, and "
        "these differ between the classes."
    )


def _above(records: Records) -> str:
    """Which models stand above both baselines with similar slices kept apart."""
    rivals = [{"crossval": entry} for entry in baselines(records).values()]
    said = []
    for metric in OVERVIEW[1:]:
        bars = [read_figure(rival, "grouped", metric, "crossval") for rival in rivals]
        heights = {
            name: read_figure(records[key], "grouped", metric, "crossval") for key, name in titles(records).items()
        }
        if len(bars) < len(BASELINES) or not all(bars) or not any(heights.values()):
            continue
        highest = max(bar.value for bar in bars if bar)
        above = [name for name, figure in heights.items() if figure and figure.value > highest]
        said.append(f"by {_lower(METRICS[metric])} for {_listed(above) if above else 'none of the models'}")
    if not said:
        return ""
    return (
        "So only what stands above both baselines with similar slices kept apart says anything about lesions. "
        f"That holds {'; '.join(said)}. Where intervals overlap, a difference may be chance."
    )


def _lower(name: str) -> str:
    return name if name[:2].isupper() else name[0].lower() + name[1:]


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
