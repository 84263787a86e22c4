"""What the models say of patients from elsewhere: whether slices with a lesion stand above the patient's others.

    python -m benchmarks.elsewhere [--samples FOLDER] [--write]

FOLDER (default LUNGAPP_SAMPLES) holds ``dicom/`` with a folder a patient, DICOM slices and readers' annotations in it
(`train.annotations`). Nothing was learnt from these patients. For each patient and model: the area under the ROC curve
of the malignant logit's excess between slices with and without a lesion, among slices that show enough lung to score;
on how many lesion slices the map's maximum lies in the lesion's box grown by half; and how many of the five most
suspicious slices show a lesion. ``--write`` puts the figures into ``train/results/elsewhere.json``, whence cards and
pages have them, and docs/elsewhere.md. A minute on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from lungapp.cards import ENSEMBLE
from lungapp.engine import ALL, Engine
from lungapp.reading import read_slice
from lungapp.results import Analysis
from train.annotations import lesions
from train.predict import RESULTS

FILE = RESULTS / "elsewhere.json"
PAGE = Path(__file__).parent.parent / "docs" / "elsewhere.md"
LITTLE = ("little_lung",)
"""Findings of the gate whose slices are left out, as the page leaves them out of a series' answer."""

GROWN, FIRST = 1.5, 5


def near(row: int, column: int, outlines: list[np.ndarray]) -> bool:
    """Whether a place lies in the box of one of ``outlines`` (points, 2), columns and rows, grown by half."""
    for outline in outlines:
        low, high = outline.min(axis=0), outline.max(axis=0)
        reach = (high - low) / 2 * GROWN
        if (np.abs(np.array([column, row]) - (low + high) / 2) <= reach).all():
            return True
    return False


def excess(analysis: Analysis, name: str) -> float:
    """The logit of the malignant probability that the model or ensemble ``name`` gave."""
    answers = (*analysis.predictions, *([analysis.ensemble] if analysis.ensemble else []))
    p = next(answer for answer in answers if answer.model == name).scores()["malignant"]
    return float(np.log(max(p, 1e-9) / max(1 - p, 1e-9)))


def examine(engine: Engine, folder: Path) -> dict[str, dict[str, Any]]:
    """The figures of one patient by model, the ensemble among them."""
    outlines = lesions(folder)
    scored: list[tuple[Path, Analysis]] = []
    for path in sorted(folder.rglob("*.dcm")):
        analysis = engine.analyse(read_slice(path), ALL, target="malignant")
        if analysis.predictions and not any(finding.code in LITTLE for finding in analysis.quality.findings):
            scored.append((path, analysis))
    truth = np.array([path in outlines for path, _ in scored])
    figures = {}
    asked = [prediction.model for prediction in scored[0][1].predictions]
    for name in (*asked, ENSEMBLE):
        scores = np.array([excess(analysis, name) for _, analysis in scored])
        row = {
            "slices": len(scored),
            "lesion_slices": int(truth.sum()),
            "auc": round(float(roc_auc_score(truth, scores)), 3),
            "top_five": int(truth[np.argsort(-scores)[:FIRST]].sum()),
        }
        if name != ENSEMBLE:
            row["map_hits"] = sum(_hit(analysis, name, outlines[path]) for path, analysis in scored if path in outlines)
        figures[name] = row
    return figures


def _hit(analysis: Analysis, name: str, outlines: list[np.ndarray]) -> bool:
    values = next(found for found in analysis.maps if found.model == name).values
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    return bool(values.any()) and near(int(row), int(column), outlines)


def run(samples: Path) -> dict[str, list[dict[str, Any]]]:
    """By model, a row a patient."""
    engine = Engine()
    patients = [folder for folder in sorted((samples / "dicom").iterdir()) if folder.is_dir() and lesions(folder)]
    rows: dict[str, list[dict[str, Any]]] = {}
    for folder in patients:
        for name, figures in examine(engine, folder).items():
            rows.setdefault(name, []).append({"patient": folder.name, **figures})
    return rows


def render(rows: dict[str, list[dict[str, Any]]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| Model | Patient | Slices, with lesion | AUC within the patient | Map's maximum at the lesion | Of the five "
        "most suspicious |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, patients in rows.items():
        for row in patients:
            hits = f"{row['map_hits']} of {row['lesion_slices']}" if "map_hits" in row else "-"
            lines.append(
                f"| `{name}` | {row['patient']} | {row['slices']}, {row['lesion_slices']} | {row['auc']:.2f} | {hits} "
                f"| {row['top_five']} |"
            )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, default=os.environ.get("LUNGAPP_SAMPLES"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if not options.samples or not (Path(options.samples) / "dicom").is_dir():
        print("Expected a folder with dicom/ in it, by --samples or LUNGAPP_SAMPLES. Received: none.", file=sys.stderr)
        return 2
    rows = run(Path(options.samples))
    print(render(rows))
    if options.write:
        FILE.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        start, end = "<!-- elsewhere: start -->", "<!-- elsewhere: end -->"
        head, _, rest = PAGE.read_text(encoding="utf-8").partition(start)
        PAGE.write_text(f"{head}{start}\n{render(rows)}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
