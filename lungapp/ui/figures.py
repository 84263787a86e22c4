"""Figures out of model cards. Every one may be missing: a card can be older than the page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeGuard

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

SOURCES = {
    "crossval": ("Cross-validation", "Every slice is tested once, by weights that did not learn from it."),
    "metrics": (
        "Single split",
        "With similar slices kept apart, of the very weights this page uses. With a random split, of other weights, "
        "made on random draws of the slices without the last stage of training.",
    ),
}
"""Where a card has figures, the weightier first."""

DECIMAL = ("auc_malignant", "ece", "brier", "nll")
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
    "brier": "Brier score, lower is better",
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


def read_figure(card: dict[str, Any], protocol: str, metric: str, source: str = "metrics") -> Figure | None:
    """One figure of a protocol under ``source``: ``metrics`` (a single split) or ``crossval``."""
    return to_figure(find(card, source, protocol, metric))


def to_figure(entry: Any) -> Figure | None:
    """A figure given as a number or as ``{"value", "interval"}``; None where it is neither."""
    value = entry.get("value") if isinstance(entry, dict) else entry
    if not is_number(value):
        return None
    interval = entry.get("interval") if isinstance(entry, dict) else None
    if not isinstance(interval, list) or len(interval) != 2 or not all(is_number(end) for end in interval):
        return Figure(float(value))
    return Figure(float(value), (float(interval[0]), float(interval[1])))


def is_number(value: Any) -> TypeGuard[float]:
    """Whether ``value`` is a number to calculate with: true, NaN and infinity are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def held_out(card: dict[str, Any] | None, probability: float | None = None) -> str:
    """How often the model was right on slices it had not seen, in a sentence; empty where the card does not say.

    Of the served weights' test slices with a top probability like ``probability`` where there are any; else of all. Not
    of the cross-validation's: its weights are made another way and are less sure of themselves.
    """
    known = None if probability is None else _bin_of(card or {}, probability)
    if known:
        low, high = (f"{100 * known[end]:.0f} %" for end in ("low", "high"))
        return (
            f"Of {known['n']:,} held-out slices that it gave a probability between {low} and {high}, "
            f"{percent(known['accuracy'])} were named rightly; none was similar to a slice it had learnt from. "
            "They come from few patients."
        )
    accuracy = read_figure(card or {}, "grouped", "accuracy")
    if accuracy is None:
        return ""
    count = find(card or {}, "metrics", "grouped", "n")
    slices = f"{count:,} held-out slices" if isinstance(count, int) else "held-out slices"
    interval = accuracy.show_interval()
    certainty = f" (95 % interval {interval})" if interval else ""
    return f"This model was right on {accuracy.show()} of {slices}{certainty}, none similar to what it learnt from."


def _bin_of(card: dict[str, Any], probability: float) -> dict[str, Any] | None:
    """The bin of the served weights' reliability diagram, on grouped test slices, that ``probability`` falls into."""
    for found in find(card, "calibration", "after", "reliability") or ():
        if all(is_number(found.get(key)) for key in ("low", "high", "n", "accuracy")) and (
            found["low"] <= probability < found["high"] or probability == found["high"] == 1
        ):
            return found
    return None
