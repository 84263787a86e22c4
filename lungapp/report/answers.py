"""What can be said of a slice, and of a series, in sentences that the page and every form share.

They are English `Text`, which the page translates. Nothing in them claims more than the card's figures bear out.
"""

from __future__ import annotations

from collections.abc import Sequence

from lungapp.calibration import Calibration
from lungapp.results import Aggregate, Decision, Prediction
from lungapp.texts import Text, listed, mark

HEADLINES: dict[Decision, str] = {
    "malignant": mark("Malignant"),
    "not_malignant": mark("Not malignant (normal or benign)"),
    "undecided": mark("Undecided"),
}

DECISION_WORDS: dict[Decision, str] = {**HEADLINES, "not_malignant": mark("Not malignant")}
"""The same where there is little room."""

TESTED: dict[Decision, str] = {
    "malignant": mark(
        "In tests on patients it had not seen, {share} of {count} slices with this answer and a malignant probability "
        "from {low} to {high} were malignant (95 % interval {start} to {end})."
    ),
    "not_malignant": mark(
        "In tests on patients it had not seen, {share} of {count} slices with this answer and a malignant probability "
        "from {low} to {high} were not malignant (95 % interval {start} to {end})."
    ),
    "undecided": mark(
        "In tests on patients it had not seen, {share} of {count} slices that it left undecided at a malignant "
        "probability from {low} to {high} were malignant (95 % interval {start} to {end})."
    ),
}
"""How often an answer like this one held. What "it" is, a model or their mean, is said where the answer is."""

NOT_TESTED = mark("No figure stands behind this answer: how often one like it holds was not measured.")

NORMAL_OR_BENIGN = mark(
    "Not malignant may be normal or benign: in this dataset no method that was tried could tell the two apart."
)

MOST_RUNS = 3
"""Stretches of slices that a headline names one by one."""


def percent(share: float) -> Text:
    """A share in [0, 1] as whole per cent, never rounded up to certainty or down to impossibility."""
    if 0.99 < share < 1:
        return Text("over 99 %")
    if 0 < share < 0.01:
        return Text("under 1 %")
    return Text("{share:.0f} %", share=round(100 * share))  # whole, so that there is no -0


def answer_in_words(prediction: Prediction, calibration: Calibration | None, overridden: bool = False) -> list[str]:
    """What cannot be excluded, and how often such an answer held; ``calibration`` is its card's, where there is one.

    Of a slice that the gate rejected (``overridden``) only the first is said: no figure applies to it.
    """
    classes = listed(prediction.answer_set)
    if overridden or calibration is None:
        excluded: str = Text("Cannot be excluded: {classes}.", classes=classes)
    else:
        level = percent(calibration.level)
        excluded = Text("Cannot be excluded at {level}: {classes}.", level=level, classes=classes)
    return [excluded] if overridden else [excluded, _tested(prediction, calibration)]


def also_to_know(predictions: Sequence[Prediction]) -> tuple[str, ...]:
    """What is said once, of all answers on a slice together."""
    return (NORMAL_OR_BENIGN,) if any(item.decision == "not_malignant" for item in predictions) else ()


def _tested(prediction: Prediction, calibration: Calibration | None) -> str:
    evidence = calibration.evidence_for(prediction) if calibration else None
    if evidence is None:
        return NOT_TESTED
    start, end = map(percent, evidence.interval)
    return Text(
        TESTED[prediction.decision],
        share=percent(evidence.right),
        count=evidence.slices,
        low=percent(evidence.low),
        high=percent(evidence.high),
        start=start,
        end=end,
    )


def series_headline(found: Aggregate) -> str:
    """What the slices of a series say together."""
    if found.decision == "not_malignant":
        return mark("Not malignant (normal or benign) on all counted slices")
    if found.decision == "undecided":
        return HEADLINES["undecided"]
    where: str = listed([Text("{low} to {high}", low=first, high=last) for first, last in found.runs])
    if len(found.runs) > MOST_RUNS:
        first, last = found.runs[0][0], found.runs[-1][1]
        where = Text("in {count} places between {first} and {last}", count=len(found.runs), first=first, last=last)
    return Text(
        "Malignant on {count} of {total} counted slices: {where}",
        count=found.malignant_slices,
        total=found.counted,
        where=where,
    )


def series_in_words(found: Aggregate) -> tuple[str, ...]:
    """How the answer on a series came about and what it is not; said wherever the answer is."""
    return (
        *_lone(found),
        mark("The models judge single slices; none of them has seen a whole series."),
        mark(
            "A series is called malignant where at least two neighbouring slices are, and not malignant where every "
            "counted slice is that; else it is undecided."
        ),
        mark(
            "Slices that the input check rejected, or whose scores it calls doubtful (unlike the training slices, "
            "little lung, lungs in one black), are not counted."
        ),
        mark(
            "This was not validated on patients: how often it is right for one is not known. It is not a diagnosis, "
            "and no proof of health."
        ),
    )


def _lone(found: Aggregate) -> tuple[str, ...]:
    if not found.counted:
        return (mark("No slice of this series counts, so nothing can be said of it."),)
    if found.decision == "undecided" and found.decisions["malignant"]:
        return (mark("Slices decided malignant stand alone here: none has a neighbour that is too."),)
    return ()
