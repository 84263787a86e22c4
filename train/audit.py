"""Find out what the models look at: their figures on changed slices, by cross-validation.

    python -m train.audit [MODEL …] [--data FOLDER] [--runs runs] [--pictures]

Each grouped fold's own weights score its held-out slices under every condition of `train.conditions`; the logits go to
``train/results/grouped/fold<K>/<model>/audit.csv``, from which the cards and ``docs/audit.md`` follow. Without weights
of all folds the shipped ones answer for their own fold. ``--pictures`` draws ``docs/images/audit.png``, every condition
on a phantom, and needs no dataset.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from lungapp.anatomy import Anatomy
from lungapp.cards import read_card, shipped
from lungapp.errors import LungAppError
from lungapp.models import build_model
from lungapp.preprocessing import to_input
from lungapp.reading import read_slice
from lungapp.registry import LABELS, MODELS, ModelSpec, get_spec
from lungapp.settings import WEIGHTS
from lungapp.weights_io import read_weights
from train.audit_words import words
from train.backbone import compiled
from train.calibrate import rules_of
from train.conditions import CONDITIONS, NOISY
from train.data import Entry, distinct_entries, find_dataset
from train.features import RUNS
from train.folds import FOLDS, SHIPPED, fold_parts
from train.metrics import FIGURES
from train.pictures import MOVES
from train.predict import (
    RESULTS,
    Predictions,
    inputs_of,
    pooled,
    read_folds,
    read_predictions,
    write_conditions,
)
from train.steady import Ask

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "audit.md"
PICTURES = ROOT / "docs" / "images" / "audit.png"
PHANTOM = ROOT / "examples" / "phantom-mass.png"

SHOWN = {
    "auc_malignant": "Malignant AUC",
    "malignant_gap": "How much higher the malignant probability is on malignant slices than on the others, on average",
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
}
"""What is told of every condition. An AUC ranks differences too small to matter as readily as large ones, so the gap
stands beside it."""


BATCH = 32


def predict_conditions(model: keras.Model, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Condition → (n, labels) float32: the logits of ``model`` on changed inputs (n, size, size, 1)."""
    ask = compiled(keras.Model(model.input, model.get_layer("logits").output))
    return {name: _asked(ask, change(inputs)) for name, change in CONDITIONS.items()}


def _asked(ask: Ask, inputs: np.ndarray) -> np.ndarray:
    return np.concatenate([ask(inputs[start : start + BATCH])[0] for start in range(0, len(inputs), BATCH)])


def audit_fold(spec: ModelSpec, weights: Path, root: Path, fold: int, results: Path | None = None) -> None:
    """Write what ``weights``, those of a grouped ``fold``, say of its held-out slices under every condition."""
    parts = fold_parts(distinct_entries(), "grouped", fold)
    entries: list[Entry] = [entry for entry in distinct_entries() if parts[entry.file] == "test"]
    model = build_model(spec)
    read_weights(model, weights)
    labels = np.array([LABELS.index(entry.label) for entry in entries])
    groups = np.array([entry.group for entry in entries])
    files = tuple(entry.file for entry in entries)
    logits = predict_conditions(model, inputs_of(root, entries, spec))
    write_conditions(
        (results or RESULTS) / "grouped" / f"fold{fold}" / spec.name / "audit.csv",
        {name: Predictions(files, own, labels, groups) for name, own in logits.items()},
    )


def audit_of(name: str, results: Path | None = None) -> dict[str, Any]:
    """A card's "audit" from the committed logits: ``slices``, ``folds`` (which), ``conditions`` (→ `SHOWN` figures) and
    ``words``; empty where no fold was audited.

    Each fold is calibrated by the others, as everywhere.
    """
    folds = read_folds(name, "grouped", results)
    paths = [(results or RESULTS) / "grouped" / f"fold{fold}" / name / "audit.csv" for fold in range(FOLDS)]
    audited = [fold for fold, path in enumerate(paths) if path.is_file()]
    if not folds or not audited:
        return {}
    temperatures = [rule["temperature"] for rule in rules_of(folds)]
    scored = {"clean": [folds[fold] for fold in audited]}
    scored |= {code: [read_predictions(paths[fold], code) for fold in audited] for code in CONDITIONS}
    conditions = {}
    for code, own in scored.items():
        pairs = zip(own, audited, strict=True)
        probabilities = np.concatenate([each.probabilities(temperatures[fold]) for each, fold in pairs])
        conditions[code] = condition_figures(probabilities, pooled(own).labels)
    found = {"slices": len(pooled(scored["clean"]).files), "folds": audited, "conditions": conditions}
    if moves := one_pixel(name, folds, temperatures, results):
        found["one_pixel"] = moves
    return found | {"words": words(found)}


def one_pixel(
    name: str, folds: Sequence[Predictions], temperatures: Sequence[float], results: Path | None = None
) -> dict[str, float]:
    """How far a probability moves when the crop loses a row or column: ``at_most``, and ``most`` of 19 slices in 20.

    Empty unless every fold has its ``moved.csv``.
    """
    paths = [(results or RESULTS) / "grouped" / f"fold{fold}" / name / "moved.csv" for fold in range(FOLDS)]
    if not all(path.is_file() for path in paths):
        return {}
    moves = []
    for path, fold, temperature in zip(paths, folds, temperatures, strict=True):
        moved = [read_predictions(path, f"moved_{move}").probabilities(temperature) for move in range(len(MOVES))]
        moves.append(np.abs(np.stack(moved) - fold.probabilities(temperature)).max(axis=(0, 2)))
    every = np.concatenate(moves)
    return {"at_most": round(float(every.max()), 4), "most": round(float(np.quantile(every, 0.95)), 4)}


def condition_figures(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """`SHOWN` figures of probabilities (n, labels); None where a class that a figure needs is absent."""
    values = {name: FIGURES.get(name, gap)(probabilities, labels) for name in SHOWN}
    return {name: None if np.isnan(value) else round(value, 4) for name, value in values.items()}


def gap(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean malignant probability of the malignant slices less that of the others."""
    malignant = labels == LABELS.index("malignant")
    if malignant.all() or not malignant.any():
        return float("nan")
    own = probabilities[:, LABELS.index("malignant")]
    return float(own[malignant].mean() - own[~malignant].mean())


INTRODUCTION = f"""# What the models look at

<!-- Rendered from the cards by `python -m train.evaluate --write`; do not edit. -->

On this dataset a class can be told from how a slice was made as well as from what it shows, so a high figure is no
evidence that a model sees lesions. Models are given the thoracic cavity and nothing else, so nothing outside it can
tell them anything. What is inside is changed here, and one looks at what is left of the figures
([`train/audit.py`](../train/audit.py); the changes are in [`train/conditions.py`](../train/conditions.py)). Every slice
is scored by weights that had not learnt from it or from one like it.

![Every condition on a synthetic phantom](images/{PICTURES.name})

How to read it:

- *Only the lungs* is, on each side, the convex hull of all that is lung, and the pleura; what lies between is gone.
- A high figure from the noise alone shows that noise is enough for the model, not that it judges a whole slice by it. A
  low figure shows less: such pictures look like nothing a model judges well.
- An AUC tells only the order. Where a model says nearly the same of every slice, the order of tiny differences can give
  any AUC; the second table says how far apart the probabilities are.
- Noise is made equal by adding to each slice what its level lacks to the {NOISY}th percentile of the slices. Noisier
  ones stay so, and the grain of added noise differs from a scanner's, so some of a scanner's signature is left."""


def render_document(cards: Sequence[Mapping[str, Any]]) -> str:
    """``docs/audit.md`` from the cards: tables of all models and conditions, and each model's words."""
    audited = [card for card in cards if card.get("audit")]
    if not audited:
        return f"{INTRODUCTION}\n\nNot measured yet.\n"
    tables = [f"**{title}**\n\n{_table(audited, metric)}" for metric, title in SHOWN.items()]
    spoken = [
        "\n".join([f"**{_title(card)}**\n", *(f"- {line}" for line in card["audit"]["words"])]) for card in audited
    ]
    return "\n\n".join([INTRODUCTION, *tables, "## In words", *spoken]) + "\n"


def _table(cards: Sequence[Mapping[str, Any]], metric: str) -> str:
    lines = ["| | " + " | ".join(map(_title, cards)) + " |", "| --- |" + " --- |" * len(cards)]
    for group, names in condition_groups().items():
        lines.append(f"| *{group}* |" + " |" * len(cards))
        for code, name in names.items():
            values = [card["audit"]["conditions"].get(code, {}).get(metric) for card in cards]
            cells = ("not measured" if value is None else f"{value:.3f}" for value in values)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _title(card: Mapping[str, Any]) -> str:
    return f"{card['title']}, {card['audit']['slices']:,} slices"


def condition_groups() -> dict[str, dict[str, str]]:
    """Group → condition code → name, as on the page."""
    from lungapp.ui.audit import GROUPS  # not above: the page's package loads Gradio, which training does without

    return GROUPS


def draw_conditions(path: Path) -> None:
    """Draw what every condition makes of a committed phantom."""
    batch = to_input(Anatomy(read_slice(PHANTOM)), MODELS[0])[None]
    names = [(code, name) for members in condition_groups().values() for code, name in members.items()]
    figure = Figure(figsize=(14, 6), layout="constrained", facecolor="white")
    panels = figure.subplots(2, 6).ravel()
    for axes in panels:
        axes.axis("off")
    for axes, (code, name) in zip(panels, names, strict=False):  # one panel stays empty
        changed = CONDITIONS[code](batch) if code in CONDITIONS else batch
        axes.imshow(changed[0, ..., 0], cmap="gray", vmin=0, vmax=1)
        axes.set_title(textwrap.fill(name, 24), fontsize=10, y=1)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=80)


def write_document() -> None:
    """Render ``docs/audit.md`` from the cards."""
    DOCUMENT.write_text(render_document([read_card(spec, WEIGHTS).data for spec in shipped(WEIGHTS)]), encoding="utf-8")


def weights_of(spec: ModelSpec, runs: Path) -> dict[int, Path]:
    """Grouped fold → its weights, as ``runs`` hold them; the shipped ones alone unless all folds are there."""
    taught = {fold: runs / "grouped" / f"fold{fold}" / spec.name / "weights.safetensors" for fold in range(FOLDS)}
    if all(path.is_file() for path in taught.values()):
        return taught
    return {SHIPPED: WEIGHTS / f"{spec.name}.safetensors"}


def main(arguments: list[str] | None = None) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: those that have weights")
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--pictures", action="store_true", help="only draw every condition on a phantom")
    options = parser.parse_args(arguments)
    if options.pictures:
        draw_conditions(PICTURES)
        return 0
    try:
        root = find_dataset(options.data)
        for name in options.models or [spec.name for spec in shipped(WEIGHTS)]:
            for fold, weights in weights_of(get_spec(name), options.runs).items():
                audit_fold(get_spec(name), weights, root, fold)
                print(f"{name}: fold {fold} audited", flush=True)
    except LungAppError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
