"""The pieces of the page without a server: messages, words, figures, pictures."""

from __future__ import annotations

import base64
import json
import logging
import re
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from lungapp.errors import UnreadableInput
from lungapp.methods import DEFAULT_METHOD, METHODS
from lungapp.reading import Limits, read_slice
from lungapp.registry import LABELS, MODELS, get_spec
from lungapp.report import NOTICE
from lungapp.report.answers import NORMAL_OR_BENIGN, NOT_TESTED
from lungapp.results import ActivationMap, Faithfulness
from lungapp.slices import Slice, SliceInfo
from lungapp.ui import EXAMPLES, demo, messages, models, panels, viewer, words
from lungapp.ui.about import after
from lungapp.ui.about import text as about_text
from lungapp.ui.analyse import OTHER_FILE, OTHER_MODEL, _analyser, _linked, _switched
from lungapp.ui.examples import DESCRIPTIONS, Description, find_examples, recognise
from lungapp.ui.language import speaking, unbroken
from lungapp.ui.opened import close, open_upload
from tests.fakes import BrokenEngine, FakeEngine, make_calibration, make_card

PHANTOM = EXAMPLES / "phantom-mass.png"
LIMITS = Limits()


def picture(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_faults_are_not_shown_and_logged_without_what_they_say(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        try:
            raise RuntimeError("Jane Doe /home/clinic")
        except RuntimeError as error:
            assert messages.explain(error) == messages.UNEXPECTED
    assert "RuntimeError" in caplog.text
    assert "Jane" not in caplog.text
    assert Path(__file__).name in caplog.text


def test_api_errors_are_escaped() -> None:
    error = messages.to_gradio_error(UnreadableInput("Expected 'a'. Received: <img src=x>"))
    assert error.message == "Expected 'a'. Received: &lt;img src=x&gt;"
    assert error.print_exception is False


def test_uploads_that_cannot_be_read_become_words(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"nonsense")
    opened = open_upload([tmp_path / "a"], LIMITS)
    assert opened.entries == ()
    assert opened.problem.startswith("Expected ")
    assert open_upload(None, LIMITS).problem == ""


def test_another_model_is_advised_only_for_a_slice_that_was_read(tmp_path: Path) -> None:
    half = tmp_path / "half.dcm"
    half.write_bytes((EXAMPLES / "phantom-nodule.dcm").read_bytes()[:5000])
    for file, limits, advice, other in (
        (PHANTOM, Limits(max_pixels=2**14), OTHER_FILE, OTHER_MODEL),
        (half, LIMITS, OTHER_FILE, OTHER_MODEL),
        (PHANTOM, LIMITS, OTHER_MODEL, OTHER_FILE),
    ):
        opened = open_upload([file], limits)
        (shown,) = _analyser(BrokenEngine(), {})(opened, 1, "resnet50", "predicted", "gradcam", "")
        close(opened)
        assert "No answer for this file" in shown[0]
        assert advice in shown[0]
        assert other not in shown[0]


RECORDS = {spec.name: make_card(spec.name).data for spec in MODELS}
RECORDS["ensemble"] = make_card("ensemble").data | {"members": dict.fromkeys(RECORDS, "0")}


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        (
            "basic_cnn",
            (
                "Not malignant (normal or benign)</h2>",
                "Cannot be excluded at 90 %: normal, benign.",
                "90 % of 212 slices with this answer and a malignant probability from 0 % to 20 % were not malignant "
                "(95 % interval 85 % to 93 %).",
                NORMAL_OR_BENIGN,
            ),
        ),
        (
            "resnet50",
            (
                "Undecided</h2>",
                "Cannot be excluded at 90 %: benign, malignant.",
                "40 % of 212 slices that it left undecided at a malignant probability from 20 % to 80 % were malignant",
            ),
        ),
        (
            "advanced_cnn",
            (
                "Malignant</h2>",
                "Cannot be excluded at 90 %: malignant.",
                "94 % of 212 slices with this answer and a malignant probability from 50 % to 100 % were malignant",
            ),
        ),
    ],
)
def test_the_answer_says_what_is_decided_and_what_stands_behind_it(model: str, parts: tuple[str, ...]) -> None:
    analysis = FakeEngine().analyse(read_slice(PHANTOM), model)
    text = panels.answer(analysis, RECORDS)
    for part in (f"What {get_spec(model).title} says", *parts, *map(str.capitalize, LABELS)):
        assert part in text
    assert (NORMAL_OR_BENIGN in text) == (model == "basic_cnn")
    assert ("la-undecided" in text) == (analysis.decision == "undecided")
    for elsewhere in (NOTICE, "Do not rely", "Confident", "Uncertain"):
        assert elsewhere not in text, "the standing warning stands above, once"


def test_the_standing_warning_is_said_once_on_the_page() -> None:
    shown = demo.notice()
    assert NOTICE in shown
    assert "one small dataset" in shown
    assert NOTICE not in about_text()


def test_an_answer_without_a_card_or_a_figure_says_so() -> None:
    analysis = FakeEngine().analyse(read_slice(PHANTOM), "advanced_cnn")
    bare = make_card("advanced_cnn").data | {"calibration": make_calibration() | {"evidence": []}}
    for records in ({}, {"advanced_cnn": bare}):
        assert NOT_TESTED in panels.answer(analysis, records)


def test_a_forced_answer_is_undecided_and_no_figure_stands_behind_it() -> None:
    item = Slice(np.full((300, 300), -1000.0), "HU")
    for model in ("advanced_cnn", "all"):
        text = panels.answer(FakeEngine().analyse(item, model, override=True), RECORDS)
        assert "Undecided</h2>" in text
        assert words.OVERRIDDEN in text
        assert "Cannot be excluded: normal, benign, malignant." in text
        assert "212 slices" not in text
        assert "Malignant</h2>" not in text


def test_the_answer_of_all_models_is_their_means() -> None:
    item = read_slice(PHANTOM)
    text = panels.answer(FakeEngine().analyse(item, "all"), RECORDS)
    assert "What the mean of all models says" in text
    said = "Basic CNN: Not malignant; ResNet-50: Undecided; Advanced CNN: Malignant"
    assert f"The models disagree. {said}. Their mean hides that." in text
    assert text.count("212 slices") == 1 + len(MODELS)
    assert text.count(NORMAL_OR_BENIGN) == 1
    assert "disagree" not in panels.answer(FakeEngine().analyse(item, "resnet50"), RECORDS)


def test_models_agree_where_they_decide_the_same_whatever_is_highest() -> None:
    scores = ((0.6, 0.3, 0.1), (0.3, 0.6, 0.1), (0.9, 0.05, 0.05))
    same = [make_card(spec.name).predict(np.array(one)) for spec, one in zip(MODELS, scores, strict=True)]
    assert words.agreement(same).startswith("All 3 models give the same answer: Not malignant.")
    assert "no second opinion" in words.agreement(same)


def map_tested(probability: float, hottest: float, others: tuple[float, ...], share: float = 0.1) -> ActivationMap:
    found = Faithfulness(share, probability, hottest, others)
    return ActivationMap("resnet50", "gradcam", "malignant", np.ones((4, 4), np.float32), 0.5, found)


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (
            map_tested(0.93, 0.52, (0.02, 0.04)),
            "Blurring the hottest tenth of what the model saw lowers the malignant probability from 93 % to 41 %; "
            "blurring other parts of the same size lowers it to 90 % on average. The map marks what this model relied "
            "on.",
        ),
        (
            map_tested(0.62, 0.15, (0.0, 0.22)),
            "Blurring the hottest tenth of what the model saw lowers the malignant probability from 62 % to 47 %; "
            "blurring other parts of the same size lowers it to 51 % on average, one of them to 40 %. The map does not "
            "mark what this model relied on: do not rely on this map.",
        ),
        (
            map_tested(0.5, -0.1, (-0.2, 0.2), share=0.03),
            "Blurring the coloured 3 % of what the model saw raises the malignant probability from 50 % to 60 %; "
            "blurring other parts of the same size leaves it at 50 % on average. The map does not mark what this model "
            "relied on: do not rely on this map.",
        ),
    ],
)
def test_what_a_map_is_worth_is_said_in_words(item: ActivationMap, text: str) -> None:
    assert words.faithfulness(item) == text
    shown = viewer.tested([item])
    assert ("la-supported" in shown) == item.faithfulness.supported


SMALL = Slice(np.zeros((4, 4)), "grey")


def test_a_map_is_not_shown_before_it_was_tested() -> None:
    untested = replace(map_tested(0.9, 0.5, (0.1,)), faithfulness=None)
    shown = viewer.pictures(SMALL, [untested], testing=True)
    assert words.TESTING in shown
    assert "la-heat" not in shown
    assert 'data-do="layout"' not in shown, "nothing to lay out"
    assert viewer.tested([untested]) == words.faithfulness(untested) == ""


def test_a_blank_map_says_that_it_is_blank_whether_tested_or_not() -> None:
    blank = ActivationMap("resnet50", "gradcam", "malignant", np.zeros((4, 4), np.float32), None)
    for testing in (False, True):
        shown = viewer.pictures(SMALL, [blank], testing=testing)
        assert "nothing is coloured" in shown
        assert "<svg" not in shown, "and nothing has a contour"
        assert "data-map" not in shown, "there is nothing to offer"
    assert viewer.tested([blank]) == ""


def test_a_map_that_failed_its_test_is_offered_and_not_shown() -> None:
    failed = map_tested(0.9, 0.0, (0.1,))
    shown = viewer.pictures(SMALL, [failed])
    assert words.NO_MAP in shown
    assert 'data-map="resnet50"' in shown
    assert words.SHOW_FAILED in shown
    assert "la-heat" not in shown
    insisted = viewer.pictures(SMALL, [replace(failed, insisted=True)])
    assert "la-heat" in insisted
    assert words.INSISTED in insisted
    assert words.HIDE_FAILED in insisted
    assert words.NO_MAP not in insisted


def test_beside_one_another_only_the_maps_that_hold_are_shown() -> None:
    falls = zip(MODELS, (0.5, 0.0, 0.0), strict=True)
    maps = [replace(map_tested(0.9, fall, (0.1,)), model=spec.name) for spec, fall in falls]
    shown = viewer.pictures(SMALL, maps)
    assert shown.count("la-heat") == 1
    assert re.findall('data-map="([^"]+)"', shown) == ["resnet50", "advanced_cnn"]


def test_no_text_of_a_map_calls_it_the_lesion() -> None:
    """A map shows attention; what it is not may be said."""
    texts = [viewer.pictures(SMALL, [map_]) for map_ in (map_tested(0.9, 0.5, (0.1,)), map_tested(0.9, 0.0, (0.1,)))]
    texts += [viewer.tested([map_tested(0.9, 0.5, (0.1,))]), *(method.sentence for method in METHODS)]
    assert not [text for text in texts if "lesion" in text.replace(words.RELATIVE, "")]


class FaultyTest(FakeEngine):
    def measure_faithfulness(self, analysis):
        raise RuntimeError("secret")


def test_a_fault_of_the_test_leaves_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    first, second = answers_of(FaultyTest())
    assert "Malignant" in first[0]
    assert second[0] == gr.skip(), "the answer stays as it is"
    assert "la-heat" not in second[1]
    assert words.UNTESTED in second[2]
    assert second[6].analysis.maps == (), "no report has a map that was not tested"
    assert "secret" not in caplog.text


def answers_of(engine: FakeEngine, method: str = DEFAULT_METHOD, model: str = "advanced_cnn") -> list[tuple]:
    opened = open_upload([PHANTOM], LIMITS)
    answers = list(_analyser(engine, {})(opened, 1, model, "predicted", method, ""))
    close(opened)
    return answers


def test_the_answer_is_there_at_once_and_the_map_once_it_passed_its_test() -> None:
    first, second = answers_of(FakeEngine())
    assert "Malignant" in first[0]
    assert words.TESTING in first[1]
    assert "la-heat" not in first[1]
    assert first[6] is None, "nothing to take away before"
    assert "la-heat" in second[1]
    assert "la-supported" in second[2]
    assert second[6].analysis.maps[0].holds


def test_a_map_that_failed_is_shown_and_hidden_again_on_demand_in_page_and_reports() -> None:
    *_, second = answers_of(FakeEngine(), "layercam", "all")
    ready = second[6]
    assert ready.analysis.drawn_maps == ()
    click = SimpleNamespace(model="resnet50")
    pictures, tested, shown, *_ = _switched(ready, click)
    assert pictures.count("la-heat") == 1
    assert "la-unsupported" in tested
    assert [map_.model for map_ in shown.analysis.drawn_maps] == ["resnet50"]
    pictures, _, hidden, *_ = _switched(shown, click)
    assert "la-heat" not in pictures
    assert hidden.analysis.drawn_maps == ()
    for stale in (_switched(None, click), _switched(ready, SimpleNamespace(model="x"))):
        assert all(value == gr.skip() for value in stale)


def test_every_method_has_a_title_and_a_sentence() -> None:
    assert len({method.title for method in METHODS}) == len({method.name for method in METHODS}) == 5
    for method in METHODS:
        assert method.sentence.endswith(".")
        assert len(method.sentence) < 120


def test_markup_in_findings_and_messages_is_escaped() -> None:
    assert "<script>" not in panels.failure("<script>", "<script>")
    item = Slice(np.zeros((300, 300)), "grey", SliceInfo("<script>"))
    assert "<script>" not in viewer.pictures(item)


def test_the_models_tab_tells_facts_and_what_is_missing() -> None:
    assert "no weights here" in models.model_section(MODELS[0], None)
    assert "<dt>" not in models.model_section(MODELS[0], {"metrics": []})
    text = models.model_section(MODELS[0], {**make_card(MODELS[0].name).data, "pretraining": "<b>none</b>"})
    assert "<dd>1,234,567</dd>" in text
    assert "<dd>&lt;b&gt;none&lt;/b&gt;</dd>" in text
    assert "<dd>Advanced CNN</dd>" in models.model_section(MODELS[0], {"teacher": {"model": "advanced_cnn"}})


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.004, "under 1 %"), (0.5, "50 %"), (0.997, "over 99 %"), (1, "100 %"), (-0.004, "0 %")],
)
def test_percentages_do_not_claim_certainty(share: float, text: str) -> None:
    assert words.percent(share) == text


def test_no_line_ends_before_a_per_cent_sign() -> None:
    html = "<p>88 % (7 %), opacity (%)</p>"
    assert unbroken(html) == "<p>88\N{NO-BREAK SPACE}% (7\N{NO-BREAK SPACE}%), opacity (%)</p>"
    assert speaking("ar", lambda: unbroken(html)) == "<p>88% (7%), opacity (%)</p>"


def test_what_is_listed_on_the_page_has_the_commas_of_its_language() -> None:
    assert "(synthetic, DICOM)" in {example.path.suffix: example.title for example in find_examples(EXAMPLES)}[".dcm"]
    arabic = speaking("ar", lambda: [*(example.title for example in find_examples(EXAMPLES)), after()])
    assert not [text for text in arabic if re.search(r", [^`\w]|, DICOM|`, `|\d, ", text)]


def test_attention_in_words() -> None:
    item = read_slice(PHANTOM)
    engine = FakeEngine()
    assert "Most of the attention (72 %)" in words.attention(engine.analyse(item, "resnet50").maps[0])
    assert "nothing is coloured" in words.attention(engine.analyse(item, "basic_cnn", "benign").maps[0])


@pytest.mark.parametrize(("at", "place"), [((0, 1), "upper left"), ((4, 4), "centre"), ((4, 8), "middle right")])
def test_the_highest_place_in_words(at: tuple[int, int], place: str) -> None:
    values = np.zeros((9, 9))
    values[at] = 1
    assert words.place_of_peak(values) == place


def test_examples_are_labelled_and_damaged_ones_left_out(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    gradient = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
    picture(tmp_path / "phantom-clear.png", gradient)
    picture(tmp_path / "real" / "benign.png", gradient)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "notes.md").write_text("no slice")
    picture(tmp_path / "real" / "held-out-normal.png", gradient)
    picture(tmp_path / "phantom-mass.png", gradient)
    mass, clear, benign, normal = find_examples(tmp_path)
    assert (mass.title, clear.title, benign.title) == ("Mass (synthetic)", "Clear (synthetic)", "Benign (real)")
    assert clear.thumbnail.startswith("data:image/png;base64,")
    assert "without a lesion" in clear.note()
    assert benign.note() == mass.note() == "", "of what nobody measured nothing is claimed"
    assert "a case labelled normal, held out" in normal.note()
    assert find_examples(tmp_path / "nowhere") == []


def test_every_shipped_example_has_its_truth_and_the_page_says_it() -> None:
    examples = {example.path.name: example for example in find_examples(EXAMPLES)}
    truth = json.loads((EXAMPLES / "truth.json").read_text())
    assert list(examples)[: len(DESCRIPTIONS)] == [description.file for description in DESCRIPTIONS]
    assert f"a mass of {truth['phantom-mass.png']['millimetres']} mm" in examples["phantom-mass.png"].note()
    assert all(examples[description.file].truth and description.shows for description in DESCRIPTIONS)


@pytest.mark.parametrize("name", ["phantom-mass.png", "head.png"])
def test_an_example_is_recognised_by_its_bytes(tmp_path: Path, name: str) -> None:
    examples = find_examples(EXAMPLES)
    copy = tmp_path / "other name"
    copy.write_bytes((EXAMPLES / name).read_bytes())
    assert recognise(examples, [copy]).path.name == name
    copy.write_bytes((EXAMPLES / name).read_bytes() + b" ")
    assert recognise(examples, [copy]) is None
    assert recognise(examples, []) is None
    assert recognise(examples, [EXAMPLES / name, copy]) is None


def test_an_example_may_name_the_model_to_ask(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", np.tile(np.arange(200, dtype=np.uint8), (200, 1)))
    examples = find_examples(tmp_path, [Description("a.png", "A", "Known.", "Shown.", model="all")])
    file, model, answer = _linked(examples, "a")
    assert (file, model, answer) == ([str(tmp_path / "a.png")], "all", gr.skip())


def test_the_overlay_layer_blends_as_the_overlay_does() -> None:
    item = read_slice(PHANTOM)
    engine = FakeEngine()
    activation = engine.measure_faithfulness(engine.analyse(item, "advanced_cnn")).maps[0]
    text = viewer.pictures(item, [activation])
    assert text.count("<img") == 4, "slice, slice below the layer, layer, colour bar"
    assert text.count('alt=""') == 1, "only the layer is without words of its own"
    assert "highest in the upper left of the picture" in text
    assert viewer.pictures(item).count("<img") == 1, "a rejected slice has no overlay"


def test_hounsfield_units_reach_the_browser_unchanged_and_greys_do_not_go_twice() -> None:
    item = read_slice(EXAMPLES / "phantom-nodule.dcm")
    shown = viewer.pictures(item)
    packed = base64.b64decode(re.findall('data-hu="([^"]+)"', shown)[0])
    steps = np.frombuffer(zlib.decompress(packed), "<i2")
    pixels = np.cumsum(steps, dtype=np.int16).reshape(item.rows, item.columns)
    assert np.array_equal(pixels, np.rint(item.pixels))
    assert len(packed) < 600_000
    assert "data-hu" not in viewer.pictures(read_slice(PHANTOM))
    for window in ("As the model saw it", "Lung", "Mediastinum", "Bone"):
        assert f">{window}</option>" in shown
