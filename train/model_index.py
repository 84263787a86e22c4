"""The YAML block above the model cards, as the Hub reads it: licence, task, and each model's figures as a model-index.

References
----------
Model Cards, https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from huggingface_hub import EvalResult
from huggingface_hub.repocard_data import eval_results_to_model_index

from lungapp.ui.figures import METRICS, find, to_figure

Card = dict[str, Any]

DATASET = "IQ-OTH/NCCD lung cancer dataset"

PLACES = {
    "five folds, similar slices kept apart": ("metrics", "grouped"),
    "five folds, random": ("metrics", "image_level"),
}
"""Splits whose figures are listed, and where a card has them."""

METRIC_TYPES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "precision_macro": "precision",
    "recall_macro": "recall",
    "f1_macro": "f1",
    "auc_malignant": "roc_auc",
}
"""Metrics of a card that the Hub knows, by the Hub's identifier."""


def front_matter(cards: Mapping[str, Card], titles: Mapping[str, str]) -> str:
    """The block between its two lines of ``---``, from the cards by name; a figure that a card lacks is left out."""
    models = []
    for name, card in cards.items():
        if results := [result for place in PLACES for result in _results(card, place)]:
            models += eval_results_to_model_index(titles.get(name, name), results)
    data = {
        "license": "mit",
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["medical-imaging", "computed-tomography", "lung-cancer", "explainability"],
        **({"model-index": models} if models else {}),
    }
    return f"---\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)}---\n"


def _results(card: Card, place: str) -> list[EvalResult]:
    key, protocol = PLACES[place]
    results = []
    for metric, kind in METRIC_TYPES.items():
        figure = to_figure(find(card, key, protocol, metric))
        if figure is None:
            continue
        results.append(
            EvalResult(
                task_type="image-classification",
                dataset_type="iq-othnccd",
                dataset_name=DATASET,
                dataset_split=place,
                metric_type=kind,
                metric_value=round(float(figure.value), 4),
                metric_name=METRICS.get(metric, metric),
            )
        )
    return results
