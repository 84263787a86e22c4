"""Plain result types: what the gate found, what a model said, where it looked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from lungapp.slices import SetAside, Slice, SliceInfo, Unit

Verdict = Literal["accept", "warn", "reject"]
Status = Literal["confident", "uncertain", "rejected"]
RowStatus = Literal["confident", "uncertain", "rejected", "failed"]
Decision = Literal["malignant", "not_malignant", "undecided"]

DECISIONS: tuple[Decision, ...] = ("malignant", "not_malignant", "undecided")

DOUBTFUL = frozenset({"unusual", "little_lung", "lungs_black"})
"""Warnings of the gate that keep a slice from counting in a series: a model has seen nothing like it, or next to none
of the lungs that it judges. Under any other the lungs are there as they were in training: it is marked, and counts.
"""


@dataclass(frozen=True)
class Finding:
    """One thing the quality gate noticed: a stable ``code``, its severity, and a sentence for the user."""

    code: str
    severity: Literal["warn", "reject"]
    message: str


@dataclass(frozen=True)
class QualityReport:
    """The gate's findings; the verdict is that of the gravest one."""

    findings: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> Verdict:
        severities = {finding.severity for finding in self.findings}
        return "reject" if "reject" in severities else "warn" if "warn" in severities else "accept"


def status_of(answer_set: tuple[str, ...]) -> Status:
    """What a set of classes that cannot be excluded comes to."""
    return "confident" if len(answer_set) == 1 else "uncertain"


@dataclass(frozen=True, eq=False)
class Prediction:
    """Calibrated scores of one model (or of the ensemble), and what can be said of them.

    ``probabilities`` is (labels,) float, sums to 1, in the order of ``labels``, which came from the model's card.
    ``answer_set`` holds the classes, in that order, that cannot be excluded at the card's level
    (`lungapp.calibration`). ``status`` is "confident" where that is a single one, else "uncertain".
    ``precision`` is what they were computed in, "f32" or "bf16" (`lungapp.runtime`).
    """

    model: str
    labels: tuple[str, ...]
    probabilities: np.ndarray
    answer_set: tuple[str, ...]
    status: Status
    precision: str = "f32"

    @property
    def decision(self) -> Decision:
        """What the answer set says of malignant."""
        if "malignant" not in self.answer_set:
            return "not_malignant"
        return "malignant" if len(self.answer_set) == 1 else "undecided"

    def forced(self) -> Prediction:
        """As it stands for a slice that the gate rejected: the card promises nothing there, so nothing is excluded."""
        return replace(self, answer_set=self.labels, status="uncertain")

    @property
    def label(self) -> str:
        return self.labels[int(np.argmax(self.probabilities))]

    @property
    def probability(self) -> float:
        return float(np.max(self.probabilities))

    def scores(self) -> dict[str, float]:
        return {label: float(p) for label, p in zip(self.labels, self.probabilities, strict=True)}


LEAST_FALL = 0.1
"""Below this share of the probability, what blurring does to it is too little to say that a map marks its cause."""


@dataclass(frozen=True)
class Faithfulness:
    """What becomes of the target's probability when parts of the slice are blurred away (`lungapp.faithfulness`).

    ``probability`` is that of the slice as it is. ``hottest_fall`` is how far it falls with the hottest ``share`` of
    what the model was given blurred, ``random_falls`` how far with other parts of the same size, one each; negative
    where it rises. ``share`` is a tenth, or less where the map colours less.
    """

    share: float
    probability: float
    hottest_fall: float
    random_falls: tuple[float, ...]

    @property
    def random_fall(self) -> float:
        """The mean of ``random_falls``."""
        return float(np.mean(self.random_falls))

    @property
    def supported(self) -> bool:
        """Whether the map marks what the score relied on: the hottest part counts for more than every other part, and
        for at least `LEAST_FALL` of the probability.
        """
        far_enough = self.hottest_fall >= LEAST_FALL * self.probability
        return bool(self.hottest_fall > max(self.random_falls) and far_enough)


@dataclass(frozen=True, eq=False)
class ActivationMap:
    """Where a model's evidence for one class lies; it shows attention, not a lesion.

    ``values`` is (rows, columns) float32 in [0, 1], aligned with the pixels of the slice, 1 at its maximum.
    ``inside_lungs`` is the share of its total that falls inside the lungs, or None where no lungs were found or the
    map is blank. A ``blank`` map has no positive evidence for its target anywhere: all values are 0.
    ``faithfulness`` is None where it was not measured, and for a blank map, which has no hottest part.
    ``region`` is (rows, columns) bool, what of the slice the model was given, outside which all values are 0; None
    where that is all of it. ``insisted`` says that someone wants to see the map even where it failed its test.
    """

    model: str
    method: str
    target: str
    values: np.ndarray
    inside_lungs: float | None
    faithfulness: Faithfulness | None = None
    region: np.ndarray | None = None
    insisted: bool = False

    @property
    def blank(self) -> bool:
        return not self.values.any()

    @property
    def holds(self) -> bool | None:
        """Whether it passed its test, so that it marks what the score relied on; None where it was not tested."""
        return self.faithfulness.supported if self.faithfulness else None

    @property
    def drawn(self) -> bool:
        """Whether pictures show it: not where it failed its test, unless someone insisted. The one rule for page,
        reports, API and command line.
        """
        return not self.blank and (self.insisted or self.holds is not False)


class Scored:
    """What follows from the predictions for one slice, and from their mean where all models spoke."""

    predictions: tuple[Prediction, ...]
    ensemble: Prediction | None

    @property
    def prediction(self) -> Prediction | None:
        """The prediction to show first: the ensemble's where there is one."""
        return self.ensemble or (self.predictions[0] if self.predictions else None)

    @property
    def status(self) -> Status:
        return self.prediction.status if self.prediction else "rejected"

    @property
    def decision(self) -> Decision | None:
        """What `prediction` decides; None where nothing was scored."""
        return self.prediction.decision if self.prediction else None

    @property
    def agreement(self) -> bool | None:
        """Whether all models decide the same; None where fewer than two spoke."""
        if len(self.predictions) < 2:
            return None
        return len({prediction.decision for prediction in self.predictions}) == 1


@dataclass(frozen=True, eq=False)
class Analysis(Scored):
    """Everything one analysis yields.

    A rejected slice has no predictions and no maps. With one model there is one of each; with ``"all"`` one per
    model in the registry's order, and ``ensemble`` is the mean of their calibrated probabilities.
    ``model_input`` is the very picture the models got, (size, size) float32 in [0, 1]. ``overridden`` says that the
    gate rejected the slice and someone had it scored all the same: every output must tell, and no such prediction
    excludes anything (`Prediction.forced`).
    """

    slice: Slice
    quality: QualityReport
    model: str
    predictions: tuple[Prediction, ...] = ()
    maps: tuple[ActivationMap, ...] = ()
    ensemble: Prediction | None = None
    model_input: np.ndarray | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    overridden: bool = False

    @property
    def drawn_maps(self) -> tuple[ActivationMap, ...]:
        """The maps that pictures show (`ActivationMap.drawn`)."""
        return tuple(item for item in self.maps if item.drawn)

    def insist(self, model: str | None = None, wish: bool = True) -> Analysis:
        """The same with the maps of ``model``, or all of them, to be shown even where they failed their test, or not
        any more where ``wish`` is False.
        """
        maps = (replace(item, insisted=wish) if model in (None, item.model) else item for item in self.maps)
        return replace(self, maps=tuple(maps))


@dataclass(frozen=True)
class SliceFacts:
    """What is kept of a slice once it was scored; ``rows`` and ``columns`` are pixels."""

    rows: int
    columns: int
    unit: Unit
    info: SliceInfo


@dataclass(frozen=True, eq=False)
class SeriesRow(Scored):
    """What one slice of a series came to: scores, or the gate's reasons, or the error that kept it from being read.

    Attributes
    ----------
    number : from 1, feet to head.
    source : where it lies in what was handed in; never a file's name.
    position : mm along the patient, or None.
    model : what was asked for: a model's name, or ``"all"``.
    slice : None where it could not be read.
    error : plain text for a user; empty where nothing went wrong.
    thumbnail : (rows, columns) uint8, small, as the models' window shows the slice; None where it could not be read.
    """

    number: int
    source: str
    position: float | None
    model: str
    slice: SliceFacts | None = None
    quality: QualityReport = QualityReport()
    predictions: tuple[Prediction, ...] = ()
    ensemble: Prediction | None = None
    overridden: bool = False
    error: str = ""
    thumbnail: np.ndarray | None = None

    @property
    def maps(self) -> tuple[ActivationMap, ...]:
        """None: a map is made when a slice is looked at."""
        return ()

    @property
    def state(self) -> RowStatus:
        """The status, or that there is an error instead of one."""
        return "failed" if self.error else self.status

    @property
    def malignant(self) -> float | None:
        """The probability of malignant, of the ensemble where there is one; None where nothing was scored."""
        return self.prediction.scores().get("malignant") if self.prediction else None

    @property
    def counted(self) -> bool:
        """Whether it takes part in what is said of the series: scored, and nothing makes its scores doubtful."""
        codes = {finding.code for finding in self.quality.findings}
        return self.prediction is not None and not self.overridden and codes.isdisjoint(DOUBTFUL)


@dataclass(frozen=True)
class Aggregate:
    """What the answers on single slices come to together (`lungapp.series.aggregate`). Not validated on patients.

    Attributes
    ----------
    decision : of the whole series.
    runs : first and last number of each run of neighbouring counted slices that are decided malignant.
    malignant_slices : how many counted slices lie in ``runs``.
    decisions : how many counted slices came to each decision.
    states : how many rows are confident, uncertain, rejected and failed.
    """

    decision: Decision
    runs: tuple[tuple[int, int], ...]
    malignant_slices: int
    decisions: dict[Decision, int]
    states: dict[RowStatus, int]

    @property
    def counted(self) -> int:
        """How many slices took part."""
        return sum(self.decisions.values())


@dataclass(frozen=True, eq=False)
class SeriesAnalysis:
    """Everything a run over a series yields; ``rows`` has fewer than ``total`` rows where it was cancelled.

    ``set_aside`` is what was handed in beside the series and is no slice of it, ``seconds`` how long the run took.
    """

    rows: tuple[SeriesRow, ...]
    total: int
    model: str
    aggregate: Aggregate
    cancelled: bool
    seconds: float
    set_aside: tuple[SetAside, ...] = ()

    def most_suspicious(self, count: int) -> tuple[SeriesRow, ...]:
        """At most ``count`` counted rows, the highest probability of malignant first."""
        counted = [row for row in self.rows if row.counted]
        return tuple(sorted(counted, key=lambda row: -(row.malignant or 0.0))[:count])
