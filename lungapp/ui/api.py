"""The endpoints for programs: ``/analyse`` and ``/models``. Everything else on the page is private."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from lungapp import report
from lungapp.cards import ModelCard
from lungapp.errors import UnreadableInput
from lungapp.reading import FORMATS, read_slice
from lungapp.rendering import to_png
from lungapp.settings import Settings
from lungapp.ui.messages import to_gradio_error
from lungapp.ui.uploads import Upload
from lungapp.ui.vault import vault

if TYPE_CHECKING:
    from lungapp.engine import Engine


def build_api(engine: Engine, settings: Settings) -> None:
    """Add the endpoints to the current Blocks, on components that are never shown."""

    def analyse(
        file: str | None,
        model: str,
        target: str,
        method: str,
        override: bool,
        slice_number: float,
        request: gr.Request,
    ) -> tuple[dict[str, Any], str]:
        from lungapp.report.picture import shown_overlay  # it draws; the page's start need not wait for that

        try:
            if file is None:
                raise UnreadableInput("Expected a file. Received: nothing.")
            with Upload([file]) as upload:
                item = read_slice(upload.files[0], settings.limits, int(slice_number) or None)
            analysis = engine.analyse(item, model, target, method, bool(override))
            overlay = vault.folder(_visitor(request)) / "overlay.png"
            overlay.write_bytes(to_png(shown_overlay(analysis)))
            return report.to_json(analysis, cards=_cards(engine)), str(overlay)
        except Exception as error:  # every failure becomes a message; the server lives on
            raise to_gradio_error(error) from None

    def models() -> list[dict[str, Any]]:
        try:
            return [card.data for card in engine.cards()]
        except Exception as error:
            raise to_gradio_error(error) from None

    with gr.Row(visible=False):
        inputs = [
            gr.File(label=f"Axial CT: {FORMATS}, or a ZIP of them", type="filepath"),
            gr.Textbox(settings.default_model, label='Model name, or "all"'),
            gr.Textbox("predicted", label='Class to explain: "predicted", or a label'),
            gr.Textbox("gradcam", label="Explanation method"),
            gr.Checkbox(False, label="Score a slice that the input check rejects; every output then says so"),
            gr.Number(0, precision=0, label="Which slice, from 1, where the file holds several; 0: the middle one"),
        ]
        picture = gr.Image(label="Slice with the model's attention", format="png", sources=["upload"], buttons=[])
        outputs = [gr.JSON(label="Analysis"), picture]
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


def _cards(engine: Engine) -> list[ModelCard]:
    return [*engine.cards(), *filter(None, [engine.ensemble_card()])]


def _visitor(request: gr.Request) -> str:
    return request.request.scope["lungapp.visitor"] if request.request else ""
