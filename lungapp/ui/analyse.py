"""The analysis tab: a slice goes in, a class, its probabilities and the model's attention come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from lungapp.batching import AT_ONCE
from lungapp.methods import DEFAULT_METHOD, WITHOUT_TENSORFLOW, Method, available_methods, get_method, has_tensorflow
from lungapp.reading import FORMATS
from lungapp.registry import LABELS, MODELS, ModelSpec
from lungapp.rendering import DEFAULT_OPACITY
from lungapp.results import Analysis
from lungapp.settings import Settings
from lungapp.similar import Neighbours
from lungapp.texts import Text, mark
from lungapp.turns import in_turn
from lungapp.ui import panels, viewer, words
from lungapp.ui.answers import tested_or_without
from lungapp.ui.downloads import Ready, build_downloads, offer
from lungapp.ui.examples import Example, find_examples, pick, recognise
from lungapp.ui.language import say, say_html, unbroken
from lungapp.ui.messages import explain
from lungapp.ui.models import Records
from lungapp.ui.neighbours import comparison
from lungapp.ui.opened import Opened, close, open_upload
from lungapp.ui.translated import composed
from lungapp.ui.words import capital

if TYPE_CHECKING:
    from lungapp.engine import Engine

SET_OPACITY = "(percent) => document.documentElement.style.setProperty('--la-opacity', percent / 100)"
"""The overlay is blended by the browser, so moving the slider costs no request."""

SHOW_ANSWER = "() => { if (innerWidth < 700) document.getElementById('la-answer').scrollIntoView(); }"
"""On a phone the answer lies below the fold."""

FILE_LABEL = mark("CT slice, series or ZIP")
INSIST = mark("Score it all the same")
OTHER_FILE = Text("Please upload axial chest CT as {formats}, or a ZIP of it.", formats=FORMATS)
OTHER_MODEL = mark("The slice itself was read. You can pick another model.")

PROGRESS = gr.Progress()
"""As a default value it makes Gradio show on the page how far a slow explanation is."""

MEMORY_SECONDS = 3600
"""How long a session's slice is kept in memory after its last use."""


@dataclass(frozen=True, eq=False)
class Desk:
    """What another part of the page needs to open a slice here: the values of `lay` belong into ``outputs``."""

    opened: gr.State
    outputs: list[Any]

    def lay(self, opened: Opened, model: str) -> tuple[Any, ...]:
        """Open ``opened`` at its first slice; ``model`` is the one to ask."""
        return None, model, *_opened(opened, loading=True)


def build_analyse_tab(engine: Engine, settings: Settings, examples: Path, records: Records) -> Desk:
    """Lay out the tab inside the current Blocks. ``records`` holds the model cards' data by model name."""
    opened = gr.State(None, time_to_live=MEMORY_SECONDS, delete_callback=close)
    insisted = gr.State("")
    with gr.Row(elem_id="la-desk"):
        with gr.Column(scale=2, min_width=280, elem_classes="la-side"):
            # No file types: clinical DICOM often has no extension, and the bytes are judged anyway.
            file = gr.File(label=FILE_LABEL, type="filepath", file_count="multiple", height=170, elem_id="la-file")
            choices = [*offered(records), (words.ALL_MODELS, "all")]
            model = gr.Radio(choices, value=settings.default_model, label=mark("Model"), elem_id="la-model")
            button = gr.Button(mark("Analyse"), variant="primary", elem_id="la-button")
            found = find_examples(examples)
            _build_examples(found, file, model)
        with gr.Column(scale=5, min_width=280, elem_classes="la-main"):
            answer = gr.HTML(composed(panels.empty), elem_id="la-answer")
            insist = gr.Button(INSIST, visible=False, size="sm", elem_id="la-insist")
            number = gr.Slider(1, 2, 1, step=1, label=mark("Slice"), visible=False, elem_id="la-number")
            pictures = gr.HTML("", js_on_load=viewer.SHOW_MAP, elem_id="la-pictures")
            tested = gr.HTML("", elem_id="la-tested")
            with gr.Row(visible=False, elem_id="la-map") as controls:
                targets = [
                    (mark("Predicted"), "predicted"),
                    *((composed(partial(capital, label)), label) for label in LABELS),
                ]
                target = gr.Radio(targets, value="predicted", label=mark("Class to explain"), scale=3, min_width=250)
                method = gr.Dropdown(
                    [(composed(partial(titled, entry)), entry.name) for entry in available_methods()],
                    value=DEFAULT_METHOD,
                    label=mark("Explanation"),
                    info=composed(partial(describe_method, DEFAULT_METHOD)),
                    elem_id="la-method",
                    filterable=False,
                    scale=3,
                    min_width=250,
                )
                opacity = gr.Slider(
                    0,
                    100,
                    round(100 * DEFAULT_OPACITY),
                    step=5,
                    label=mark("Overlay opacity (%)"),
                    scale=3,
                    min_width=250,
                )
            busy = gr.HTML("", elem_id="la-busy")
            downloads = build_downloads(records)
            background = gr.HTML("", elem_id="la-background")
    outputs = [answer, pictures, tested, controls, insist, background, *downloads.outputs]
    opacity.change(None, opacity, None, js=SET_OPACITY, api_visibility="private")
    opened.change(None, js=SHOW_ANSWER, api_visibility="private")
    method.change(
        lambda name: gr.update(info=describe_method(name)),
        method,
        method,
        show_progress="hidden",
        api_visibility="private",
    )
    file.change(
        lambda files, old: _uploaded(files, settings, old, engine),
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
    pictures.click(
        _switched,
        downloads.ready,
        [pictures, tested, *downloads.outputs],
        show_progress="hidden",
        api_visibility="private",
    )
    # One dependency for all that asks the model again: the browser then keeps their order and drops all but the last.
    # The slider asks when it is moved by hand, not when a new upload sets it.
    gr.on(
        [opened.change, number.input, model.change, target.change, method.change, button.click, insisted.change],
        _analyser(engine, records, Neighbours(settings.data) if settings.data else None, found),
        [opened, number, model, target, method, insisted],
        outputs,
        trigger_mode="always_last",
        show_progress="minimal",
        show_progress_on=[answer, pictures, tested, busy],
        concurrency_id="model",
        concurrency_limit=AT_ONCE,
        api_visibility="private",
    )

    def open_linked(request: gr.Request) -> tuple[Any, ...]:
        return _linked(found, str(request.query_params.get("example") or ""))

    gr.on(None, open_linked, None, [file, model, answer], show_progress="hidden", api_visibility="private")
    return Desk(opened, [file, model, opened, number, *outputs])


def _linked(examples: list[Example], name: str) -> tuple[Any, ...]:
    """File and model of the example that the page's address names, and the answer's place for words where it names
    none.
    """
    if not name:
        return gr.skip(), gr.skip(), gr.skip()
    example = pick(examples, name)
    if example is None:
        names = ", ".join(example.path.name for example in examples)
        return gr.skip(), gr.skip(), panels.failure(say(words.NO_EXAMPLE), say("There are: {names}.", names=names))
    return [str(example.path)], example.model or gr.skip(), gr.skip()


def _uploaded(files: list[str] | None, settings: Settings, old: Opened | None, engine: Engine) -> Any:
    """What a new upload, or none, changes; what another tab has laid here stays when it takes the old file away."""
    if not files and old and old.lent:
        return gr.skip()
    return _opened(open_upload(files, settings.limits, old), bool(files), is_warming(engine))


def offered(records: Records) -> list[tuple[str, str]]:
    """The models to choose from: what is shown of each, and its name."""
    return [(composed(partial(describe, spec, records)), spec.name) for spec in MODELS]


def describe(spec: ModelSpec, records: Records) -> str:
    """A model's name and nature in a line, and whether it can be asked."""
    said = say("{name}: {said}", name=spec.title, said=spec.summary)
    return said if spec.name in records else f"{said} {say('Not available: no weights here.')}"


def describe_method(name: str) -> str:
    """What stands below the choice of methods: the sentence of the one called ``name``, and why others are absent."""
    sentence = say(get_method(name).sentence)
    return sentence if has_tensorflow() else f"{sentence} {say(WITHOUT_TENSORFLOW)}"


def titled(method: Method) -> str:
    return say("{method} (slow)", method=method.title) if method.slow else say(method.title)


def _opened(opened: Opened, loading: bool, warming: bool = False) -> tuple[Any, ...]:
    """What a new upload changes at once: the slider over its slices, and a card that says that work is going on."""
    count = len(opened.entries)
    title = say("Slice ({series})", series=opened.title) if count > 1 else say(words.SLICE)
    slider = gr.update(maximum=max(2, count), value=opened.first, visible=count > 1, label=title)
    return opened, slider, *_shown(panels.loading(warming) if loading else panels.empty())


def is_warming(engine: Engine) -> bool:
    """Whether an analysis may have to wait for a model."""
    return any(state == "loading" for state, _ in engine.states().values())


def _analyser(
    engine: Engine, records: Records, neighbours: Neighbours | None = None, examples: Sequence[Example] = ()
) -> Callable[..., Iterator[tuple[Any, ...]]]:
    """Answers at once, and again with the map when it has been tested whether that marks what the model relied on.

    One call for both, so that no sentence about one map ever comes to stand under another.
    """

    def answer(
        opened: Opened | None,
        number: int,
        model: str,
        target: str,
        method: str,
        insisted: str,
        progress: gr.Progress = PROGRESS,
    ) -> Iterator[tuple[Any, ...]]:
        if opened is None or not opened.entries:
            yield _shown(
                panels.failure(opened.problem, say(OTHER_FILE)) if opened and opened.problem else panels.empty()
            )
            return
        item = None
        try:
            item = opened.read(number)
            tell = partial(progress, desc=get_method(method).title)
            override = insisted == opened.key(number)
            if engine.must_load(model, method):
                progress(0, desc=say("Loading TensorFlow, which takes some seconds after a start"))
            with in_turn(item.pixels.size):
                analysis = engine.analyse(item, model, target, method, override, tell)
                example = recognise(examples, opened.upload.files if opened.upload else ())
                shown = _answered(analysis, records, opened.notes, neighbours, example)
            yield shown
            if analysis.maps:
                yield _again(tested_or_without(engine, analysis))
        except Exception as error:  # the page must live on; the slice stays, so that another model can be asked
            advice = say(OTHER_MODEL if item else OTHER_FILE)
            yield _shown(panels.failure(explain(error), advice), viewer.pictures(item) if item else "")

    return answer


def _answered(
    analysis: Analysis,
    records: Records,
    notes: tuple[str, ...],
    neighbours: Neighbours | None,
    example: Example | None,
) -> tuple[Any, ...]:
    card = (example.note() if example else "") + panels.answer(analysis, records)
    pictures = viewer.pictures(analysis.slice, analysis.maps, testing=True)
    compared = comparison(analysis.slice, neighbours) if analysis.predictions else ""
    return _shown(card, pictures, compared + panels.background(analysis, notes), analysis)


def _again(analysis: Analysis) -> tuple[Any, ...]:
    """What the test of the maps changes; only now is there a report, so that none has a map that was not tested."""
    stay = gr.skip()
    pictures, tested, *rest = _with_maps(analysis)
    return stay, pictures, tested, stay, stay, stay, *rest


def _switched(ready: Ready | None, event: gr.EventData) -> tuple[Any, ...]:
    """Shows the map of the model whose button was clicked although it failed its test, or hides it again."""
    model = getattr(event, "model", None)
    chosen = [item for item in ready.analysis.maps if item.model == model] if ready else []
    if not ready or not chosen:
        return tuple(gr.skip() for _ in range(2 + len(offer(None))))
    return _with_maps(ready.analysis.insist(model, not chosen[0].insisted))


def _with_maps(analysis: Analysis) -> tuple[Any, ...]:
    """Pictures, what the test of the maps gave, and what can be taken away."""
    tested = viewer.tested(analysis.maps)
    if analysis.prediction and not analysis.maps:
        tested = f'<p class="la-tested la-unsupported">{say_html(words.UNTESTED)}</p>'
    return *map(unbroken, (viewer.pictures(analysis.slice, analysis.maps), tested)), *offer(analysis)


def _shown(answer: str, pictures: str = "", background: str = "", analysis: Analysis | None = None) -> tuple[Any, ...]:
    has_map, refused = bool(analysis and analysis.maps), bool(analysis and not analysis.prediction)
    controls, insist = gr.update(visible=has_map), gr.update(visible=refused)
    answer, pictures, background = map(unbroken, (answer, pictures, background))
    return answer, pictures, "", controls, insist, background, *offer(None if has_map else analysis)


def _build_examples(examples: list[Example], file: gr.File, model: gr.Radio) -> None:
    if not examples:
        return
    with gr.Column(elem_id="la-examples"):
        gr.HTML(composed(lambda: f'<h2 class="la-heading">{say_html("Examples")}</h2>'))
        for example in examples:
            # A data URI needs no file; Gradio takes file data here too, though its types do not say so.
            icon: Any = {"path": example.path.name, "url": example.thumbnail}
            button = gr.Button(composed(partial(getattr, example, "title")), icon=icon, size="sm")
            button.click(
                lambda example=example: ([str(example.path)], example.model or gr.skip()),
                None,
                [file, model],
                show_progress="hidden",
                api_visibility="private",
            )
