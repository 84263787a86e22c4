"""Figures out of model cards. Every one may be missing: a card can be older than the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lungapp.ui.words import percent

PROTOCOLS = {
    "grouped": (
        "Similar slices kept apart",
        "No tested slice resembles one the model learnt from. These figures say more about new patients.",
    ),
    "image_level": (
        "Random split",
        "The published habit. It flatters: slices of one patient are both learnt from and tested on.",
    ),
}

DECIMAL = ("auc_malignant", "ece")
"""Metrics that are customarily given as fractions, not as per cent."""

METRICS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "precision_macro": "Precision, mean of classes",
    "recall_macro": "Recall, mean of classes",
    "f1_macro": "F1, mean of classes",
    "auc_malignant": "AUC for malignant",
    "sensitivity_at_95_specificity": "Sensitivity at 95 % specificity",
    "ece": "Calibration error, lower is better",
}


@dataclass(frozen=True)
class Figure:
    """A figure in [0, 1] with its 95 % interval, where the card has one."""

    value: float
    interval: tuple[float, float] | None = None

    def show(self, decimal: bool = False) -> str:
        """The value as per cent, or as a decimal fraction where that is the custom."""
        return f"{self.value:.3f}" if decimal else percent(self.value)

    def show_interval(self, decimal: bool = False) -> str:
        """The interval likewise; empty where there is none."""
        if self.interval is None:
            return ""
        low, high = self.interval
        return f"{low:.2f} to {high:.2f}" if decimal else f"{100 * low:.0f} to {100 * high:.0f} %"


def find(card: dict[str, Any], *keys: str) -> Any:
    """The value under nested ``keys``, or None where the card lacks it."""
    value: Any = card
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def read_figure(card: dict[str, Any], protocol: str, metric: str) -> Figure | None:
    """One figure of ``metrics``, given as a number or as ``{"value", "interval"}``."""
    entry = find(card, "metrics", protocol, metric)
    value = entry.get("value") if isinstance(entry, dict) else entry
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    interval = entry.get("interval") if isinstance(entry, dict) else None
    if (
        not isinstance(interval, list)
        or len(interval) != 2
        or not all(isinstance(end, int | float) for end in interval)
    ):
        return Figure(float(value))
    return Figure(float(value), (float(interval[0]), float(interval[1])))


def held_out(card: dict[str, Any] | None) -> str:
    """How often the model was right on slices it had not seen, in a sentence; empty where the card does not say."""
    accuracy = read_figure(card or {}, "grouped", "accuracy")
    if accuracy is None:
        return ""
    count = find(card or {}, "metrics", "grouped", "n")
    slices = f"{count:,} held-out slices" if isinstance(count, int) else "held-out slices"
    interval = accuracy.show_interval()
    certainty = f" (95 % interval {interval})" if interval else ""
    return f"This model was right on {accuracy.show()} of {slices}{certainty}, none similar to what it learnt from."
