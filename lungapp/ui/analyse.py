"""The analysis tab: a slice goes in, a class, its probabilities and the model's attention come out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from lungapp.reading import FORMATS
from lungapp.registry import LABELS, MODELS, ModelSpec
from lungapp.rendering import DEFAULT_OPACITY
from lungapp.results import Analysis
from lungapp.settings import Settings
from lungapp.ui import panels
from lungapp.ui.downloads import build_downloads, offer
from lungapp.ui.examples import Example, find_examples
from lungapp.ui.messages import explain
from lungapp.ui.models import Records
from lungapp.ui.opened import Opened, close, open_upload

if TYPE_CHECKING:
    from lungapp.engine import Engine

SET_OPACITY = "(percent) => document.documentElement.style.setProperty('--la-opacity', percent / 100)"
"""The overlay is blended by the browser, so moving the slider costs no request."""

SHOW_ANSWER = "() => { if (innerWidth < 700) document.getElementById('la-answer').scrollIntoView(); }"
"""On a phone the answer lies below the fold."""

FILE_LABEL = "CT slice, series or ZIP"
INSIST = "Score it all the same"
OTHER_FILE = f"Please upload axial chest CT as {FORMATS}, or a ZIP of it."
OTHER_MODEL = "The slice itself was read. You can pick another model."

MEMORY_SECONDS = 3600
"""How long a session's slice is kept in memory after its last use."""


def build_analyse_tab(engine: Engine, settings: Settings, examples: Path, records: Records) -> None:
    """Lay out the tab inside the current Blocks. ``records`` holds the model cards' data by model name."""
    opened = gr.State(None, time_to_live=MEMORY_SECONDS, delete_callback=close)
    insisted = gr.State("")
    with gr.Row(elem_id="la-desk"):
        with gr.Column(scale=2, min_width=280, elem_classes="la-side"):
            # No file types: clinical DICOM often has no extension, and the bytes are judged anyway.
            file = gr.File(label=FILE_LABEL, type="filepath", file_count="multiple", height=170, elem_id="la-file")
            choices = [(_describe(spec, records), spec.name) for spec in MODELS]
            model = gr.Radio(choices, value=settings.default_model, label="Model", elem_id="la-model")
            button = gr.Button("Analyse", variant="primary", elem_id="la-button")
            _build_examples(find_examples(examples), file)
        with gr.Column(scale=5, min_width=280, elem_classes="la-main"):
            answer = gr.HTML(panels.empty(), elem_id="la-answer")
            insist = gr.Button(INSIST, visible=False, size="sm", elem_id="la-insist")
            number = gr.Slider(1, 2, 1, step=1, label="Slice", visible=False, elem_id="la-number")
            pictures = gr.HTML("", elem_id="la-pictures")
            with gr.Row(visible=False, elem_id="la-map") as controls:
                targets = [("Predicted", "predicted"), *((label.capitalize(), label) for label in LABELS)]
                target = gr.Radio(targets, value="predicted", label="Class to explain", scale=3, min_width=250)
                opacity = gr.Slider(
                    0, 100, round(100 * DEFAULT_OPACITY), step=5, label="Overlay opacity (%)", scale=2, min_width=220
                )
            downloads = build_downloads(records)
    outputs = [answer, pictures, controls, insist, *downloads.outputs]
    opacity.change(None, opacity, None, js=SET_OPACITY, api_visibility="private")
    opened.change(None, js=SHOW_ANSWER, api_visibility="private")
    file.change(
        lambda files, old: _opened(open_upload(files, settings.limits, old), bool(files), engine),
        [file, opened],
        [opened, number, *outputs],
        show_progress="hidden",
        api_visibility="private",
    )
    insist.click(
        lambda opened, number: opened.key(number) if opened else "",
        [opened, number],
        insisted,
        show_progress="hidden",
        api_visibility="private",
    )
    # One dependency for all that asks the model again: the browser then keeps their order and drops all but the last.
    # The slider asks when it is moved by hand, not when a new upload sets it.
    gr.on(
        [opened.change, number.input, model.change, target.change, button.click, insisted.change],
        _analyser(engine, records),
        [opened, number, model, target, insisted],
        outputs,
        trigger_mode="always_last",
        show_progress="minimal",
        concurrency_id="model",
        api_visibility="private",
    )


def _describe(spec: ModelSpec, records: Records) -> str:
    return f"{spec.title}: {spec.summary}" + ("" if spec.name in records else " Not available: no weights here.")


def _opened(opened: Opened, loading: bool, engine: Engine) -> tuple[Any, ...]:
    """What a new upload changes at once: the slider over its slices, and a card that says that work is going on."""
    count = len(opened.entries)
    title = f"Slice ({opened.title})" if count > 1 else "Slice"
    slider = gr.update(maximum=max(2, count), value=opened.first, visible=count > 1, label=title)
    return opened, slider, *_shown(panels.loading(is_warming(engine)) if loading else panels.empty())


def is_warming(engine: Engine) -> bool:
    """Whether an analysis may have to wait for a model."""
    return any(state == "loading" for state, _ in engine.states().values())


def _analyser(engine: Engine, records: Records) -> Callable[..., tuple[Any, ...]]:
    def answer(opened: Opened | None, number: int, model: str, target: str, insisted: str) -> tuple[Any, ...]:
        if opened is None or not opened.entries:
            return _shown(panels.failure(opened.problem, OTHER_FILE) if opened and opened.problem else panels.empty())
        item = None
        try:
            item = opened.read(number)
            analysis = engine.analyse(item, model, target, override=insisted == opened.key(number))
            activation = analysis.maps[0] if analysis.maps else None
            card = panels.answer(analysis, records.get(analysis.prediction.model) if analysis.prediction else None)
            shown = panels.pictures(item, activation) + panels.background(analysis, opened.notes)
            return _shown(card, shown, analysis)
        except Exception as error:  # the page must live on; the slice stays, so that another model can be asked
            return _shown(panels.failure(explain(error), OTHER_MODEL), panels.pictures(item) if item else "")

    return answer


def _shown(answer: str, pictures: str = "", analysis: Analysis | None = None) -> tuple[Any, ...]:
    has_map = bool(analysis and analysis.maps)
    refused = bool(analysis and not analysis.prediction)
    return answer, pictures, gr.update(visible=has_map), gr.update(visible=refused), *offer(analysis)


def _build_examples(examples: list[Example], file: gr.File) -> None:
    if not examples:
        return
    with gr.Column(elem_id="la-examples"):
        gr.HTML('<h2 class="la-heading">Examples</h2>')
        for example in examples:
            # A data URI needs no file; Gradio takes file data here too, though its types do not say so.
            icon: Any = {"path": example.path.name, "url": example.thumbnail}
            button = gr.Button(example.title, icon=icon, size="sm")
            button.click(
                lambda path=str(example.path): [path], None, file, show_progress="hidden", api_visibility="private"
            )
