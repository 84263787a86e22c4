"""What is damaged or stuck takes itself out alone: a model, a card, a catalog; and what a kill leaves is swept."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lungapp import engine as engines
from lungapp import inference, locale
from lungapp.cards import read_card
from lungapp.engine import Engine
from lungapp.errors import Busy, WeightsError, WeightsMismatch
from lungapp.registry import MODELS
from lungapp.slices import Slice
from lungapp.startup import ARCHIVE_PREFIX, sweep
from lungapp.texts import Text
from lungapp.ui.demo import _read_records
from tests.fakes import FakeEngine

ROOT = Path(__file__).parent.parent


@pytest.fixture
def weights(toy_weights: Path, tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    for path in toy_weights.iterdir():  # linked, for their size; cards are copied, since tests write them
        copy = os.link if path.suffix == ".safetensors" else shutil.copy
        copy(path, tmp_path / "weights" / path.name)
    return tmp_path / "weights"


# Cards


def change(*path: str, to: object) -> Callable[[dict], None]:
    def apply(card: dict) -> None:
        for key in path[:-1]:
            card = card[key]
        card[path[-1]] = to

    return apply


def without(*path: str) -> Callable[[dict], None]:
    def apply(card: dict) -> None:
        for key in path[:-1]:
            card = card[key]
        del card[path[-1]]

    return apply


DAMAGE = [
    *(change("calibration", "thresholds", to=value) for value in (None, [], {}, 0.5, "0.9", {"malignant": 0.1})),
    *(change("calibration", "thresholds", "malignant", to=value) for value in (-1, float("nan"), "0.9", [], True, 2)),
    *(change("calibration", "temperature", to=value) for value in (-1, 0, float("nan"), float("inf"), "1", None, True)),
    *(without("calibration", key) for key in ("thresholds", "temperature")),
    *(without(key) for key in ("calibration", "metrics", "labels", "weights_sha256", "input")),
    *(change(key, to=value) for key in ("calibration", "metrics") for value in (None, [], 1, "text")),
    change("weights_sha256", to=None),
    change("labels", to=["malignant", "benign", "normal"]),
    change("metrics", "extra", to=float("inf")),
]


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_card_takes_out_its_model_alone(damage: Callable[[dict], None], weights: Path) -> None:
    path = weights / "advanced_cnn.json"
    card = json.loads(path.read_text())
    damage(card)
    path.write_text(json.dumps(card))
    spec = next(spec for spec in MODELS if spec.name == "advanced_cnn")
    with pytest.raises(WeightsError, match=r"^Expected .* (Received|Missing): "):
        read_card(spec, weights)
    assert [card.name for card in Engine(weights).cards()] == ["basic_cnn", "resnet50"]
    assert "advanced_cnn" not in _read_records(Engine(weights))


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "", "null", "[]", "\0", '{"a": 1e999}'])
def test_a_card_that_is_no_card_is_refused(text: str, weights: Path) -> None:
    (weights / "resnet50.json").write_text(text)
    spec = next(spec for spec in MODELS if spec.name == "resnet50")
    with pytest.raises(WeightsMismatch, match=r"resnet50\.json"):
        read_card(spec, weights)
    assert [card.name for card in Engine(weights).cards()] == ["basic_cnn", "advanced_cnn"]


@pytest.mark.parametrize("threshold", [-1, 2, float("nan"), "0", None])
def test_a_damaged_ensemble_card_never_makes_an_answer_confident(
    threshold: object, weights: Path, thorax: Slice
) -> None:
    digests = {name: json.loads((weights / f"{name}.json").read_text())["weights_sha256"] for name in ("basic_cnn",)}
    thresholds = {"normal": threshold, "benign": threshold, "malignant": threshold}
    calibration = {"level": 0.9, "thresholds": thresholds, "slices": 100, "groups": 20}
    card = {"name": "ensemble", "labels": ["normal", "benign", "malignant"], "members": digests, "metrics": {}}
    (weights / "ensemble.json").write_text(json.dumps(card | {"calibration": calibration}))
    engine = Engine(weights)
    assert engine.ensemble_card() is None
    assert engine.analyse(thorax, "all").ensemble.status == "uncertain"


def test_a_card_that_cannot_be_shown_is_left_out_of_the_page_alone() -> None:
    class Damaged(FakeEngine):
        def cards(self):
            first, *others = super().cards()
            for card in (first, *others):
                card.data.setdefault("metrics", {})
            first.data["members"] = {1: 2}
            first.data["metrics"] = {"grouped": [["nonsense"]], "image_level": 5}
            first.data["data"] = 7
            return first, *others

    cards = Damaged().cards()
    records = _read_records(Damaged())
    assert {card.name for card in cards[1:]} <= records.keys()


# Models


def test_a_damaged_graph_takes_out_its_model_alone(
    weights: Path, monkeypatch: pytest.MonkeyPatch, thorax: Slice
) -> None:
    from lungapp import runtime

    graphs = Path(shutil.copytree(runtime.GRAPHS, weights / "graphs"))
    (graphs / "resnet50.onnx").write_bytes(b"\0" * 1000)
    (graphs / "advanced_cnn.onnx").unlink()
    monkeypatch.setattr(runtime, "GRAPHS", graphs)
    engine = Engine(weights)
    engine.warm_up()
    for name in ("resnet50", "advanced_cnn"):
        with pytest.raises(WeightsMismatch, match=f"graph and weights of {name}"):
            engine.analyse(thorax, name)
        assert engine.states()[name][0] == "failed"
    assert engine.states()["basic_cnn"] == ("ready", "")
    assert [found.model for found in engine.analyse(thorax, "all").predictions] == ["basic_cnn"]


def test_a_model_that_hangs_while_it_loads_holds_up_nobody_else(
    weights: Path, monkeypatch: pytest.MonkeyPatch, thorax: Slice
) -> None:
    stuck, entered, load = threading.Event(), threading.Event(), inference.LoadedModel

    def loading(spec, *args):
        if spec.name == "resnet50":
            entered.set()
            stuck.wait(120)
        return load(spec, *args)

    monkeypatch.setattr(inference, "LoadedModel", loading)
    monkeypatch.setattr(engines, "LOAD_SECONDS", 0.2)
    engine = Engine(weights)
    first = threading.Thread(target=engine.analyse, args=(thorax, "resnet50"))
    first.start()
    try:
        assert entered.wait(60)
        assert engine.analyse(thorax, "basic_cnn").prediction, "another model is loaded meanwhile"
        with pytest.raises(Busy, match="ResNet-50"):
            engine.analyse(thorax, "resnet50")
        assert engine.states()["resnet50"][0] == "failed", "so that a health check sees it"
        assert {found.model for found in engine.analyse(thorax, "all").predictions} == {"basic_cnn", "advanced_cnn"}
    finally:
        stuck.set()
        first.join(120)
    assert engine.states()["resnet50"] == ("ready", "")
    assert engine.analyse(thorax, "resnet50").prediction


# Catalogs


@pytest.fixture
def french(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "lungapp.po"
    monkeypatch.setattr(locale, "catalog_file", lambda language: path)
    locale._read.cache_clear()
    yield path
    locale._read.cache_clear()


@pytest.mark.parametrize("content", [b"\xff\xfe\0 nonsense", b'msgid "a\nmsgstr', b"\0" * 100, None])
def test_a_damaged_catalog_falls_back_to_english(french: Path, content: bytes | None) -> None:
    if content is not None:
        french.write_bytes(content)
    assert locale.translate("Slice", "fr") == "Slice"
    assert locale.translate(Text("{n} slice", many="{n} slices", n=2), "fr") == "2 slices"


@pytest.mark.parametrize("wrong", ["{nombre} coupes", "{n", "{} {}", "{n!z}"])
def test_a_translation_with_other_braces_falls_back_to_english(french: Path, wrong: str) -> None:
    french.write_text(
        f'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\nmsgid "{{n}} of it"\nmsgstr "{wrong}"\n'
    )
    assert locale.translate("{n} of it", "fr", n=3) == "3 of it"


# What is left behind


def test_folders_of_archive_workers_that_were_killed_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left = tmp_path / f"{ARCHIVE_PREFIX}{int(dead.stdout)}-abc"
    alive = tmp_path / f"{ARCHIVE_PREFIX}{os.getppid()}-abc"
    for folder in (left, alive):
        folder.mkdir()
        (folder / "file").write_bytes(b"x")
    sweep(ARCHIVE_PREFIX)
    assert not left.exists()
    assert alive.exists()


def test_whatever_is_made_anew_is_private(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from lungapp.startup import keep_private; keep_private()\n"
        "folder = pathlib.Path(sys.argv[1]) / 'a' / 'b'; folder.mkdir(parents=True); (folder / 'c').write_text('')"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, check=True, timeout=120)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in sorted(tmp_path.rglob("*"))]
    assert modes == [0o700, 0o700, 0o600]
