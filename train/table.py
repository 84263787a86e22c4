"""The README's tables, rendered from the cards and the committed results; nothing in them is typed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lungapp.cards import read_card, shipped
from lungapp.settings import WEIGHTS
from train.baselines import FILE
from train.card import CROSSVAL
from train.crossval_table import TITLES as NAMES

README = Path(__file__).parent.parent / "README.md"
START, END = "<!-- figures: start -->", "<!-- figures: end -->"
BASELINES = {name: NAMES[name] for name in ("nearest_neighbour", "grey_statistics")}
FOLDED = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auc_malignant": "Malignant AUC",
}
PROTOCOLS = {"image_level": "random split", "grouped": "similar slices kept together"}
COLUMNS = {
    "accuracy": "Accuracy",
    "precision_macro": "Precision",
    "recall_macro": "Recall",
    "f1_macro": "F1",
    "auc_malignant": "Malignant AUC",
}
TITLES = {
    "image_level": "Single random splits (the published habit), one a run; recipes of their own",
    "grouped": "Single split, similar slices kept together: the shipped weights",
}


def render_table() -> str:
    """Markdown: the cross-validation, then a table per single split; every figure with its 95 % interval."""
    figures = {spec.title: read_card(spec, WEIGHTS).data["metrics"] for spec in shipped(WEIGHTS)}
    baselines = json.loads(FILE.read_text(encoding="utf-8"))
    figures |= {title: baselines[name] for name, title in BASELINES.items()}
    tables = [_protocol(protocol, title, figures) for protocol, title in TITLES.items()]
    return "\n\n".join([_cross_validation(), *tables])


def _cross_validation() -> str:
    """Both protocols side by side, a row per model, the ensemble and the baselines."""
    summary = json.loads(CROSSVAL.read_text(encoding="utf-8"))
    slices = summary["results"]["nearest_neighbour"]["grouped"]["n"]
    heads = [f"{name}, {protocol}" for name in FOLDED.values() for protocol in PROTOCOLS.values()]
    lines = [
        f"**Cross-validation in {summary['settings']['folds']} folds**, {slices:,} slices, each held out once",
        "",
        "| | " + " | ".join(heads) + " |",
        "| --- |" + " --- |" * len(heads),
    ]
    for name, found in summary["results"].items():
        cells = [
            _cell(found[protocol][column]) if protocol in found else "not measured"
            for column in FOLDED
            for protocol in PROTOCOLS
        ]
        lines.append(f"| {NAMES[name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _protocol(protocol: str, title: str, figures: dict[str, Any]) -> str:
    test = next(iter(figures.values()))[protocol]["n"]
    lines = [
        f"**{title}**, {test} test slices a run",
        "",
        "| | Runs | " + " | ".join(COLUMNS.values()) + " |",
        "| --- | --- |" + " --- |" * len(COLUMNS),
    ]
    for name, metrics in figures.items():
        found = metrics[protocol]
        cells = [_cell(found[column]) for column in COLUMNS]
        lines.append(f"| {name} | {found['runs']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{figure['value']:.1%} ({low:.0%} to {high:.0%})".replace("%", " %")


def write_readme() -> None:
    """Put the table between the markers of the README."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    README.write_text(f"{before}{START}\n{render_table()}\n{END}{after}", encoding="utf-8")
