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
from lungapp.results import ActivationMap, Analysis, Prediction

SCHEME = "99LUNGAPP"
CODING_SCHEME = CodingSchemeIdentificationItem(SCHEME, name="LungApp", responsible_organization="LungApp")

CT_CHEST = CodedConcept("169069000", "SCT", "CT of chest")
DEVICE = CodedConcept("121007", "DCM", "Device")
COMMENT = CodedConcept("121106", "DCM", "Comment")
ILLUSTRATION = CodedConcept("121080", "DCM", "Best illustration of finding")
RATIO = CodedConcept("1", "UCUM", "no units")

PREDICTED = CodedConcept("PREDICTED", SCHEME, "Class predicted by the model")
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


def build_content(analysis: Analysis, cards: Sequence[ModelCard], overlay: Any) -> MeasurementReport:
    """The root of the report on a scored ``analysis``; ``overlay`` is its Secondary Capture, as a dataset."""
    known = {item.model: item for item in facts.provenances(analysis, cards)}
    maps = {item.model: item for item in analysis.maps}
    spoken = (*analysis.predictions, *([analysis.ensemble] if analysis.ensemble else []))
    check = _check_concept(analysis)
    groups = [_group(item, check, known.get(item.model), maps.get(item.model), overlay) for item in spoken]
    report = MeasurementReport(_context(), CT_CHEST, groups)
    content = report[0].ContentSequence
    for comment in _comments(analysis):  # before the numbers, which come last
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
    stated = {
        "weights SHA-256": known.weights_sha256,
        "computed in": known.precision,
        "temperature": known.temperature,
        "confident from": "never" if known.never_confident else known.confident_above,
        **{f"malignant from, {facts.OPERATING_POINTS[name]}": p for name, p in (known.thresholds or {}).items()},
    }
    return [f"{name}: {value}" for name, value in stated.items() if value is not None] or None


def _comments(analysis: Analysis) -> list[TextContentItem]:
    """What must be read with the numbers, the gravest first."""
    checked = facts.VERDICT[analysis.quality.verdict] + ", overridden" * analysis.overridden
    said = [(COMMENT, facts.warning_of(analysis)), (COMMENT, facts.NOTICE), (INPUT_CHECK, checked)]
    said += [(FINDING, finding.message) for finding in analysis.quality.findings]
    tested = [(facts.title_of(item.model), facts.faithfulness_of(item)) for item in analysis.maps]
    said += [(COMMENT, f"{title}, {facts.methods_of(analysis.maps)}: {text}") for title, text in tested if text]
    said += [(COMMENT, text) for text in (*analysis.slice.info.notes, *facts.CAVEATS)]
    return [TextContentItem(name, text, relationship_type="CONTAINS") for name, text in said if text]


def _number(value: float) -> float:
    return round(float(value), DECIMALS)
