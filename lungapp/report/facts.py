"""What every form of a report has to say, said once: notice, caveats, titles, thresholds, and the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lungapp.calibration import Calibration
from lungapp.cards import ENSEMBLE, ModelCard
from lungapp.methods import get_method
from lungapp.registry import MODELS
from lungapp.results import ActivationMap, Analysis, Prediction, RowStatus, SeriesRow, Status, Verdict
from lungapp.texts import mark

NOTICE = mark("Research use only. Not a medical device, not for diagnosis or treatment.")

OVERRIDDEN = (
    "Input check overridden: the check rejected this slice, and it was scored only because someone asked for that all "
    "the same. Do not rely on this answer."
)
REJECTED = "Not scored: this slice did not pass the input check, so no model was asked."

STATUS: dict[Status, str] = {"confident": "Confident", "uncertain": "Uncertain"}
"""Of a scored slice, as the structured report has it: whether a single class is left."""

UNSCORED: dict[RowStatus, str] = {"rejected": mark("Not scored"), "failed": mark("Failed")}
"""What is said in place of an answer."""

VERDICT: dict[Verdict, str] = {"accept": "passed", "warn": "passed with a warning", "reject": "rejected"}

CAVEATS = (
    "The models learnt from about 1,050 slices of one dataset. Other scanners and populations were not measured.",
    "Benign cases come from 15 patients only, and could not be told from normal ones.",
    "One slice is not a scan: a nodule may lie on another slice.",
    "The coloured map shows what the model weighed. It does not outline a lesion.",
    "A probability is the model's, calibrated on slices of that dataset; it is not a patient's risk.",
)

ARITHMETIC = {"f32": "float32", "bf16": "bfloat16, within 0.005 of float32 on held-out slices"}
"""`Prediction.precision` in words."""


@dataclass(frozen=True)
class Provenance:
    """Which weights spoke, and what their card promises; None where that is not known.

    ``precision`` is what the model was computed in, "f32" or "bf16".
    """

    model: str
    weights_sha256: str | None = None
    calibration: Calibration | None = None
    precision: str | None = None


def now() -> datetime:
    """The present moment in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def moment(created: datetime | None) -> datetime:
    """``created`` in UTC, or `now`. Raises ValueError where it does not say its zone."""
    if created is None:
        return now()
    if created.tzinfo is None:
        raise ValueError("Expected a time with its zone. Received: a time without one.")
    return created.astimezone(UTC)


def percent(share: float) -> str:
    """A share in [0, 1] as per cent with a decimal, never rounded up to certainty or down to impossibility."""
    if 0.999 < share < 1:
        return "over 99.9 %"
    if 0 < share < 0.001:
        return "under 0.1 %"
    return f"{100 * share:.1f} %"


def title_of(model: str) -> str:
    """How ``model`` is called in a sentence: a model's name, ``"ensemble"`` or ``"all"``."""
    titles = {spec.name: spec.title for spec in MODELS} | {
        ENSEMBLE: mark("Mean of all models"),
        "all": mark("all models"),
    }
    return titles.get(model, model)


def labels_of(analysis: Analysis) -> tuple[str, ...]:
    """The classes in the order of the scores; empty where nothing was scored."""
    return analysis.prediction.labels if analysis.prediction else ()


def targets_of(maps: Sequence[ActivationMap]) -> str:
    """The class that ``maps`` speak for, in words."""
    targets = {item.target for item in maps}
    return targets.pop() if len(targets) == 1 else "the class each model predicts"


def methods_of(maps: Sequence[ActivationMap]) -> str:
    """How ``maps`` were made, in words."""
    return ", ".join(dict.fromkeys(get_method(item.method).title for item in maps))


def tests_of(maps: Sequence[ActivationMap]) -> str:
    """What is known of whether ``maps``, which are drawn, mark what the models relied on: a sentence or more."""
    failed = [title_of(item.model) for item in maps if item.holds is False]
    if len(failed) == len(maps):
        return "It failed its test and is drawn because someone asked for it all the same: do not rely on it."
    if failed:
        return f"Failed its test, drawn because someone asked for it, not to be relied on: {', '.join(failed)}."
    if any(item.holds is None for item in maps):
        return "It was not tested whether it marks what the score relied on."
    return "It passed its test: it marks what the score relied on."


def faithfulness_of(item: ActivationMap) -> str:
    """What blurring did to the target's probability, in a few words; empty where it was not measured."""
    found = item.faithfulness
    if found is None:
        return ""
    without, elsewhere = (percent(found.probability - fall) for fall in (found.hottest_fall, found.random_fall))
    verdict = "marks" if found.supported else "does not mark"
    return (
        f"{item.target} {percent(found.probability)}, with the hottest {100 * found.share:.0f} % of what it saw "
        f"blurred {without}, with other parts blurred {elsewhere} on average: the map {verdict} what the model relied "
        "on"
    )


def warning_of(analysis: Analysis | SeriesRow) -> str:
    """What must be said before anything else; empty for a slice that passed the gate."""
    if analysis.overridden:
        return OVERRIDDEN
    return "" if analysis.prediction else REJECTED


def provenances(analysis: Analysis | SeriesRow, cards: Sequence[ModelCard]) -> list[Provenance]:
    """Of every model that spoke and has a card in ``cards``, in their order, and of the ensemble where it spoke.

    The ensemble's card is of the mean of all its members; where one could not be asked, it says nothing.
    """
    models = {item.model for item in analysis.predictions}
    by_name = {card.name: card for card in cards if card.name != ENSEMBLE or card.members.keys() == models}
    return [
        Provenance(item.model, card.data.get("weights_sha256"), card.calibration, item.precision)
        for item in spoken(analysis)
        if (card := by_name.get(item.model))
    ]


def spoken(analysis: Analysis | SeriesRow) -> tuple[Prediction, ...]:
    """Each model's prediction, and the ensemble's where all were asked."""
    return (*analysis.predictions, *([analysis.ensemble] if analysis.ensemble else []))


def calibrations(analysis: Analysis | SeriesRow, cards: Sequence[ModelCard]) -> dict[str, Calibration | None]:
    """What applies to each prediction of ``analysis``, by model: nothing where its slice was rejected by the gate."""
    if analysis.overridden:
        return {}
    return {item.model: item.calibration for item in provenances(analysis, cards)}
