"""The row under an answer from which a report is taken away. Files are made when asked for and never touch the disk.

A click makes the file in memory; it reaches the browser inside the page's own answer, where a few lines of script hand
it over as a download. The link that then stands on the page does the same without script.
"""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any

import gradio as gr

from lungapp import report
from lungapp.cards import ModelCard
from lungapp.report import facts
from lungapp.results import Analysis
from lungapp.texts import mark
from lungapp.ui import shelf
from lungapp.ui.language import say_html
from lungapp.ui.messages import explain
from lungapp.ui.models import Records
from lungapp.ui.translated import composed

MEMORY_SECONDS = 3600
"""How long a session's analysis is kept in memory after its last use."""

GONE = mark("This analysis is no longer in memory. Please analyse the slice again.")

SAVE = """(html) => {
    const ready = new DOMParser().parseFromString(html || "", "text/html").querySelector("a[download]");
    if (!ready) return;
    const [head, data] = ready.getAttribute("href").split(",");
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: head.slice(5).split(";")[0] }));
    link.download = ready.download;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}"""
"""Hands the file in the link over as a download; a data URI alone is refused by some browsers on phones."""


@dataclass(eq=False)
class Ready:
    """An analysis with its time and its new identifiers, so that all files made of it agree, until it is let go."""

    analysis: Analysis
    created: datetime = field(default_factory=facts.now)
    ids: report.Ids = field(default_factory=report.Ids)
    is_gone: bool = False

    def __post_init__(self) -> None:
        shelf.results.put(self, _bytes_of(self.analysis))

    def let_go(self) -> None:
        self.is_gone = True
        del self.analysis


def _bytes_of(analysis: Analysis) -> int:
    return analysis.slice.pixels.nbytes + sum(one.values.nbytes for one in analysis.maps)


@dataclass(frozen=True)
class Form:
    """One kind of file: the button's words, the file's neutral name, its media type, and how its bytes are made.

    ``make`` is given what there is to take away, a `Ready` for an analysis, and the model cards.
    """

    title: str
    name: str
    media: str
    make: Callable[[Any, Sequence[ModelCard]], bytes]
    dicom: bool = False


def _json(ready: Ready, cards: Sequence[ModelCard]) -> bytes:
    return json.dumps(report.to_json(ready.analysis, None, cards, ready.created), indent=2).encode()


def _csv(ready: Ready, cards: Sequence[ModelCard]) -> bytes:
    return report.to_csv([ready.analysis], cards, created=ready.created).encode()


def _secondary_capture(ready: Ready, cards: Sequence[ModelCard]) -> bytes:
    from lungapp.report.dicom import to_secondary_capture

    return to_secondary_capture(ready.analysis, ready.ids, ready.created)


def _structured_report(ready: Ready, cards: Sequence[ModelCard]) -> bytes:
    from lungapp.report.dicom import to_structured_report

    return to_structured_report(ready.analysis, cards, ready.ids, ready.created)


def _zip(ready: Ready, cards: Sequence[ModelCard]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for form in FORMS:
            if form.dicom <= has_dicom(ready.analysis):
                entry = zipfile.ZipInfo(form.name, ready.created.timetuple()[:6])
                archive.writestr(entry, form.make(ready, cards), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


DICOM = "application/dicom"
FORMS = (
    Form(
        mark("PDF report"),
        "lungapp-report.pdf",
        "application/pdf",
        lambda r, c: report.to_pdf(r.analysis, c, r.created),
    ),
    Form("JSON", "lungapp-analysis.json", "application/json", _json),
    Form("CSV", "lungapp-analysis.csv", "text/csv", _csv),
    Form(mark("Overlay PNG"), "lungapp-overlay.png", "image/png", lambda r, c: report.to_overlay_png(r.analysis)),
    Form(mark("DICOM overlay"), "lungapp-secondary-capture.dcm", DICOM, _secondary_capture, dicom=True),
    Form(mark("DICOM report"), "lungapp-structured-report.dcm", DICOM, _structured_report, dicom=True),
)
ALL = Form(mark("All as ZIP"), "lungapp-report.zip", "application/zip", _zip)


@dataclass(frozen=True, eq=False)
class Downloads:
    """The row's components; what `offer` returns belongs into ``outputs``."""

    ready: gr.State
    row: gr.Column
    dicom: tuple[gr.Button, ...]
    saved: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        return [self.ready, self.row, *self.dicom, self.saved]


def has_dicom(analysis: Analysis) -> bool:
    """Whether DICOM objects can be made of ``analysis``: of a scored DICOM slice without text in its picture."""
    info = analysis.slice.info
    return info.format == "DICOM" and not info.burned_in and analysis.prediction is not None


def offer(analysis: Analysis | None) -> tuple[Any, ...]:
    """Values for `Downloads.outputs`: the row for ``analysis``, or none. What was saved before is forgotten."""
    dicom = analysis is not None and has_dicom(analysis)
    buttons = [gr.update(visible=dicom) for form in FORMS if form.dicom]
    return Ready(analysis) if analysis else None, gr.update(visible=analysis is not None), *buttons, ""


def build_downloads(records: Records) -> Downloads:
    """Lay out the row inside the current Blocks, hidden until there is something to take away.

    ``records`` holds the model cards' data by model name.
    """
    cards = [ModelCard(data) for data in records.values()]
    ready = gr.State(None, time_to_live=MEMORY_SECONDS)
    with gr.Column(visible=False, elem_id="la-take") as row:
        gr.HTML(composed(lambda: f'<h2 class="la-heading">{say_html("Save the results")}</h2>'))
        with gr.Row():
            buttons = {
                form.name: gr.Button(form.title, size="sm", scale=0, min_width=118, visible=not form.dicom)
                for form in (*FORMS, ALL)
            }
        saved = gr.HTML("", elem_id="la-saved")
    for form in (*FORMS, ALL):
        buttons[form.name].click(
            lambda value, form=form: link_to(form, value, cards),
            ready,
            saved,
            show_progress="minimal",
            api_visibility="private",
        ).success(None, saved, None, js=SAVE, api_visibility="private")
    return Downloads(ready, row, tuple(buttons[form.name] for form in FORMS if form.dicom), saved)


def link_to(form: Form, ready: Any, cards: Sequence[ModelCard], gone: str = GONE) -> str:
    """The file made of ``ready`` as a link that holds it, or why there is none, as HTML."""
    if ready is None or ready.is_gone:
        return f'<p role="alert">{say_html(gone)}</p>'
    shelf.results.use(ready)
    try:
        data = base64.b64encode(form.make(ready, cards)).decode("ascii")
    except Exception as error:  # the page must live on
        return f'<p role="alert">{escape(explain(error))}</p>'
    link = f'<a download="{form.name}" href="data:{form.media};base64,{data}">{say_html("Save it again")}</a>'
    told = say_html("{file} was handed to your browser.", file=form.name)
    return f'<p role="status">{told} {link}</p>'
