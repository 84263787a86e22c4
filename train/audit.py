"""Find out what the models look at: their figures on changed slices, and where their Grad-CAM lies.

    python -m train.audit [MODEL …] [--data FOLDER] [--write [--before]] [--pictures]

Audits the shipped weights on the grouped test slices and prints a table. ``--write`` stores it in the cards and renders
``docs/audit.md`` and ``docs/images/audit-figures.png`` from them; with ``--before`` it is kept as the state that later
audits are compared with. ``--pictures`` draws ``docs/images/audit.png``, every condition on a phantom, and needs no
dataset. About three minutes on two cores, most of them ResNet-50's.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np

from lungapp.cards import ModelCard, read_card, shipped, write_card
from lungapp.errors import LungAppError
from lungapp.inference import Output
from lungapp.models import load_model
from lungapp.registry import LABELS, ModelSpec, get_spec
from lungapp.saliency import class_weights, gradcam, shares
from lungapp.settings import WEIGHTS
from lungapp.weights_io import tensors_of
from train.audit_document import DOCUMENT, render_document
from train.audit_plots import FIGURES_PICTURE, PICTURES, draw_conditions, plot_audit
from train.audit_words import words
from train.conditions import CONDITIONS, lung_region
from train.data import find_dataset
from train.frozen import frozen
from train.metrics import FIGURES
from train.pipeline import Part, entries_of, load_part
from train.predict import Predictions

SHOWN = ("accuracy", "balanced_accuracy", "auc_malignant", "malignant_gap")
"""What is told of every condition. ``malignant_gap``: mean malignant probability of the malignant slices less that of
the others; an AUC ranks, and ranks differences too small to matter as readily as large ones."""


def predict_conditions(
    model: keras.Model, part: Part, names: Iterable[str] = CONDITIONS, batch: int = 32
) -> dict[str, np.ndarray]:
    """Condition → (n, labels) float32: the logits of ``model`` on the changed slices of ``part``."""
    view = keras.Model(model.input, model.get_layer("logits").output)
    return {name: view.predict(CONDITIONS[name](part.inputs), batch_size=batch, verbose=0) for name in names}


def condition_figures(
    logits: Mapping[str, np.ndarray], labels: np.ndarray, temperature: float = 1.0
) -> dict[str, dict[str, float | None]]:
    """Condition → `SHOWN` figures, from (n, labels) logits each; None where a class that a figure needs is absent."""
    found = {}
    for name, own in logits.items():
        probabilities = Predictions((), own.astype(np.float64), labels, labels).probabilities(temperature)
        values = {figure: FIGURES[figure](probabilities, labels) for figure in SHOWN if figure in FIGURES}
        values["malignant_gap"] = _gap(probabilities, labels)
        found[name] = {figure: None if np.isnan(value) else round(value, 4) for figure, value in values.items()}
    return found


def _gap(probabilities: np.ndarray, labels: np.ndarray) -> float:
    malignant = labels == LABELS.index("malignant")
    if malignant.all() or not malignant.any():
        return float("nan")
    own = probabilities[:, LABELS.index("malignant")]
    return float(own[malignant].mean() - own[~malignant].mean())


def attention(model: keras.Model, part: Part, batch: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Where the evidence for each slice's true class lies.

    Returns
    -------
    inside : (n,) float, the share of the Grad-CAM map of the slice's true class that lies in the lung region, the map
        brought to the picture's size; NaN where the map is blank or there are no lungs.
    size : (n,) float, the lung region's share of the body: what a map that is the same all over the body would give.
    """
    spec = ModelSpec(model.name, model.name, "", size=part.inputs.shape[1])
    channels = model.get_layer(spec.target_layer).output.shape[-1]
    forward, weights = frozen(model, spec), class_weights(tensors_of(model), channels)
    inside, size = np.full(len(part.labels), np.nan), np.full(len(part.labels), np.nan)
    for start in range(0, len(part.labels), batch):
        pictures = part.inputs[start : start + batch]
        outputs = forward(pictures)
        for place, picture in enumerate(pictures[..., 0], start):
            own = Output(*(output[place - start] for output in outputs))
            label = part.labels[place]
            region = lung_region(picture)
            found = gradcam(own.features, weights[:, label] @ shares(own.finer)[label])
            inside[place] = share_inside(found, region)
            size[place] = region.sum() / max(np.count_nonzero(picture), 1)
    return inside, size


def share_inside(found: np.ndarray, region: np.ndarray) -> float:
    """Share of a map, any (rows, columns) float32 at least 0, in ``region`` (size, size) bool; NaN where one is empty.

    The map is brought to the region's size first, bilinear.
    """
    whole = cv2.resize(found.astype(np.float32), region.shape[::-1], interpolation=cv2.INTER_LINEAR)
    total = float(whole.sum())
    return float(whole[region].sum()) / total if total and region.any() else float("nan")


def audit(model: keras.Model, part: Part, temperature: float = 1.0) -> dict[str, Any]:
    """The figures of a card's "audit", for ``model`` on the slices of ``part``.

    Returns
    -------
    ``slices``, ``conditions`` (`condition_figures`), ``attention_inside_lungs`` and ``lungs_share_of_body`` (label →
    mean over the slices of that true class, of `attention`).
    """
    inside, size = attention(model, part)
    return {
        "slices": len(part.labels),
        "conditions": condition_figures(predict_conditions(model, part), part.labels, temperature),
        "attention_inside_lungs": _by_label(inside, part.labels),
        "lungs_share_of_body": _by_label(size, part.labels),
    }


def _by_label(values: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    found = {label: values[(labels == index) & ~np.isnan(values)] for index, label in enumerate(LABELS)}
    return {label: round(float(own.mean()), 4) for label, own in found.items() if len(own)}


def with_audit(card: Mapping[str, Any], found: dict[str, Any], before: bool = False) -> dict[str, Any]:
    """A copy of ``card`` that states ``found``: as what was ``before``, or as what is, beside a "before" it has."""
    old = card.get("audit", {})
    kept = {"before": old["before"]} if "before" in old else {}
    new = {**old, "before": found} if before else {**found, **kept}
    if "conditions" in new:
        new["words"] = words(new)
    return {**card, "audit": new}


def audit_shipped(spec: ModelSpec, root: Path) -> tuple[ModelCard, dict[str, Any]]:
    """The card of ``spec`` and the audit of its weights on the grouped test slices of the dataset at ``root``."""
    model, card = load_model(spec, WEIGHTS)
    return card, audit(model, load_part(root, entries_of("grouped", "test"), spec), card.temperature)


def table(found: Mapping[str, Any]) -> str:
    """The figures of one audit for a terminal."""
    lines = [f"{'':28}" + "".join(f"{name:>20}" for name in SHOWN)]
    for name, values in found["conditions"].items():
        cells = ("-" if values[figure] is None else f"{values[figure]:.3f}" for figure in SHOWN)
        lines.append(f"{name:28}" + "".join(f"{cell:>20}" for cell in cells))
    inside = ", ".join(f"{label} {share:.0%}" for label, share in found["attention_inside_lungs"].items())
    return "\n".join([*lines, f"Grad-CAM inside the lungs: {inside}", *words(found)])


def write_document() -> None:
    """Render ``docs/audit.md`` and its chart from the cards."""
    cards = [read_card(spec, WEIGHTS).data for spec in shipped(WEIGHTS)]
    DOCUMENT.write_text(render_document(cards), encoding="utf-8")
    plot_audit(cards, FIGURES_PICTURE)


def main(arguments: list[str] | None = None) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [spec.name for spec in shipped(WEIGHTS)]
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"default: {' '.join(names)}")
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    parser.add_argument("--write", action="store_true", help="store the figures in the cards and render docs/audit.md")
    parser.add_argument("--before", action="store_true", help="keep them as what later audits are compared with")
    parser.add_argument("--pictures", action="store_true", help="only draw every condition on a phantom")
    options = parser.parse_args(arguments)
    if options.before and not options.write:
        parser.error("--before needs --write")
    if options.pictures:
        draw_conditions(PICTURES)
        return 0
    try:
        root = find_dataset(options.data)
        for name in options.models or names:
            card, found = audit_shipped(get_spec(name), root)
            print(f"\n{name}, {found['slices']} grouped test slices\n{table(found)}", flush=True)
            if options.write:
                write_card(with_audit(card.data, found, options.before), WEIGHTS)
    except LungAppError as error:
        print(error, file=sys.stderr)
        return 2
    if options.write:
        write_document()
    return 0


if __name__ == "__main__":
    sys.exit(main())
