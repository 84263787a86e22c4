"""The endpoints for programs: ``/analyse`` and ``/models``. Everything else on the page is private."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from lungapp import report
from lungapp.errors import UnreadableInput
from lungapp.reading import read_slice
from lungapp.rendering import render_grey, render_overlay
from lungapp.results import Analysis
from lungapp.settings import Settings
from lungapp.ui.messages import to_gradio_error

if TYPE_CHECKING:
    from lungapp.engine import Engine


def build_api(engine: Engine, settings: Settings) -> None:
    """Add the endpoints to the current Blocks, on components that are never shown."""

    def analyse(file: bytes | None, model: str, target: str, method: str) -> tuple[dict[str, Any], np.ndarray]:
        try:
            if file is None:
                raise UnreadableInput("Expected a file. Received: nothing.")
            analysis = engine.analyse(read_slice(file, settings.limits), model, target, method)
            return report.to_json(analysis), overlay_of(analysis)
        except Exception as error:  # every failure becomes a message; the server lives on
            raise to_gradio_error(error) from None

    def models() -> list[dict[str, Any]]:
        try:
            return [card.data for card in engine.cards()]
        except Exception as error:
            raise to_gradio_error(error) from None

    with gr.Row(visible=False):
        inputs = [
            gr.File(label="One axial CT slice: PNG, JPEG, TIFF, BMP or DICOM", type="binary"),
            gr.Textbox(settings.default_model, label='Model name, or "all"'),
            gr.Textbox("predicted", label='Class to explain: "predicted", or a label'),
            gr.Textbox("gradcam", label="Explanation method"),
        ]
        overlay = gr.Image(label="Slice with the model's attention", format="png", sources=["upload"], buttons=[])
        outputs = [gr.JSON(label="Analysis"), overlay]
        cards = gr.JSON(label="Model cards")
        gr.Button().click(
            analyse,
            inputs,
            outputs,
            api_name="analyse",
            api_description="Score one slice and show where the model looked. A rejected slice has no probabilities.",
            concurrency_id="model",
        )
        gr.Button().click(
            models, None, cards, api_name="models", api_description="The model cards: data, calibration and metrics."
        )


def overlay_of(analysis: Analysis) -> np.ndarray:
    """(rows, columns, 3) uint8: the slice, with the mean of the analysis' activation maps over it if it has any."""
    grey = render_grey(analysis.slice)
    if not analysis.maps:
        return grey
    return render_overlay(grey, np.mean([item.values for item in analysis.maps], axis=0))
