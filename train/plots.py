"""Pictures of training and evaluation, drawn with matplotlib off screen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from train.history import read_history


def plot_history(run: Path) -> None:
    """Draw loss and class-weighted accuracy over the epochs of all stages of ``run`` into ``history.png``."""
    rows = read_history(run)
    ends = [index for index in range(1, len(rows)) if rows[index]["stage"] != rows[index - 1]["stage"]]
    figure = Figure(figsize=(8, 3), layout="constrained")
    panels = (("loss", "Loss"), ("accuracy", "Accuracy, weighted as in training"))
    for axes, (key, title) in zip(figure.subplots(1, 2), panels, strict=True):
        for prefix, name in (("", "training"), ("val_", "validation")):
            axes.plot(range(1, len(rows) + 1), [row[prefix + key] for row in rows], label=name)
        for end in ends:
            axes.axvline(end + 0.5, color="grey", linewidth=0.8, linestyle=":")
        axes.set(title=title, xlabel="Epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(run / "history.png", dpi=110)


def plot_confusion(matrix: np.ndarray, labels: tuple[str, ...], title: str, path: Path) -> None:
    """Draw a confusion matrix (truth in rows, prediction in columns) with counts and row shares."""
    figure = Figure(figsize=(4, 3.6), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(matrix.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = f"{matrix[row, column]}\n{shares[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", color=colour)
    ticks = range(len(labels))
    axes.set(xlabel="Predicted", ylabel="True", title=title)
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    figure.savefig(path, dpi=110)
