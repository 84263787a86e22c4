"""The endpoints for programs: ``/analyse``, ``/analyse_series``, ``/models``. All else on the page is private."""

from __future__ import annotations

import time
from collections.abc import Callable
from inspect import signature
from typing import TYPE_CHECKING, Any

import gradio as gr

from lungapp import report
from lungapp.batching import AT_ONCE, SERIES_AT_ONCE
from lungapp.engine import cards_of
from lungapp.errors import UnreadableInput
from lungapp.methods import DEFAULT_METHOD, available_methods
from lungapp.reading import FORMATS, read_slice, read_study
from lungapp.report import facts
from lungapp.results import SeriesAnalysis
from lungapp.series import summarise
from lungapp.settings import Settings
from lungapp.slices import SetAside, Study
from lungapp.texts import joined, mark
from lungapp.ui.answers import analysed
from lungapp.ui.fair_queue import while_wanted
from lungapp.ui.messages import to_gradio_error
from lungapp.ui.uploads import Upload, hand_out
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
        faithfulness: bool,
        failing_maps: bool,
        request: gr.Request,
    ) -> tuple[dict[str, Any], str]:
        try:
            if file is None:
                raise UnreadableInput("Expected a file. Received: nothing.")
            with Upload([file]) as upload:
                item = read_slice(upload.files[0], settings.limits, int(slice_number) or None)
            flags = (bool(override), bool(faithfulness), bool(failing_maps))
            told, picture = analysed(engine, item, model, target, method, *flags)
            return told, str(hand_out(vault.folder(_visitor(request)), "overlay.png", picture))
        except Exception as error:  # every failure becomes a message; the server lives on
            raise to_gradio_error(error) from None

    def analyse_series(
        files: list[str] | None, model: str, override: bool, request: gr.Request
    ) -> tuple[dict[str, Any], str]:
        try:
            if not files:
                raise UnreadableInput("Expected files. Received: nothing.")
            with Upload(files) as upload:
                series = _series(engine, read_study(upload.files, settings.limits), model, bool(override))
            created = facts.now()
            table = report.series_to_csv(series, cards_of(engine), created)
            file = hand_out(vault.folder(_visitor(request)), "lungapp-series.csv", table.encode())
            return report.series_to_json(series, cards_of(engine), created), str(file)
        except Exception as error:
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
            gr.Textbox(
                DEFAULT_METHOD, label=f"Explanation method: {', '.join(entry.name for entry in available_methods())}"
            ),
            gr.Checkbox(False, label="Score a slice that the input check rejects; every output then says so"),
            gr.Number(0, precision=0, label="Which slice, from 1, where the file holds several; 0: the middle one"),
            gr.Checkbox(False, label="Measure whether the map marks what the score relied on; some tenths of a second"),
            gr.Checkbox(False, label="Show a map that failed that measurement all the same"),
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
            concurrency_limit=AT_ONCE,
        )
        _describe(analyse, inputs)
        many = [
            gr.File(label="The slices of a series, or a ZIP of them", type="filepath", file_count="multiple"),
            gr.Textbox(settings.default_model, label='Model name, or "all"'),
            gr.Checkbox(False, label="Score slices that the input check rejects; their rows then say so"),
        ]
        gr.Button().click(
            analyse_series,
            many,
            [gr.JSON(label="Series"), gr.File(label="One row a slice, as CSV")],
            api_name="analyse_series",
            api_description="Score every slice of the longest series in the files. A slice that cannot be scored is a "
            "row that says why. The aggregate is not validated on patients.",
            concurrency_id="series",
            concurrency_limit=SERIES_AT_ONCE,
        )
        _describe(analyse_series, many)
        gr.Button().click(
            models, None, cards, api_name="models", api_description="The model cards: data, calibration and metrics."
        )


def _describe(endpoint: Callable[..., Any], inputs: list[Any]) -> None:
    """Give an endpoint's parameters the words of its components: an MCP client is told what stands in its docstring."""
    names = [name for name in signature(endpoint).parameters if name != "request"]  # which Gradio hands in itself
    rows = (f"    {name}: {part.label}" for name, part in zip(names, inputs, strict=True))
    endpoint.__doc__ = "\n".join(["Parameters:", *rows])


def _series(engine: Engine, study: Study, model: str, override: bool) -> SeriesAnalysis:
    """The longest series of ``study``, scored; other series are set aside. Raises `UnreadableInput` for none."""
    if not study.series:
        raise UnreadableInput(joined([*dict.fromkeys(item.reason for item in study.set_aside)]))
    chosen, *others = study.series
    started = time.perf_counter()
    rows = list(while_wanted(engine.analyse_series(chosen.entries, model, override=override)))
    beside = [
        SetAside(other.title, mark("Another series; the one with the most slices was scored.")) for other in others
    ]
    return summarise(rows, len(chosen.entries), model, started, (*study.set_aside, *beside))


def _visitor(request: gr.Request) -> str:
    return request.request.scope["lungapp.visitor"] if request.request else ""
