"""The "Models" tab: the facts each card states about its model. How good they are is the "Performance" tab's."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from lungapp.cards import ENSEMBLE
from lungapp.registry import MODELS, ModelSpec
from lungapp.texts import mark
from lungapp.ui.figures import find, is_number
from lungapp.ui.language import say, say_html
from lungapp.ui.tables import card as box
from lungapp.ui.tables import count_cell, facts
from lungapp.ui.translated import composed

Records = dict[str, dict[str, Any]]
"""The cards' data by model name, the ensemble's among them; what has no card is not in it."""

ENSEMBLE_TITLE = mark("Ensemble")
ENSEMBLE_SUMMARY = mark("The mean of the calibrated probabilities of the others.")

DIGEST_LETTERS = 12
"""How much of a digest is shown: enough to tell weights apart."""


def build_models_tab(records: Records) -> None:
    """Lay out the tab inside the current Blocks."""
    gr.HTML(composed(lambda: all_models(records)))


def all_models(records: Records) -> str:
    """The models' facts, and the ensemble's where it has a card, as HTML."""
    sections = "".join(model_section(spec, records.get(spec.name)) for spec in MODELS)
    if ENSEMBLE in records:
        sections += box(say_html(ENSEMBLE_TITLE), _facts(records[ENSEMBLE]), say_html(ENSEMBLE_SUMMARY))
    return (
        f'<div class="la-models"><h2>{say_html("What they are")}</h2>'
        f"<p>{say_html('How often they are right is told under Performance.')}</p>"
        f'<div class="la-columns">{sections}</div></div>'
    )


def model_section(spec: ModelSpec, card: dict[str, Any] | None) -> str:
    """One model's facts as HTML; a model without a card says so."""
    missing = f"<p>{say_html('This model has no weights here, so it cannot be asked.')}</p>"
    body = missing if card is None else _facts(card)
    return box(escape(spec.title), body, say_html(spec.summary))


def titles(records: Records) -> dict[str, str]:
    """Name and title of everything that has a card, models first."""
    found = {spec.name: spec.title for spec in MODELS if spec.name in records}
    return found | ({ENSEMBLE: ENSEMBLE_TITLE} if ENSEMBLE in records else {})


def _facts(card: dict[str, Any]) -> str:
    size, members = find(card, "input", "size"), find(card, "members")
    stated = {
        mark("Parameters"): _count(card, "parameters"),
        mark("Input"): say("{size} x {size} pixels", size=size) if is_number(size) else None,
        mark("Mean of"): say(", ").join(map(say, titles(members).values())) if isinstance(members, dict) else None,
        mark("Pretraining"): find(card, "pretraining"),
        mark("Started from"): _title(find(card, "teacher", "model")),
        mark("Trained on"): find(card, "data", "dataset"),
        mark("Distinct slices"): _count(card, "data", "distinct"),
        mark("Groups of similar slices"): _count(card, "data", "groups"),
        mark("Made on"): find(card, "created"),
        mark("Weights' SHA-256"): _digest(find(card, "weights_sha256")),
        mark("Licence"): find(card, "licence"),
    }
    return facts(
        {say_html(name): say_html(value) for name, value in stated.items() if isinstance(value, str) and value}
    )


WORDS = (mark("none"), mark("MIT (weights); trained on IQ-OTH/NCCD, CC BY 4.0"))
"""What cards say in words that are no name."""


def _title(model: Any) -> Any:
    return next((spec.title for spec in MODELS if spec.name == model), model)


def _count(card: dict[str, Any], *keys: str) -> str | None:
    value = find(card, *keys)
    return count_cell(value) if is_number(value) else None


def _digest(value: Any) -> str | None:
    return f"{value[:DIGEST_LETTERS]}…\N{LEFT-TO-RIGHT MARK}" if isinstance(value, str) else None
