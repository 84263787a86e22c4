"""The analysis tab: a slice goes in, a class, its probabilities and the model's attention come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from lungapp.reading import Limits, read_slice
from lungapp.registry import LABELS, MODELS, ModelSpec
from lungapp.rendering import DEFAULT_OPACITY
from lungapp.settings import Settings
from lungapp.slices import Slice
from lungapp.ui import panels
from lungapp.ui.examples import Example, find_examples
from lungapp.ui.messages import explain
from lungapp.ui.models import Records

if TYPE_CHECKING:
    from lungapp.engine import Engine

SET_OPACITY = "(percent) => document.documentElement.style.setProperty('--la-opacity', percent / 100)"
"""The overlay is blended by the browser, so moving the slider costs no request."""

SHOW_ANSWER = "() => { if (innerWidth < 700) document.getElementById('la-answer').scrollIntoView(); }"
"""On a phone the answer lies below the fold."""

OTHER_FILE = "Please upload one axial chest CT slice as PNG, JPEG, TIFF, BMP or DICOM."
OTHER_MODEL = "The slice itself was read. You can pick another model."

MEMORY_SECONDS = 3600
"""How long a session's slice is kept in memory after its last use."""


@dataclass(frozen=True, eq=False)
class Opened:
    """What came of the last upload: a slice, or the problem with it. Compared by identity, so each one is news."""

    item: Slice | None = None
    problem: str = ""


def build_analyse_tab(engine: Engine, settings: Settings, examples: Path, records: Records) -> None:
    """Lay out the tab inside the current Blocks. ``records`` holds the model cards' data by model name."""
    opened = gr.State(None, time_to_live=MEMORY_SECONDS)
    with gr.Row(elem_id="la-desk"):
        with gr.Column(scale=2, min_width=280, elem_classes="la-side"):
            # No file types: clinical DICOM often has no extension, and the bytes are judged anyway.
            file = gr.File(
                label="CT slice (PNG, JPEG, TIFF, BMP or DICOM)", type="binary", height=170, elem_id="la-file"
            )
            choices = [(_describe(spec, records), spec.name) for spec in MODELS]
            model = gr.Radio(choices, value=settings.default_model, label="Model", elem_id="la-model")
            button = gr.Button("Analyse", variant="primary", elem_id="la-button")
            _build_examples(find_examples(examples), file)
        with gr.Column(scale=5, min_width=280, elem_classes="la-main"):
            answer = gr.HTML(panels.empty(), elem_id="la-answer")
            pictures = gr.HTML("", elem_id="la-pictures")
            with gr.Row(visible=False, elem_id="la-map") as controls:
                targets = [("Predicted", "predicted"), *((label.capitalize(), label) for label in LABELS)]
                target = gr.Radio(targets, value="predicted", label="Class to explain", scale=3, min_width=250)
                opacity = gr.Slider(
                    0, 100, round(100 * DEFAULT_OPACITY), step=5, label="Overlay opacity (%)", scale=2, min_width=220
                )
    outputs = [answer, pictures, controls]
    opacity.change(None, opacity, None, js=SET_OPACITY, api_visibility="private")
    opened.change(None, js=SHOW_ANSWER, api_visibility="private")
    file.change(
        lambda data: (open_upload(data, settings.limits), *_shown(panels.loading() if data else panels.empty())),
        file,
        [opened, *outputs],
        show_progress="hidden",
        api_visibility="private",
    )
    # One dependency for all that asks the model again: the browser then keeps their order and drops all but the last.
    gr.on(
        [opened.change, model.change, target.change, button.click],
        _analyser(engine, records),
        [opened, model, target],
        outputs,
        trigger_mode="always_last",
        show_progress="minimal",
        concurrency_id="model",
        api_visibility="private",
    )


def _describe(spec: ModelSpec, records: Records) -> str:
    return f"{spec.title}: {spec.summary}" + ("" if spec.name in records else " Not available: no weights here.")


def open_upload(data: bytes | None, limits: Limits) -> Opened:
    """Read the bytes of an upload; whatever is wrong with them becomes words."""
    if data is None:
        return Opened()
    try:
        return Opened(read_slice(data, limits))
    except Exception as error:  # the page must live on, whatever a file does to a decoder
        return Opened(problem=explain(error))


def _analyser(engine: Engine, records: Records) -> Callable[..., tuple[Any, ...]]:
    def answer(opened: Opened | None, model: str, target: str) -> tuple[Any, ...]:
        if opened is None or opened.item is None:
            return _shown(panels.failure(opened.problem, OTHER_FILE) if opened and opened.problem else panels.empty())
        try:
            analysis = engine.analyse(opened.item, model, target)
            activation = analysis.maps[0] if analysis.maps else None
            card = panels.answer(analysis, records.get(analysis.prediction.model) if analysis.prediction else None)
            return _shown(card, panels.pictures(opened.item, activation), has_map=activation is not None)
        except Exception as error:  # as above; the slice stays, so that another model can be asked
            return _shown(panels.failure(explain(error), OTHER_MODEL), panels.pictures(opened.item))

    return answer


def _shown(answer: str, pictures: str = "", has_map: bool = False) -> tuple[Any, ...]:
    return answer, pictures, gr.update(visible=has_map)


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
                lambda path=str(example.path): path, None, file, show_progress="hidden", api_visibility="private"
            )
