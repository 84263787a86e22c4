"""The tables of figures, rendered from the cards; nothing in them is typed by hand.

`render_table` is the README's, ``docs/crossval.md`` gives every figure and each fold's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lungapp.cards import ENSEMBLE, read_card, read_ensemble_card, shipped
from lungapp.errors import WeightsMissing
from lungapp.registry import MODELS
from lungapp.settings import WEIGHTS
from train.card import ROOT
from train.folds import FOLDS

README = ROOT / "README.md"
PAGE = ROOT / "docs" / "crossval.md"
START, END = "<!-- figures: start -->", "<!-- figures: end -->"
BASELINES = {
    "nearest_neighbour": "*Nearest neighbour*",
    "grey_statistics": "*14 grey statistics*",
    "frozen_features": "*Frozen ImageNet features, logistic regression*",
}
PROTOCOLS = {"grouped": "similar slices kept together", "image_level": "random split"}
COLUMNS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "precision_macro": "Precision",
    "recall_macro": "Recall",
    "f1_macro": "F1",
    "auc_malignant": "Malignant AUC",
    "sensitivity_at_95_specificity": "Sensitivity at 95 % specificity",
    "ece": "Calibration error",
    "brier": "Brier score",
}
FRACTIONS = ("auc_malignant", "ece", "brier")
SHOWN = ("accuracy", "balanced_accuracy", "auc_malignant")
"""The README's columns."""


def read_figures(folder: Path = WEIGHTS) -> dict[str, dict[str, Any]]:
    """Title → protocol → figures, of the models and the ensemble in ``folder`` and of the baselines beside them."""
    cards = {spec.name: read_card(spec, folder).data for spec in shipped(folder)}
    with contextlib.suppress(WeightsMissing):
        cards[ENSEMBLE] = read_ensemble_card(folder).data
    rows = {title: cards.get(name, {}).get("metrics", {}) for name, title in (*_models(), (ENSEMBLE, "Ensemble"))}
    beside: dict[str, Any] = next((card["baselines"] for card in cards.values() if card.get("baselines")), {})
    return rows | {title: beside.get(name, {}) for name, title in BASELINES.items()}


def _models() -> Iterable[tuple[str, str]]:
    return ((spec.name, spec.title) for spec in MODELS)


def render_table(folder: Path = WEIGHTS) -> str:
    """Markdown: both protocols side by side, every figure with its 95 % interval; a row a model and baseline."""
    figures = read_figures(folder)
    heads = [f"{COLUMNS[metric]}, {title}" for metric in SHOWN for title in PROTOCOLS.values()]
    rows = [
        [name, *(cell(own, protocol, metric) for metric in SHOWN for protocol in PROTOCOLS)]
        for name, own in figures.items()
    ]
    parts = [f"**Cross-validation in {FOLDS} folds**, every slice held out once", table(["", *heads], rows)]
    return "\n\n".join([*parts, *ran_earlier(figures)])


def ran_earlier(figures: dict[str, dict[str, Any]]) -> list[str]:
    """A sentence that names the models whose random split was run before what ships, if any."""
    named = [title for title, own in figures.items() if own.get("image_level", {}).get("earlier")]
    if not named:
        return []
    return [f"The random split of {', '.join(named)} was run with an earlier model input or body than what ships."]


def render_page(folder: Path = WEIGHTS) -> str:
    """``docs/crossval.md``."""
    figures = read_figures(folder)
    parts = [
        "# Cross-validation",
        f"Rendered from the cards by `python -m train.evaluate --write`; nothing is typed by hand. Every slice is held "
        f"out once in {FOLDS} folds. Figures are over all held-out slices, with 95 % intervals from 1,000 bootstrap "
        "resamples over similarity groups or, under the random split, over slices; below each stand the folds' own. "
        "The shipped weights are those of the first fold with similar slices kept together; what they say of that "
        "fold's held-out slices stands in the last table.",
    ]
    for protocol, title in PROTOCOLS.items():
        rows = [
            [name, *(cell(own, protocol, metric) + _folds(own, protocol, metric) for metric in COLUMNS)]
            for name, own in figures.items()
        ]
        parts += [f"## {title.capitalize()} (`{protocol}`)", table(["", *COLUMNS.values()], rows)]
        parts += ran_earlier(figures) if protocol == "image_level" else []
    fold = {name: {"shipped_fold": own.get("grouped", {}).get("shipped_fold", {})} for name, own in figures.items()}
    rows = [[name, *(cell(own, "shipped_fold", metric) for metric in COLUMNS)] for name, own in fold.items()]
    return "\n\n".join([*parts, "## The shipped fold", table(["", *COLUMNS.values()], rows)]) + "\n"


def cell(figures: dict[str, Any], protocol: str, metric: str) -> str:
    """One figure with its interval."""
    entry = figures.get(protocol, {}).get(metric)
    if not entry:
        return "not measured"
    low, high = entry["interval"]
    if metric in FRACTIONS:
        return f"{entry['value']:.3f} ({low:.2f} to {high:.2f})"
    return f"{entry['value']:.1%} ({low:.0%} to {high:.0%})".replace("%", " %")


def _folds(figures: dict[str, Any], protocol: str, metric: str) -> str:
    folds = figures.get(protocol, {}).get(metric, {}).get("folds")
    if not folds:
        return ""
    return "<br>" + ", ".join("-" if value is None else f"{value:.2f}" for value in folds)


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))


def write() -> None:
    """Put the table between the markers of the README, and write `PAGE`."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    README.write_text(f"{before}{START}\n{render_table()}\n{END}{after}", encoding="utf-8")
    PAGE.write_text(render_page(), encoding="utf-8")
