"""The cross-validation's figures from the committed held-out logits, as JSON and Markdown.

    python -m train.crossval_table

writes ``train/results/crossval.json`` and ``docs/crossval.md``; neither dataset nor weights are needed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from lungapp.cards import ENSEMBLE
from lungapp.registry import MODELS
from train.audit_plots import condition_groups
from train.calibrate import calibrate, is_confident
from train.card import BASELINES, CROSSVAL, ROOT, judge
from train.data import PROTOCOLS
from train.ensemble import mean_run
from train.folds import FOLDS, KEPT, SHORTCUTS
from train.metrics import FIGURES, pooled_figures
from train.predict import Predictions, read_predictions

PAGE = ROOT / "docs" / "crossval.md"
TITLES = {spec.name: spec.title for spec in MODELS} | {
    ENSEMBLE: "Ensemble",
    "nearest_neighbour": "*Nearest neighbour*",
    "grey_statistics": "*14 grey statistics*",
}
PROTOCOL_TITLES = {
    "image_level": "Random split (`image_level`, the published habit)",
    "grouped": "Similar slices kept together (`grouped`)",
}
COLUMNS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auc_malignant": "Malignant AUC",
    "sensitivity_at_95_specificity": "Sensitivity at 95 % specificity",
    "ece": "Calibration error",
    "brier": "Brier score",
}
AUDITED = ("accuracy", "balanced_accuracy", "auc_malignant")


def cross_validated(name: str, protocol: str, kept: Path = KEPT) -> dict[str, Any] | None:
    """The figures of a model, of the ensemble or of a baseline over all folds; None unless every fold was run."""
    found = [_fold(name, kept / protocol / f"fold{fold}") for fold in range(FOLDS)]
    folds = [fold for fold in found if fold is not None]
    if len(folds) < FOLDS:
        return None
    judged = judge([test for _, test, _ in folds], [temperature for *_, temperature in folds], protocol)
    rules = [calibrate(own, temperature) if own else None for own, _, temperature in folds]
    return pooled_figures(
        [
            replace(own, confident=is_confident(own.probabilities, rule)) if rule else own
            for own, rule in zip(judged, rules, strict=True)
        ]
    )


def _fold(name: str, folder: Path) -> tuple[Predictions | None, Predictions, float] | None:
    """Validation and test part of one fold, and the temperature; None where they are not there."""
    if name == ENSEMBLE:
        members = [folder / spec.name for spec in MODELS]
        if not all((member / "test.csv").is_file() for member in members):
            return None
        validation, test = mean_run(members)
        return validation, test, 1.0
    if not (folder / name / "test.csv").is_file():
        return None
    test = read_predictions(folder / name / "test.csv")
    if name in BASELINES:
        return None, test, 1.0
    validation = read_predictions(folder / name / "validation.csv")
    return validation, test, calibrate(validation)["temperature"]


def audited(name: str, kept: Path = KEPT) -> dict[str, dict[str, float]]:
    """Per condition of the shortcut audit, the figures over the grouped folds' held-out slices; empty without them."""
    found: dict[str, dict[str, float]] = {}
    folders = [kept / "grouped" / f"fold{fold}" / name for fold in range(FOLDS)]
    if not all((folder / "audit.csv").is_file() for folder in folders):
        return found
    temperatures = [calibrate(read_predictions(folder / "validation.csv"))["temperature"] for folder in folders]
    for condition in SHORTCUTS:
        tests = [read_predictions(folder / "audit.csv", condition) for folder in folders]
        figures = pooled_figures(judge(tests, temperatures, "grouped"))
        found[condition] = {figure: figures[figure]["value"] for figure in AUDITED}
    return found


def settings(kept: Path = KEPT) -> dict[str, Any]:
    """How the folds were run: their number, and per model the size of the pictures and the recipe."""
    runs = {}
    for spec in MODELS:
        path = kept / "grouped" / "fold0" / spec.name / "run.json"
        if path.is_file():
            run = json.loads(path.read_text(encoding="utf-8"))
            runs[spec.name] = {
                "size": run["size"],
                "epochs": sum(stage["epochs"] for stage in run["recipe"]["stages"]),
                "pretrained": run["pretrained"],
            }
    return {"folds": FOLDS, "models": runs}


def summarise(kept: Path = KEPT) -> dict[str, Any]:
    """Everything ``train/results/crossval.json`` holds."""
    results: dict[str, Any] = {}
    for name in (*(spec.name for spec in MODELS), ENSEMBLE, *BASELINES):
        found = {protocol: cross_validated(name, protocol, kept) for protocol in PROTOCOLS}
        results[name] = {protocol: figures for protocol, figures in found.items() if figures}
    audits = {spec.name: audited(spec.name, kept) for spec in MODELS}
    return {"settings": settings(kept), "results": results, "audit": {k: v for k, v in audits.items() if v}}


def render(summary: dict[str, Any]) -> str:
    """The summary as Markdown tables."""
    lines = [
        "# Cross-validation",
        "",
        "Rendered from `train/results/crossval.json` by `python -m train.crossval_table`; nothing is typed by hand.",
        f"Every slice is held out once in {summary['settings']['folds']} folds. Figures are over all held-out slices, "
        "with 95 % intervals from 1,000 bootstrap resamples over slices (random split) or similarity groups, and below "
        "each the mean over the folds.",
    ]
    for protocol, title in PROTOCOL_TITLES.items():
        lines += ["", f"## {title}", "", *protocol_table(summary["results"], protocol)]
    lines += ["", "## How it was run", "", "| Model | Picture | Epochs | Pretrained |", "| --- | --- | --- | --- |"]
    for name, run in summary["settings"]["models"].items():
        lines.append(f"| {TITLES[name]} | {run['size']} x {run['size']} | {run['epochs']} | {run['pretrained']} |")
    if summary["audit"]:
        lines += ["", "## The shortcut audit over all grouped folds", "", *_audit_table(summary["audit"])]
    return "\n".join(lines) + "\n"


def protocol_table(results: dict[str, Any], protocol: str) -> list[str]:
    """The lines of one protocol's table; a row per model, the ensemble and the baselines."""
    lines = ["| | " + " | ".join(COLUMNS.values()) + " |", "| --- |" + " --- |" * len(COLUMNS)]
    for name, found in results.items():
        if protocol in found:
            cells = [_cell(found[protocol][column], column) for column in COLUMNS]
            lines.append(f"| {TITLES[name]} | " + " | ".join(cells) + " |")
    return lines


def _cell(figure: dict[str, Any], name: str) -> str:
    low, high = figure["interval"]
    if name in ("accuracy", "balanced_accuracy", "sensitivity_at_95_specificity"):
        text = f"{figure['value']:.1%} ({low:.0%} to {high:.0%})".replace("%", " %")
        return f"{text}<br>folds {figure['mean']:.1%}".replace("%", " %").replace("  %", " %")
    return f"{figure['value']:.3f} ({low:.2f} to {high:.2f})<br>folds {figure['mean']:.3f}"


def _audit_table(audits: dict[str, Any]) -> list[str]:
    heads = [f"{TITLES[name]}: {column}" for name in audits for column in ("balanced accuracy", "malignant AUC")]
    lines = ["| Picture | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(heads)]
    titles = {code: title for members in condition_groups().values() for code, title in members.items()}
    for condition in SHORTCUTS:
        cells = []
        for found in audits.values():
            cells += [f"{found[condition]['balanced_accuracy']:.1%}", f"{found[condition]['auc_malignant']:.3f}"]
        lines.append(f"| {titles[condition]} | " + " | ".join(cells).replace("%", " %") + " |")
    return lines


def main() -> None:
    summary = summarise()
    CROSSVAL.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(render(summary), encoding="utf-8")
    for name, found in summary["results"].items():
        for protocol, figures in found.items():
            shown = {key: figures[key]["value"] for key in FIGURES}
            print(f"{name:18} {protocol:12} {shown}")


if __name__ == "__main__":
    main()
