"""The series tab: many slices go in; along the patient come out their scores, and which to look at first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import gradio as gr

from lungapp import report
from lungapp.batching import SERIES_AT_ONCE
from lungapp.cards import ModelCard
from lungapp.report import facts
from lungapp.results import SeriesAnalysis
from lungapp.settings import Settings
from lungapp.texts import mark
from lungapp.ui import panels, shelf
from lungapp.ui import series_panels as shown
from lungapp.ui.analyse import MEMORY_SECONDS, OTHER_FILE, Desk, is_warming, offered
from lungapp.ui.downloads import SAVE, Form, link_to
from lungapp.ui.language import say, say_html, unbroken
from lungapp.ui.messages import explain
from lungapp.ui.models import Records
from lungapp.ui.opened import Opened, close, open_upload
from lungapp.ui.series_run import Finished, Session, run_series
from lungapp.ui.series_table import SORT_AND_OPEN, table
from lungapp.ui.translated import composed

if TYPE_CHECKING:
    from lungapp.engine import Engine

ANALYSIS_TAB = "analysis"
"""The id of the tab in which a slice is opened."""

ALL_MODELS = mark("All models and their mean: about as long as all of them together.")
SHOW_STATUS = "() => { if (innerWidth < 700) document.getElementById('la-series-status').scrollIntoView(); }"
"""On a phone progress is told below the fold."""

TO_TOP = "() => { if (innerWidth >= 700) scrollTo(0, 0); }"
"""On a phone the analysis tab itself scrolls to its answer."""

GONE = mark("This series is no longer in memory. Please analyse it again.")
TRY_AGAIN = mark("The files were read. You can pick another model, or try again.")


@dataclass(eq=False)
class Ready:
    """What can be taken away and opened: a run's result, overlays as PNG by slice, and when it was made."""

    series: SeriesAnalysis
    overlays: dict[int, bytes]
    opened: Opened
    created: datetime = field(default_factory=facts.now)
    is_gone: bool = False

    def __post_init__(self) -> None:
        pictures = (row.thumbnail for row in self.series.rows if row.thumbnail is not None)
        shelf.results.put(self, sum(map(len, self.overlays.values())) + sum(picture.nbytes for picture in pictures))

    def let_go(self) -> None:
        self.is_gone, self.overlays = True, {}
        self.series = replace(self.series, rows=())


FORMS = (
    Form("CSV", "lungapp-series.csv", "text/csv", lambda r, c: report.series_to_csv(r.series, c, r.created).encode()),
    Form(
        mark("ZIP: CSV, JSON, overlays"),
        "lungapp-series.zip",
        "application/zip",
        lambda r, c: report.series_to_zip(r.series, r.overlays, c, r.created),
    ),
)


@dataclass(frozen=True, eq=False)
class Parts:
    """What a run changes, in the order of ``outputs``."""

    button: gr.Button
    cancel: gr.Button
    status: gr.HTML
    results: gr.Column
    chart: gr.HTML
    suspicious: gr.HTML
    strip: gr.HTML
    table: gr.HTML
    ready: gr.State
    saved: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        return list(vars(self).values())


def build_series_tab(engine: Engine, settings: Settings, records: Records, desk: Desk, tabs: gr.Tabs) -> None:
    """Lay out the tab inside the current Blocks; a slice that is clicked is laid on ``desk``, one of ``tabs``."""
    session = gr.State(None, time_to_live=MEMORY_SECONDS, delete_callback=_close)
    with gr.Row(elem_classes="la-desk"):
        with gr.Column(scale=2, min_width=280, elem_classes="la-side"):
            file = gr.File(
                label=mark("CT series: files or a ZIP"),
                type="filepath",
                file_count="multiple",
                height=170,
                elem_id="la-series-file",
            )
            which = gr.Dropdown([], label=mark("Which series"), visible=False, elem_id="la-series-which")
            choices = [*offered(records), (ALL_MODELS, "all")]
            model = gr.Radio(choices, value=settings.default_model, label=mark("Model"), elem_id="la-series-model")
            button = gr.Button(mark("Analyse series"), variant="primary", interactive=False, elem_id="la-series-button")
            cancel = gr.Button(mark("Cancel"), visible=False, elem_id="la-series-cancel")
        with gr.Column(scale=5, min_width=280, elem_classes="la-main"):
            status = gr.HTML(composed(shown.empty), elem_id="la-series-status")
            parts = _build_results(records, button, cancel, status)
    _wire(engine, settings, session, file, which, model, parts)
    pick = [parts.ready, desk.opened]
    into = [tabs, *desk.outputs]
    for part in (parts.suspicious, parts.strip, parts.table):
        opening = part.click(_opener(desk), pick, into, show_progress="hidden", api_visibility="private")
        opening.success(None, js=TO_TOP, api_visibility="private")


def _build_results(records: Records, button: gr.Button, cancel: gr.Button, status: gr.HTML) -> Parts:
    """What appears once a series was scored."""
    cards = [ModelCard(data) for data in records.values()]
    ready = gr.State(None, time_to_live=MEMORY_SECONDS)
    with gr.Column(visible=False, elem_id="la-series-results") as results:
        chart = gr.HTML("", elem_id="la-series-chart")
        suspicious = gr.HTML("", js_on_load=shown.OPEN, elem_id="la-suspicious")
        strip = gr.HTML("", js_on_load=shown.OPEN, elem_id="la-strip")
        table = gr.HTML("", js_on_load=SORT_AND_OPEN, elem_id="la-series-table")
        gr.HTML(composed(lambda: f'<h3 class="la-heading">{say_html("Save the results")}</h3>'))
        with gr.Row(elem_id="la-series-take"):
            takes = [gr.Button(form.title, size="sm", scale=0, min_width=200) for form in FORMS]
        saved = gr.HTML("", elem_id="la-series-saved")
    for form, take in zip(FORMS, takes, strict=True):
        take.click(
            lambda value, form=form: link_to(form, value, cards, GONE),
            ready,
            saved,
            show_progress="minimal",
            api_visibility="private",
        ).success(None, saved, None, js=SAVE, api_visibility="private")
    return Parts(button, cancel, status, results, chart, suspicious, strip, table, ready, saved)


def _wire(
    engine: Engine,
    settings: Settings,
    session: gr.State,
    file: gr.File,
    which: gr.Dropdown,
    model: gr.Radio,
    parts: Parts,
) -> None:
    file.change(
        lambda files, old: _uploaded(files, settings, old),
        [file, session],
        [session, which, *parts.outputs],
        show_progress="hidden",
        api_visibility="private",
    )
    parts.button.click(
        _runner(engine),
        [session, which, model],
        parts.outputs,
        trigger_mode="once",
        show_progress="hidden",
        concurrency_id="series",
        concurrency_limit=SERIES_AT_ONCE,
        api_visibility="private",
    )
    parts.button.click(None, js=SHOW_STATUS, api_visibility="private")
    parts.cancel.click(_cancel, session, parts.cancel, show_progress="hidden", queue=False, api_visibility="private")


def _uploaded(files: list[str] | None, settings: Settings, old: Session | None) -> tuple[Any, ...]:
    """Open an upload in place of the one before."""
    _close(old)
    opened = open_upload(files, settings.limits)
    series = opened.study.series if opened.study else ()
    if opened.problem:
        told = panels.failure(opened.problem, say(OTHER_FILE))
    elif not series:
        told = shown.empty()
    else:
        told = shown.waiting(opened.title, len(opened.entries), opened.notes if len(series) == 1 else ())
    titles = [(f"{place}. {say(one.title)}", place - 1) for place, one in enumerate(series, start=1)]
    choice = gr.update(choices=titles, value=0 if series else None, visible=len(series) > 1)
    return Session(opened), choice, *_state(told, ready=bool(series))


def _runner(engine: Engine) -> Callable[..., Iterator[tuple[Any, ...]]]:
    def answer(session: Session | None, place: int | None, model: str) -> Iterator[tuple[Any, ...]]:
        if session is None or not session.opened.entries:
            yield _state(shown.empty())
            return
        total = len(session.opened.pick(place or 0).entries)
        try:
            yield _state(shown.progress(0, total, is_warming(engine)), running=True)
            for step in run_series(engine, session, place or 0, model):
                if isinstance(step, Finished):
                    yield _finished(step)
                else:
                    yield _state(shown.progress(step, total), running=True)
        except Exception as error:  # the page must live on, and the upload with it
            yield _state(panels.failure(explain(error), say(TRY_AGAIN)), ready=True)

    return answer


def _state(told: str, ready: bool = False, running: bool = False) -> tuple[Any, ...]:
    """Values for `Parts.outputs` while there is no result."""
    button, cancel = gr.update(interactive=ready and not running), gr.update(visible=running, interactive=running)
    return button, cancel, told, gr.update(visible=False), "", "", "", "", None, ""


def _finished(done: Finished) -> tuple[Any, ...]:
    """Values for `Parts.outputs` with a result."""
    series = done.series
    overlays = {row.number: report.to_overlay_png(analysis) for row, analysis in done.suspicious}
    return (
        gr.update(interactive=True),
        gr.update(visible=False),
        unbroken(shown.summary(series, done.opened.notes)),
        gr.update(visible=True),
        *map(unbroken, (shown.chart(series), shown.most_suspicious(done.suspicious), shown.strip(series))),
        unbroken(table(series)),
        Ready(series, overlays, done.opened),
        "",
    )


def _cancel(session: Session | None) -> Any:
    if session:
        session.stop.set()
    return gr.update(interactive=False)


def _opener(desk: Desk) -> Callable[..., tuple[Any, ...]]:
    """Opens the slice that was clicked on ``desk``."""

    def open_slice(ready: Ready | None, old: Opened | None, event: gr.EventData) -> tuple[Any, ...]:
        number = getattr(event, "slice", None)
        if ready is None or ready.is_gone or not isinstance(number, int):
            return gr.skip(), *(gr.skip() for _ in desk.outputs)
        close(old)
        return gr.update(selected=ANALYSIS_TAB), *desk.lay(ready.opened.lend(number), ready.series.model)

    return open_slice


def _close(session: Session | None) -> None:
    if session:
        session.close()
