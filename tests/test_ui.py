"""The page and its endpoints, on a fake engine: no TensorFlow, no browser, no network beyond this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from lungapp.errors import WeightsMissing
from lungapp.methods import DEFAULT_METHOD
from lungapp.reading import Limits, read_slice
from lungapp.registry import MODELS
from lungapp.rendering import render_grey
from lungapp.report.answers import HEADLINES
from lungapp.settings import Settings
from lungapp.ui import EXAMPLES, about, build_demo, messages
from lungapp.ui.theme import page_options
from tests.fakes import SERVER_WARNINGS, BrokenEngine, FakeEngine, make_card, serve
from tests.series_files import phantom_series

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

PHANTOM = EXAMPLES / "phantom-mass.png"
LIMITS = Limits(max_pixels=2_000_000)

DECIDED = {"basic_cnn": "not_malignant", "resnet50": "undecided", "advanced_cnn": "malignant"}
"""What the fake engine's models decide of every slice."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serve(FakeEngine(), Settings(limits=LIMITS)) as url:
        yield url


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False)


def call(client: Client, file: Path, model: str = "resnet50", **rest: Any) -> tuple[dict[str, Any], Path]:
    result, overlay = client.predict(file=handle_file(str(file)), model=model, **rest, api_name="/analyse")
    return result, Path(overlay)


def picture(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_only_the_endpoints_for_programs_are_public(client: Client) -> None:
    described = client.view_api(return_format="dict", print_info=False)
    assert described["unnamed_endpoints"] == {}
    assert set(described["named_endpoints"]) == {"/analyse", "/analyse_series", "/models"}
    parameters = described["named_endpoints"]["/analyse"]["parameters"]
    assert [entry["parameter_name"] for entry in parameters] == [
        "file",
        "model",
        "target",
        "method",
        "override",
        "slice_number",
        "faithfulness",
        "failing_maps",
    ]
    defaults = [entry["parameter_default"] for entry in parameters]
    assert defaults[2:] == ["predicted", DEFAULT_METHOD, False, 0, False, False]


@pytest.mark.parametrize("model", [spec.name for spec in MODELS])
def test_analyse_gives_the_report_and_a_lossless_overlay(client: Client, model: str) -> None:
    result, overlay = call(client, PHANTOM, model, target="malignant")
    assert (result["schema"], result["model"]) == ("lungapp.analysis/2", model)
    assert sum(result["probabilities"].values()) == pytest.approx(1)
    assert result["label"] == max(result["probabilities"], key=result["probabilities"].get)
    assert (result["decision"], result["evidence"]["slices"]) == (DECIDED[model], 212)
    assert result["statement"].startswith(f"{HEADLINES[DECIDED[model]]}. Cannot be excluded at 90 %: ")
    assert result["activation"]["target"] == "malignant"
    pixels = np.asarray(Image.open(overlay).convert("RGB")).astype(int)
    assert Image.open(overlay).format == "PNG"
    grey = render_grey(read_slice(PHANTOM)).astype(int)
    assert np.abs(pixels - grey).max() > 50, "the map must be seen"
    assert np.abs(pixels[-20:, -20:] - grey[-20:, -20:]).max() <= 1, "and nothing where there is no attention"


def test_analyse_by_another_method_and_with_its_test(client: Client) -> None:
    result, _ = call(client, PHANTOM, method="scorecam", faithfulness=True)
    assert result["activation"]["method"] == "scorecam"
    assert result["activation"]["faithfulness"]["supported"] is False
    assert (result["activation"]["tested"], result["activation"]["holds"]) == (True, False)
    untested = call(client, PHANTOM)[0]["activation"]
    assert (untested["tested"], untested["holds"], untested["faithfulness"]) == (False, None, None)


def test_a_map_that_failed_its_test_is_not_in_the_overlay_unless_asked_for(client: Client) -> None:
    grey = render_grey(read_slice(PHANTOM))

    def coloured(**asked: object) -> bool:
        _, overlay = call(client, PHANTOM, **asked)
        return not np.array_equal(np.asarray(Image.open(overlay).convert("RGB")), grey)

    assert not coloured(method="scorecam", faithfulness=True)
    assert coloured(method="scorecam", faithfulness=True, failing_maps=True)
    assert coloured(method="scorecam"), "untested, which the report says"
    assert coloured(faithfulness=True)


def test_analyse_with_all_models(client: Client) -> None:
    result, _ = call(client, PHANTOM, "all")
    assert [row["model"] for row in result["predictions"]] == [spec.name for spec in MODELS]
    assert [row["decision"] for row in result["predictions"]] == list(DECIDED.values())
    assert result["agreement"] is False
    assert result["ensemble"]["answer_set"] == result["answer_set"]


def test_dicom_without_an_extension(client: Client, tmp_path: Path) -> None:
    nameless = tmp_path / "IM000001"
    nameless.write_bytes((EXAMPLES / "phantom-nodule.dcm").read_bytes())
    result, _ = call(client, nameless)
    assert (result["slice"]["format"], result["slice"]["unit"]) == ("DICOM", "HU")


def test_a_colour_photograph_is_rejected_and_not_scored(client: Client, tmp_path: Path) -> None:
    photo = picture(tmp_path / "photo.png", np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    result, overlay = call(client, photo)
    assert result["status"] == "rejected"
    assert result["quality"]["verdict"] == "reject"
    assert "probabilities" not in result
    assert overlay.is_file()


def test_a_rejected_picture_is_scored_when_asked_for_and_says_so(client: Client, tmp_path: Path) -> None:
    photo = picture(tmp_path / "photo.png", np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    result, overlay = call(client, photo, override=True)
    assert (result["status"], result["quality"]["verdict"]) == ("uncertain", "reject")
    assert (result["decision"], len(result["answer_set"]), result["evidence"]) == ("undecided", 3, None)
    assert result["quality"]["overridden"] is True
    assert sum(result["probabilities"].values()) == pytest.approx(1)
    assert Image.open(overlay).height > 300, "a band under the picture says so too"


def test_a_slice_of_an_archive(client: Client, tmp_path: Path) -> None:
    archive = tmp_path / "series.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("phantom-mass.png", "phantom-clear.png", "phantom-mass.png"):
            file.write(EXAMPLES / name, f"{len(file.namelist())}.png")
    result, _ = call(client, archive)
    assert result["slice"]["notes"][0] == "Slice 2 of 3, the middle one, was read."
    assert call(client, archive, slice_number=3)[0]["slice"]["notes"][0] == "Slice 3 of 3 was read."
    with pytest.raises(AppError, match=r"from 1 to 3\. Received: 4"):
        call(client, archive, slice_number=4)


def test_a_series_gives_a_row_a_slice_and_a_table(client: Client, tmp_path: Path) -> None:
    archive = tmp_path / "Mustermann.zip"
    archive.write_bytes(phantom_series(6, 160))
    result, table = client.predict(files=[handle_file(str(archive))], model="all", api_name="/analyse_series")
    assert (result["schema"], result["model"], result["slices"]) == ("lungapp.series/2", "all", 6)
    statuses = [row["status"] for row in result["rows"]]
    assert [statuses[0], statuses[3]] == ["rejected", "failed"]
    assert {"confident", "uncertain"} >= {status for place, status in enumerate(statuses) if place not in (0, 3)}
    assert result["aggregate"]["counted"] == 4 == sum(row["counted"] for row in result["rows"])
    assert result["rows"][1]["decision"] in result["aggregate"]["decisions"]
    assert {item["source"] for item in result["set_aside"]} == {"file 1, item 8", "DICOM CT: 1 slice"}
    text = Path(table).read_text()
    assert text.startswith("slice,position_mm,source,")
    assert "Mustermann" not in text + str(result)
    files = [handle_file(str(EXAMPLES / name)) for name in ("phantom-mass.png", "phantom-clear.png")]
    result, _ = client.predict(files=files, model="resnet50", override=True, api_name="/analyse_series")
    assert [row["source"] for row in result["rows"]] == ["file 1", "file 2"]
    assert result["aggregate"]["counted"] == 2


def test_a_series_of_nothing_gets_a_message(client: Client, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    with pytest.raises(AppError, match=r"Expected .+ Received: "):
        client.predict(files=[handle_file(str(tmp_path / "notes.txt"))], model="resnet50", api_name="/analyse_series")
    with pytest.raises(AppError, match="Expected a model name out of"):
        client.predict(files=[handle_file(str(PHANTOM))], model="vgg", api_name="/analyse_series")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "vgg"}, "Expected a model name out of"),
        ({"target": "<b>lesion</b>"}, "&lt;b&gt;lesion"),
        ({"method": "magic"}, "Expected an explanation method out of: gradcam, "),
    ],
)
def test_wrong_arguments_are_named(client: Client, arguments: dict[str, str], message: str) -> None:
    with pytest.raises(AppError, match=message):
        call(client, PHANTOM, **arguments)


def test_bad_files_get_a_message_and_the_server_lives_on(client: Client, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes(PHANTOM.read_bytes()[:5000])
    picture(tmp_path / "huge.png", np.zeros((1500, 1500), np.uint8))
    for name in ("notes.txt", "empty.png", "cut.png", "huge.png"):
        with pytest.raises(AppError, match=r"Expected .+ Received: ") as caught:
            call(client, tmp_path / name)
        assert "Traceback" not in str(caught.value)
        assert str(tmp_path) not in str(caught.value)
    assert call(client, picture(tmp_path / "tiny.png", np.zeros((8, 8), np.uint8)))[0]["status"] == "rejected"
    assert call(client, PHANTOM)[0]["label"] == "benign"


def test_a_file_over_the_limit_is_refused_while_uploading(tmp_path: Path) -> None:
    with serve(FakeEngine(), Settings(limits=Limits(max_bytes=2**14))) as url:
        big = tmp_path / "big.png"
        big.write_bytes(b"\0" * 2**15)
        with big.open("rb") as stream:
            answer = httpx.post(f"{url}/gradio_api/upload", files={"files": stream})
        assert answer.status_code == 413


def test_the_models_endpoint_gives_the_cards(client: Client) -> None:
    assert client.predict(api_name="/models") == [make_card(spec.name).data for spec in MODELS]


def test_the_snippet_on_the_page_runs(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = about.SNIPPET.replace(about.ADDRESS, address).replace("slice.png", str(PHANTOM))
    exec(compile(code, "snippet", "exec"), {})
    said = capsys.readouterr().out
    assert "confident malignant ['malignant'] {'normal': 0.004" in said
    assert "94 % of 212 slices" in said


def test_the_curl_snippet_on_the_page_runs(address: str) -> None:
    shell, curl = shutil.which("sh"), shutil.which("curl")
    if not shell or not curl:
        pytest.skip("No curl here")
    code = about.CURL.replace(about.ADDRESS, address).replace("slice.png", str(PHANTOM))
    said = subprocess.run([shell, "-eu", "-c", code], capture_output=True, text=True, check=True, timeout=300).stdout
    assert "event: complete" in said
    assert said.count('"label": "malignant"') == 2
    assert said.endswith('"}') and '"overlay": "data:image/png;base64,' in said


def test_the_page_is_built_without_tensorflow() -> None:
    code = "import sys, app; assert app.demo; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=EXAMPLES.parent, check=True, timeout=300)


def test_privacy_settings() -> None:
    demo, options = build_demo(FakeEngine()), page_options(Settings())
    assert demo.analytics_enabled is False
    assert demo.delete_cache is not None and demo.delete_cache[1] <= 3600
    for name in ("enable_monitoring", "run_history", "show_error"):
        assert options[name] is False
    for component in demo.get_config_file()["components"]:
        assert "webcam" not in (component["props"].get("sources") or [])
        assert "share" not in (component["props"].get("buttons") or [])
    assert "googleapis" not in options["theme"]._get_theme_css()
    assert options["theme"]._stylesheets == []


@pytest.mark.parametrize("error", [WeightsMissing("Expected weights. Received: none."), RuntimeError("secret")])
def test_a_failing_engine_gives_a_message(error: Exception) -> None:
    with serve(BrokenEngine(error)) as url:
        client = Client(url, verbose=False)
        with pytest.raises(AppError, match=messages.explain(error)):
            call(client, PHANTOM)
        assert client.predict(api_name="/models") == []
