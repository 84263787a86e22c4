"""An analysis as one A4 page that can be filed: answer, pictures, input check, models and their limits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lungapp import __version__
from lungapp.cards import ENSEMBLE, ModelCard
from lungapp.greys import MODEL_WINDOW
from lungapp.registry import LABELS
from lungapp.rendering import render_grey, shrink
from lungapp.report import facts
from lungapp.report.answers import DECISION_WORDS, HEADLINES, also_to_know, answer_in_words
from lungapp.report.page import HEIGHT, INNER, LEADING, LINE, MARGIN, QUIET, TEAL, Page
from lungapp.report.picture import caption, colour_bar, overlay
from lungapp.results import Analysis, Prediction

PICTURE_SIDE = 768
"""Pixels; 230 points of paper show no more."""

CARE, STOP = ("#fdf0d9", "#7a4a00"), ("#fce8e6", "#9c1f1f")
MOST_LINES, MOST_FINDINGS = 3, 5
"""What findings and notes may take, so that the report stays on one page; the JSON has them in full."""

GAP = 14.0
HALF = (INNER - GAP) / 2
RIGHT = MARGIN + HALF + GAP
FOOT = HEIGHT - MARGIN + 6


def to_pdf(analysis: Analysis, cards: Sequence[ModelCard] = (), created: datetime | None = None) -> bytes:
    """The report as the bytes of a PDF of one page.

    Parameters
    ----------
    analysis : of one model, or of ``"all"``; a rejected one gives a report without scores that says why.
    cards : of the models that may have spoken, the ensemble's among them: digests and thresholds.
    created : when the report was made, with its zone; now if left out.
    """
    time = facts.moment(created)
    page = Page()
    _head(page, analysis, time)
    if analysis.prediction:
        known = facts.calibrations(analysis, cards).get(analysis.prediction.model)
        said = answer_in_words(analysis.prediction, known, analysis.overridden)
        _answer(page, analysis.prediction, [*said, *also_to_know(facts.spoken(analysis))])
    below = Page()  # drawn twice: once to learn how much room the text leaves for the pictures
    _words(below, analysis, cards)
    room = FOOT - 20 - page.y - (below.y - MARGIN)
    _pictures(page, analysis, room)
    _words(page, analysis, cards)
    _foot(page)
    return page.to_bytes("LungApp report on one chest CT slice", f"LungApp {__version__}", time)


def _head(page: Page, analysis: Analysis, time: datetime) -> None:
    right = MARGIN + INNER
    page.text(MARGIN, page.y + 14, "LungApp", 18, bold=True, colour=TEAL)
    page.text(MARGIN + 94, page.y + 14, "Report on one chest CT slice", 11)
    page.text(right, page.y + 5, time.strftime("%Y-%m-%d %H:%M:%S UTC"), 8.5, right=True)
    page.text(right, page.y + 16, f"LungApp {__version__}", 7.5, colour=QUIET, right=True)
    page.y += 24
    page.band(facts.NOTICE, *CARE)
    if warning := facts.warning_of(analysis):
        page.band(warning, *STOP)


def _answer(page: Page, prediction: Prediction, sentences: Sequence[str]) -> None:
    top = page.y + 4
    page.text(MARGIN, top + 9, f"ANSWER: {facts.title_of(prediction.model).upper()}", 7, colour=QUIET)
    page.y = top + 11
    page.paragraph(MARGIN, HALF, HEADLINES[prediction.decision], 15, bold=True)
    page.y += 2
    page.paragraph(MARGIN, HALF, " ".join(sentences))
    for place, (name, share) in enumerate(prediction.scores().items()):
        y, bold = top + 6 + 18 * place, name in prediction.answer_set
        page.text(RIGHT, y + 8, name.capitalize(), 8.5, bold=bold)
        page.box(RIGHT + 58, y, HALF - 100, 10, LINE)
        page.box(RIGHT + 58, y, (HALF - 100) * share, 10, TEAL)
        page.text(RIGHT + HALF, y + 8, facts.percent(share), 8.5, bold=bold, right=True)
    page.text(RIGHT, top + 68, "Probability of each class; bold: cannot be excluded", 7, colour=QUIET)
    page.y = max(page.y, top + 66) + 6


def _pictures(page: Page, analysis: Analysis, room: float) -> None:
    """The slice and beside it the overlay, or why there is none, as large as ``room`` points in height let them be."""
    drawn = bool(analysis.drawn_maps)
    window = f"centre {MODEL_WINDOW.centre:.0f} HU, width {MODEL_WINDOW.width:.0f} HU"
    texts = ("Slice" + f", window {window}" * (analysis.slice.unit == "HU"), caption(analysis))
    side = min(HALF, max(room - 52, 90))
    scale = side / max(analysis.slice.rows, analysis.slice.columns)
    height, width = scale * analysis.slice.rows, scale * analysis.slice.columns
    top = page.y + 2
    pictures = [shrink(render_grey(analysis.slice), PICTURE_SIDE)]
    pictures += [overlay(analysis, PICTURE_SIDE)] if drawn else []
    bottom = top
    for x, pixels, text in zip((MARGIN, RIGHT), pictures, texts, strict=False):
        page.picture(x + (HALF - width) / 2, top, width, height, pixels)
        page.y = top + height + 2
        page.paragraph(x, HALF, text, 7, colour=QUIET, most=3)
        bottom = max(bottom, page.y)
    if analysis.prediction and not drawn:
        page.y = top
        page.paragraph(RIGHT, HALF, caption(analysis), 8.5, colour=QUIET)
    page.y = bottom
    if drawn:
        page.text(MARGIN, top + height + 27, "Low attention", 7, colour=QUIET)
        page.picture(MARGIN + 58, top + height + 20.5, 110, 8, colour_bar())
        page.text(MARGIN + 173, top + height + 27, "High attention", 7, colour=QUIET)
        page.y = max(page.y, top + height + 30)


def _words(page: Page, analysis: Analysis, cards: Sequence[ModelCard]) -> None:
    """Everything below the pictures."""
    if analysis.ensemble:
        _each_model(page, analysis)
    _input(page, analysis)
    if analysis.prediction:
        _models(page, analysis, cards)
    page.heading("Limits")
    for caveat in facts.CAVEATS:
        _item(page, caveat, 7.5)


def _each_model(page: Page, analysis: Analysis) -> None:
    agreed = {True: "all give the same answer", False: "they do not give the same answer", None: ""}
    said = agreed[analysis.agreement]
    page.heading("Each model" + (f": {said}" if said else ""))
    labels = facts.labels_of(analysis)
    inside = {item.model: item.inside_lungs for item in analysis.maps}
    rows = [["Model", *(label.capitalize() for label in labels), "Attention inside lungs", "Answer"]]
    for item in analysis.predictions:
        share = inside.get(item.model)
        shown = "not known" if share is None else facts.percent(share)
        answer = DECISION_WORDS[item.decision]
        rows.append([facts.title_of(item.model), *map(facts.percent, item.probabilities), shown, answer])
    step = 62.0
    starts = [MARGIN, *(MARGIN + 100 + step * place for place in range(len(labels) + 1)), MARGIN + 413]
    page.table(starts, rows, numbers=True)


def _input(page: Page, analysis: Analysis) -> None:
    page.heading(f"Input check: {facts.VERDICT[analysis.quality.verdict]}" + ", overridden" * analysis.overridden)
    findings = [finding.message for finding in analysis.quality.findings] + list(analysis.slice.info.notes)
    for message in findings[:MOST_FINDINGS]:
        _item(page, message, 8)
    if len(findings) > MOST_FINDINGS:
        _item(page, f"And {len(findings) - MOST_FINDINGS} more, which the JSON report has.", 8)
    page.paragraph(MARGIN, INNER, "; ".join(_slice_facts(analysis)) + ".", 8, colour=QUIET)


def _slice_facts(analysis: Analysis) -> list[str]:
    item, info = analysis.slice, analysis.slice.info
    unit = "Hounsfield units" if item.unit == "HU" else f"grey levels of {info.bits} bits"
    known = [f"{info.format}, {unit}", f"{item.rows} rows, {item.columns} columns"]
    if info.spacing:
        known.append(f"pixels of {info.spacing[0]:.3g} x {info.spacing[1]:.3g} mm")
    if info.thickness:
        known.append(f"slice thickness {info.thickness:.3g} mm")
    if info.dropped:
        known.append(f"{len(info.dropped)} identifying attributes of the file left behind")
    inside = [share.inside_lungs for share in analysis.maps if share.inside_lungs is not None]
    if len(analysis.maps) == 1 and inside:
        known.append(f"{facts.percent(inside[0])} of the attention inside the lungs")
    if len(analysis.maps) == 1 and (tested := facts.faithfulness_of(analysis.maps[0])):
        known.append(tested)
    return known


def _models(page: Page, analysis: Analysis, cards: Sequence[ModelCard]) -> None:
    page.heading("Models, weights and thresholds")
    known = {item.model: item for item in facts.provenances(analysis, cards)}
    rows = [["Model", "SHA-256 of the weights", "Level", "Excluded below *"]]
    for prediction in facts.spoken(analysis):
        item = known.get(prediction.model, facts.Provenance(prediction.model))
        digest = "as above" if item.model == ENSEMBLE else item.weights_sha256 or "not stated"
        level = facts.percent(item.calibration.level) if item.calibration else "not stated"
        thresholds = item.calibration.thresholds.values() if item.calibration else ()
        rows.append(
            [facts.title_of(item.model), digest, level, " / ".join(map(facts.percent, thresholds)) or "not stated"]
        )
    page.table([MARGIN, MARGIN + 96, MARGIN + 348, MARGIN + 396], rows, 7.5, mono=1)
    note = (
        f"* The probability of {', '.join(LABELS)} below which that class is excluded, set on slices not learnt from."
    )
    if analysis.prediction:
        note += f" Computed in {facts.ARITHMETIC[analysis.prediction.precision]}."
    page.paragraph(MARGIN, INNER, note, 7, colour=QUIET)


def _item(page: Page, text: str, size: float) -> None:
    page.text(MARGIN, page.y + LEADING * size - 0.28 * size, "\u00b7", size, bold=True, colour=QUIET)
    page.paragraph(MARGIN + 9, INNER - 9, text, size, most=MOST_LINES)


def _foot(page: Page) -> None:
    page.box(MARGIN, FOOT - 12, INNER, 0.6, LINE)
    text = (
        "Of the file, only its pixels and the facts above are here: no name, no id, no date. "
        "Text inside a picture is not looked for."
    )
    page.text(MARGIN, FOOT, text, 7, colour=QUIET)
    page.text(MARGIN + INNER, FOOT, "Page 1 of 1", 7, colour=QUIET, right=True)
