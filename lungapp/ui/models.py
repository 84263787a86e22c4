"""The "Models" tab: what each card says about its model, and nothing else."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from lungapp.registry import MODELS, ModelSpec
from lungapp.ui.figures import DECIMAL, METRICS, PROTOCOLS, find, read_figure

Records = dict[str, dict[str, Any]]
"""The cards' data by model name; a model without a card is not in it."""

INTRODUCTION = "Measured on slices kept for testing, under two ways of keeping them. Small figures are 95 % intervals."


def build_models_tab(records: Records) -> None:
    """Lay out the tab inside the current Blocks."""
    tables = "".join(comparison(protocol, records) for protocol in PROTOCOLS)
    sections = "".join(model_section(spec, records.get(spec.name)) for spec in MODELS)
    gr.HTML(
        f'<div class="la-models"><h2>How often they are right</h2><p>{INTRODUCTION}</p>'
        f'<div class="la-columns">{tables}</div><h2>One by one</h2><div class="la-columns">{sections}</div></div>'
    )


def comparison(protocol: str, records: Records) -> str:
    """All models' figures under one protocol, as an HTML table."""
    title, note = PROTOCOLS[protocol]
    counts = [_count(find(records.get(spec.name, {}), "metrics", protocol, "n")) for spec in MODELS]
    rows = [_row("Test slices", counts)]
    for metric, name in METRICS.items():
        rows.append(_row(name, [_cell(records.get(spec.name, {}), protocol, metric) for spec in MODELS]))
    table = _table([spec.title for spec in MODELS], rows, f"{title}: figures of the models")
    return f'<section class="la-card"><div><h3>{title}</h3><p>{note}</p></div>{table}</section>'


def model_section(spec: ModelSpec, card: dict[str, Any] | None) -> str:
    """One model's facts and confusion matrices as HTML; a model without a card says so."""
    head = f"<div><h3>{escape(spec.title)}</h3><p>{escape(spec.summary)}</p></div>"
    if card is None:
        return f'<section class="la-card">{head}<p>This model has no weights here, so it cannot be asked.</p></section>'
    matrices = "".join(_confusion(card, protocol) for protocol in PROTOCOLS)
    return f'<section class="la-card">{head}{_facts(card)}{matrices}</section>'


def _cell(card: dict[str, Any], protocol: str, metric: str) -> str:
    figure = read_figure(card, protocol, metric)
    if figure is None:
        return "not measured"
    interval = figure.show_interval(metric in DECIMAL)
    return figure.show(metric in DECIMAL) + (
        f"<small>{interval.replace(' to ', '&ndash;')}</small>" if interval else ""
    )


def _confusion(card: dict[str, Any], protocol: str) -> str:
    matrix, labels = find(card, "metrics", protocol, "confusion_matrix"), find(card, "labels")
    if isinstance(matrix, dict):
        matrix = matrix.get("value")
    if not _is_square(matrix, labels):
        return ""
    rows = [_row(escape(str(label)), [_count(cell) for cell in row]) for label, row in zip(labels, matrix, strict=True)]
    caption = f"{PROTOCOLS[protocol][0]}: true class in rows, predicted class in columns"
    return _table([escape(str(label)) for label in labels], rows, caption, shown=True)


def _is_square(matrix: Any, labels: Any) -> bool:
    if not isinstance(matrix, list) or not isinstance(labels, list) or len(matrix) != len(labels):
        return False
    return all(isinstance(row, list) and len(row) == len(labels) for row in matrix)


def _facts(card: dict[str, Any]) -> str:
    parameters = find(card, "parameters")
    facts = {
        "Parameters": None if parameters is None else _count(parameters),
        "Pretraining": find(card, "pretraining"),
        "Started from": find(card, "teacher", "model"),
        "Trained on": find(card, "data", "dataset"),
        "Made on": find(card, "created"),
    }
    said = {name: value for name, value in facts.items() if isinstance(value, str)}
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in said.items())
    return f"<dl>{rows}</dl>" if rows else ""


def _table(heads: list[str], rows: list[str], caption: str, shown: bool = False) -> str:
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    kind = "" if shown else ' class="la-unseen"'
    return (
        f"<table><caption{kind}>{caption}</caption><thead><tr><td></td>{columns}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _row(head: str, cells: list[str]) -> str:
    return f'<tr><th scope="row">{head}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _count(value: Any) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else "not stated"
