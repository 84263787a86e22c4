"""What a run's stages logged, epoch by epoch."""

from __future__ import annotations

import csv
from pathlib import Path

LOGGED = ("loss", "accuracy", "val_loss", "val_accuracy")


def read_history(run: Path) -> list[dict[str, float]]:
    """A row per epoch of the folder ``run``: ``stage`` and ``epoch`` (from 1), and `LOGGED`, of the labels' output.

    Accuracy weighs slices as the loss does (`train.pipeline.sample_weights`).
    """
    rows: list[dict[str, float]] = []
    for log in sorted(run.glob("stage*.csv")):
        with log.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                rows.append({"stage": int(log.stem.removeprefix("stage")), "epoch": int(row["epoch"]) + 1})
                for name in LOGGED:
                    # Beside a group head Keras puts the output's name into the figure's.
                    prefix, figure = ("val_", name[4:]) if name.startswith("val_") else ("", name)
                    text = row.get(f"{prefix}probabilities_{figure}", row.get(name))
                    rows[-1][name] = round(float(text), 4) if text else float("nan")
    return rows
