"""The table of figures, rendered from the cards and the baselines; nothing in it is typed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lungapp.cards import read_card, shipped
from lungapp.settings import WEIGHTS
from train.baselines import FILE

README = Path(__file__).parent.parent / "README.md"
START, END = "<!-- figures: start -->", "<!-- figures: end -->"
BASELINES = {"nearest_neighbour": "*Nearest neighbour*", "grey_statistics": "*14 grey statistics*"}
COLUMNS = {
    "accuracy": "Accuracy",
    "precision_macro": "Precision",
    "recall_macro": "Recall",
    "f1_macro": "F1",
    "auc_malignant": "Malignant AUC",
}
TITLES = {
    "image_level": "Image-level split (the published habit), drawn anew for every run",
    "grouped": "Grouped split (similar slices together)",
}


def render_table() -> str:
    """Markdown: a table per protocol, models first, then the baselines; every figure with its 95 % interval."""
    figures = {spec.title: read_card(spec, WEIGHTS).data["metrics"] for spec in shipped(WEIGHTS)}
    baselines = json.loads(FILE.read_text(encoding="utf-8"))
    figures |= {title: baselines[name] for name, title in BASELINES.items()}
    return "\n\n".join(_protocol(protocol, title, figures) for protocol, title in TITLES.items())


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
