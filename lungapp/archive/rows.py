"""The table that an archive comes to: its columns, and the rows of what could not be scored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungapp import __version__
from lungapp.archive.inputs import Input, digest
from lungapp.cards import ENSEMBLE, ModelCard
from lungapp.engine import ALL, Engine
from lungapp.reading import Limits
from lungapp.report.facts import NOTICE, now
from lungapp.report.series_report import HEADER, SCHEMA, series_cells
from lungapp.results import SeriesRow

if TYPE_CHECKING:
    import pyarrow

OWN = ("path", "input", "series", "place")
"""Beside `HEADER`: the file, what names its content, the number of the series in it, where in it a slice lies."""

LEFT_OUT = ("source", "activation_target", "activation_inside_lungs", "activation_method", "activation_hottest_fall",
            "activation_random_fall")  # fmt: skip
"""Of `HEADER`: ``path`` and ``place`` say it better; no maps are made."""

COLUMNS = (*OWN, *(name for name in HEADER if name not in LEFT_OUT), "settings")
"""Stable: programs read it. New columns go to the end."""

WHOLE = {"series", "slice", "rows", "columns", "evidence_slices", "evidence_groups"}
TRUTHS = {"overridden", "counted"}
TRUTH = {"true": True, "false": False}
REAL = ("probability_", "answer_level", "evidence_right", "evidence_low", "evidence_high")


@dataclass(frozen=True)
class Job:
    """How a run scores: everything a worker must know, and what must not change when the run goes on later.

    Attributes
    ----------
    model : a model's name, or ``"all"``.
    hash_paths : whether rows carry a digest in place of the path.
    engine : makes the engine out of the folder of weights, the precision and a number of threads, in each worker once.
    """

    source: str
    model: str
    weights: Path
    limits: Limits = field(default_factory=Limits)
    override: bool = False
    hash_paths: bool = False
    precision: str = "f32"
    engine: Any = Engine

    def settings(self, cards: Sequence[ModelCard]) -> str:
        """What was asked for, and of which weights, as JSON: the same in all rows of a result."""
        asked = {"model": self.model, "override": self.override, "hash_paths": self.hash_paths}
        asked |= {"precision": self.precision, "schema": SCHEMA}
        weights = {card.name: card.weights_sha256 for card in self.models(cards)}
        return json.dumps(asked | {"weights": weights, "limits": asdict(self.limits)}, sort_keys=True)

    def models(self, cards: Sequence[ModelCard]) -> list[ModelCard]:
        """The cards of the models that are asked, out of ``cards``, which may hold the ensemble's too."""
        return [card for card in cards if card.name != ENSEMBLE and self.model in (ALL, card.name)]

    def name(self, item: Input) -> str:
        """What rows call ``item``."""
        return digest(item.label) if self.hash_paths else item.label


def schema() -> pyarrow.Schema:
    """The types of `COLUMNS`: text, but for whole numbers, truths, and real numbers (probabilities, mm)."""
    import pyarrow as pa

    def kind(name: str) -> Any:
        if name in WHOLE:
            return pa.int32()
        if name in TRUTHS:
            return pa.bool_()
        real = name.startswith(REAL) or name.endswith("_mm")
        return pa.float64() if real else pa.string()

    return pa.schema([(name, kind(name)) for name in COLUMNS])


def to_table(rows: Sequence[dict[str, Any]]) -> pyarrow.Table:
    """``rows``, each by column, as a table of `schema`; what a row leaves out is null."""
    import pyarrow as pa

    return pa.Table.from_pylist([{name: row.get(name) for name in COLUMNS} for row in rows], schema())


def of_slice(
    job: Job, item: Input, series: int, row: SeriesRow, cards: Sequence[ModelCard]
) -> Iterator[dict[str, Any]]:
    """The rows of one slice of ``item``: one, or one for each model and their mean where all were asked."""
    place = row.source.removeprefix("file 1").lstrip(", ")
    for cells in series_cells(row, cards):
        truths = {name: TRUTH.get(cells.pop(name, "")) for name in TRUTHS}
        yield _of_input(job, item, cards) | cells | {"series": series, "place": place} | truths


def of_failure(
    job: Job, item: Input, cards: Sequence[ModelCard], error: str, place: str = "", status: str = "failed"
) -> dict[str, Any]:
    """The row of something that is no slice: all of ``item``, or what lies at ``place`` in it."""
    return _of_input(job, item, cards) | {"place": place.removeprefix("file 1").lstrip(", "), "status": status,
                                          "error": error, "model": job.model}  # fmt: skip


def _of_input(job: Job, item: Input, cards: Sequence[ModelCard]) -> dict[str, Any]:
    """What every row says, of a slice that no model was asked about too."""
    return {
        "path": job.name(item),
        "input": item.key,
        "created": now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "version": __version__,
        "weights_sha256": " ".join(card.weights_sha256 for card in job.models(cards)),
        "notice": NOTICE,
        "settings": job.settings(cards),
        "error": "",
    }
