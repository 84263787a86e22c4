"""What an archive came to, in words: counts, a histogram, and the slices to look at first."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any

from lungapp.archive.parts import Parts
from lungapp.cards import ENSEMBLE
from lungapp.engine import ALL
from lungapp.report.facts import NOTICE, percent

BINS = 10
FIRST = 10
"""Counted slices to look at first, by the probability of malignant."""

WIDTH = 40
COLUMNS = (
    "path", "place", "input", "series", "slice", "model", "status", "decision", "quality_verdict", "quality_codes",
    "probability_malignant", "error", "settings", "counted",
)  # fmt: skip


def summarise(parts: Parts) -> str:
    """The summary of all that lies in ``parts``; read part by part, so that its memory does not grow with the rows."""
    inputs: set[str] = set()
    states, decisions, verdicts, codes, errors, bins = (Counter[Any]() for _ in range(6))
    highest: list[tuple[float, str, str]] = []
    for row in _slices(parts):
        inputs.add(row["input"])
        states[row["status"]] += 1
        if row["error"]:
            errors[row["error"]] += 1
        if row["quality_verdict"]:
            verdicts[row["quality_verdict"]] += 1
            codes.update((row["quality_codes"] or "").split())
        malignant = row["probability_malignant"]
        if malignant is not None:
            decisions[row["decision"]] += 1
            bins[min(BINS - 1, int(malignant * BINS))] += 1
        if row["counted"]:
            where = f"{_shown(row['path'])} {row['place']}".rstrip()
            heapq.heappush(highest, (malignant, where, row["decision"]))
            if len(highest) > FIRST:
                heapq.heappop(highest)
    slices = sum(states.values()) - states["set_aside"]
    lines = [
        f"{len(inputs):,} files and archives, {slices:,} slices or files that failed",
        _counts("Status", states),
        _counts("Answer", decisions),
        _counts("Input check", verdicts),
        *([_counts("Findings", codes)] if codes else []),
        *([_counts("Errors and what was set aside", errors, "\n  ")] if errors else []),
        "",
        *_histogram(bins),
        "",
        *_first(sorted(highest, reverse=True)),
        "",
        NOTICE,
    ]
    return "\n".join(lines)


def _slices(parts: Parts) -> Iterator[dict[str, Any]]:
    """One row a slice: where all models were asked, that of their mean."""
    for row in chain.from_iterable(table.to_pylist() for _, table in parts.read(COLUMNS)):
        if json.loads(row["settings"])["model"] != ALL or row["model"] in (ALL, ENSEMBLE):
            yield row


def _shown(path: str) -> str:
    """``path`` fit for a terminal: what is no letter or sign is written out."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in path)


def _counts(title: str, found: Counter[Any], between: str = ", ") -> str:
    told = between.join(f"{name} {count:,}" for name, count in found.most_common(FIRST))
    return f"{title}: {between if between != ', ' else ''}{told or 'none'}"


def _histogram(bins: Counter[Any]) -> Iterator[str]:
    """A bar for each tenth of the probability of malignant."""
    yield "Probability of malignant, scored slices"
    top = max(bins.values(), default=0)
    for place in range(BINS):
        bar = "#" * -(-WIDTH * bins[place] // top) if top else ""
        yield f"  {place / BINS:.1f} to {(place + 1) / BINS:.1f} {bins[place]:>9,} {bar}".rstrip()


def _first(highest: list[tuple[float, str, str]]) -> Iterator[str]:
    yield "Slices to look at first: the highest probability of malignant, which is no diagnosis"
    for malignant, where, decision in highest:
        yield f"  {percent(malignant):>12} {decision.replace('_', ' ')}  {where}"
    if not highest:
        yield "  none counts"
