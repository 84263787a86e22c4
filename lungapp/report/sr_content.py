"""The content of the structured report: a Measurement Report (PS3.16 TID 1500), one measurement group a model.

What the standard has no code for, a model's probability of its own class, has a private one: a standard code such as
"Probability of cancer" would claim more than a research model's score is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from highdicom import UID
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    DeviceObserverIdentifyingAttributes,
    ImageContentItem,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    TextContentItem,
    TrackingIdentifier,
)

from lungapp import __version__
from lungapp.cards import ModelCard
from lungapp.report import facts
from lungapp.report.answers import HEADLINES, also_to_know, answer_in_words
from lungapp.results import ActivationMap, Analysis, Decision, Prediction

SCHEME = "99LUNGAPP"
CODING_SCHEME = CodingSchemeIdentificationItem(SCHEME, name="LungApp", responsible_organization="LungApp")

CT_CHEST = CodedConcept("169069000", "SCT", "CT of chest")
DEVICE = CodedConcept("121007", "DCM", "Device")
COMMENT = CodedConcept("121106", "DCM", "Comment")
ILLUSTRATION = CodedConcept("121080", "DCM", "Best illustration of finding")
RATIO = CodedConcept("1", "UCUM", "no units")

PREDICTED = CodedConcept("PREDICTED", SCHEME, "Class of the highest probability")
DECISION = CodedConcept("DECISION", SCHEME, "What the answer decides")
NOT_EXCLUDED = CodedConcept("NOT-EXCLUDED", SCHEME, "Class that cannot be excluded")
STATUS = CodedConcept("STATUS", SCHEME, "Status of the prediction")
INPUT_CHECK = CodedConcept("CHECK", SCHEME, "Input check")
FINDING = CodedConcept("FINDING", SCHEME, "Finding of the input check")
INSIDE_LUNGS = CodedConcept("INSIDE", SCHEME, "Share of the attention inside the lungs")

DECIMALS = 6


def class_concept(label: str) -> CodedConcept:
    """The class ``label`` as a value."""
    return CodedConcept(f"CLASS-{label.upper()}", SCHEME, f"Class {label}")


def probability_concept(label: str) -> CodedConcept:
    """The model's probability of the class ``label`` as the name of a number."""
    return CodedConcept(f"P-{label.upper()}", SCHEME, f"Model's probability of class {label}")


def decision_concept(decision: Decision) -> CodedConcept:
    """What is decided as a value."""
    return CodedConcept(f"IS-{decision.upper().replace('_', '-')}", SCHEME, HEADLINES[decision])


def build_content(analysis: Analysis, cards: Sequence[ModelCard], overlay: Any) -> MeasurementReport:
    """The root of the report on a scored ``analysis``; ``overlay`` is its Secondary Capture, as a dataset."""
    known = {item.model: item for item in facts.provenances(analysis, cards)}
    maps = {item.model: item for item in analysis.maps}
    check = _check_concept(analysis)
    groups = [
        _group(item, check, known.get(item.model), maps.get(item.model), overlay) for item in facts.spoken(analysis)
    ]
    report = MeasurementReport(_context(), CT_CHEST, groups)
    content = report[0].ContentSequence
    for comment in _comments(analysis, cards):  # before the numbers, which come last
        content.insert(len(content) - 1, comment)
    return report


def _check_concept(analysis: Analysis) -> CodedConcept:
    """What the gate said, beside each model's numbers too, for programs that read nothing else."""
    if analysis.overridden:
        return CodedConcept("OVERRIDDEN", SCHEME, "Rejected, overridden")
    return CodedConcept(analysis.quality.verdict.upper(), SCHEME, facts.VERDICT[analysis.quality.verdict].capitalize())


def _context() -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=UID(), name="LungApp", manufacturer_name="LungApp", model_name=f"LungApp {__version__}"
    )
    return ObservationContext(observer_device_context=ObserverContext(DEVICE, device))


def _group(
    prediction: Prediction,
    check: CodedConcept,
    known: facts.Provenance | None,
    map_: ActivationMap | None,
    overlay: Any,
) -> MeasurementsAndQualitativeEvaluations:
    numbers = [Measurement(probability_concept(label), _number(p), RATIO) for label, p in prediction.scores().items()]
    if map_ and map_.inside_lungs is not None:
        numbers.append(Measurement(INSIDE_LUNGS, _number(map_.inside_lungs), RATIO))
    status = CodedConcept(prediction.status.upper(), SCHEME, facts.STATUS[prediction.status])
    group = MeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(identifier=f"LungApp {prediction.model}"),
        algorithm_id=AlgorithmIdentification(
            f"LungApp {prediction.model}", __version__, parameters=_parameters(known), manufacturer="LungApp"
        ),
        measurements=numbers,
        qualitative_evaluations=[
            QualitativeEvaluation(DECISION, decision_concept(prediction.decision)),
            *(QualitativeEvaluation(NOT_EXCLUDED, class_concept(label)) for label in prediction.answer_set),
            QualitativeEvaluation(PREDICTED, class_concept(prediction.label)),
            QualitativeEvaluation(STATUS, status),
            QualitativeEvaluation(INPUT_CHECK, check),
        ],
    )
    picture = ImageContentItem(ILLUSTRATION, overlay.SOPClassUID, overlay.SOPInstanceUID, relationship_type="CONTAINS")
    group[0].ContentSequence.append(picture)
    return group


def _parameters(known: facts.Provenance | None) -> list[str] | None:
    if known is None:
        return None
    stated: dict[str, Any] = {"weights SHA-256": known.weights_sha256, "computed in": known.precision}
    if known.calibration:
        stated |= {"temperature": known.calibration.temperature, "level": known.calibration.level}
        stated |= {f"{label} excluded below": p for label, p in known.calibration.thresholds.items()}
    return [f"{name}: {value}" for name, value in stated.items() if value is not None] or None


def _comments(analysis: Analysis, cards: Sequence[ModelCard]) -> list[TextContentItem]:
    """What must be read with the numbers, the gravest first."""
    checked = facts.VERDICT[analysis.quality.verdict] + ", overridden" * analysis.overridden
    said = [(COMMENT, facts.warning_of(analysis)), (COMMENT, facts.NOTICE), (INPUT_CHECK, checked)]
    said += [(FINDING, finding.message) for finding in analysis.quality.findings]
    said += [(COMMENT, text) for text in _answers(analysis, cards)]
    tested = [(facts.title_of(item.model), facts.faithfulness_of(item)) for item in analysis.maps]
    said += [(COMMENT, f"{title}, {facts.methods_of(analysis.maps)}: {text}") for title, text in tested if text]
    said += [(COMMENT, text) for text in (*analysis.slice.info.notes, *facts.CAVEATS)]
    return [TextContentItem(name, text, relationship_type="CONTAINS") for name, text in said if text]


def _answers(analysis: Analysis, cards: Sequence[ModelCard]) -> list[str]:
    """What each model says, and what stands behind it."""
    known = facts.calibrations(analysis, cards)
    said = [
        f"{facts.title_of(item.model)}: {HEADLINES[item.decision]}. "
        + " ".join(answer_in_words(item, known.get(item.model), analysis.overridden))
        for item in facts.spoken(analysis)
    ]
    return [*said, *also_to_know(facts.spoken(analysis))]


def _number(value: float) -> float:
    return round(float(value), DECIMALS)
