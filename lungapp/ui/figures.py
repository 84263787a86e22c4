"""Figures out of model cards. Every one may be missing: a card can be older than the page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeGuard

from lungapp.texts import mark
from lungapp.ui.language import say
from lungapp.ui.words import percent

PROTOCOLS = {
    "grouped": (
        mark("Similar slices kept apart"),
        mark("No tested slice resembles one the model learnt from. These figures say more about new patients."),
    ),
    "image_level": (
        mark("Random split"),
        mark("The published habit. It flatters: slices of one patient are both learnt from and tested on."),
    ),
}

EARLIER = mark("Some of these figures are of an earlier model input, not of the models that answer here.")

DECIMAL = ("auc_malignant", "ece", "brier", "nll")
"""Metrics that are customarily given as fractions, not as per cent."""

METRICS = {
    "accuracy": mark("Accuracy"),
    "balanced_accuracy": mark("Balanced accuracy"),
    "precision_macro": mark("Precision, mean of classes"),
    "recall_macro": mark("Recall, mean of classes"),
    "f1_macro": mark("F1, mean of classes"),
    "auc_malignant": mark("AUC for malignant"),
    "sensitivity_at_95_specificity": mark("Sensitivity at 95 % specificity"),
    "ece": mark("Calibration error, lower is better"),
    "brier": mark("Brier score, lower is better"),
}


@dataclass(frozen=True)
class Figure:
    """A figure in [0, 1] with its 95 % interval, where the card has one."""

    value: float
    interval: tuple[float, float] | None = None

    def show(self, decimal: bool = False) -> str:
        """The value as per cent, or as a decimal fraction where that is the custom."""
        return f"{self.value:.3f}" if decimal else percent(self.value)

    def show_interval(self, decimal: bool = False, short: bool = False) -> str:
        """The interval likewise, in words or ``short`` with a dash; empty where there is none."""
        if self.interval is None:
            return ""
        low, high = self.interval
        ends = (f"{low:.2f}", f"{high:.2f}") if decimal else (f"{100 * low:.0f}", f"{100 * high:.0f}")
        said = "\N{EN DASH}".join(ends) if short else say("{low} to {high}", low=ends[0], high=ends[1])
        return said if decimal else say("{number} %", number=said)


def find(card: dict[str, Any], *keys: str) -> Any:
    """The value under nested ``keys``, or None where the card lacks it."""
    value: Any = card
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def read_figure(card: dict[str, Any], protocol: str, metric: str) -> Figure | None:
    """One figure of a protocol."""
    return to_figure(find(card, "metrics", protocol, metric))


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
