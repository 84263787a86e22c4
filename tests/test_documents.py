"""README, cards and the files of a Space hold together; nothing in them is typed twice and forgotten."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from lungapp import __version__
from lungapp.cards import shipped
from lungapp.results import DECISIONS
from lungapp.settings import WEIGHTS
from train.audit_words import words
from train.card import CROSSVAL, GOLDEN, LIBRARIES, protocol_figures
from train.conditions import CONDITIONS
from train.data import manifest_digest, read_manifest
from train.evaluate import differences
from train.publish import kept_runs
from train.table import END, START, render_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CARDS = {
    spec.name: json.loads((WEIGHTS / f"{spec.name}.json").read_text(encoding="utf-8")) for spec in shipped(WEIGHTS)
}


def test_the_front_matter_is_what_a_space_reads():
    front = yaml.safe_load(README.split("---")[1])
    assert front["sdk"] == "gradio"
    assert (ROOT / front["app_file"]).is_file()
    assert f"gradio=={front['sdk_version']}" in (ROOT / "requirements.txt").read_text()
    assert front["python_version"] in ("3.11", "3.12")
    assert front["license"] == "mit"
    assert front["tags"]
    assert len(front["short_description"]) <= 60


def test_the_first_code_block_runs():
    code = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    assert len(re.findall(r"^\S", code, re.M)) == 3
    out = io.StringIO()
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(out):
        exec(code, {})
    assert re.match(r"(malignant|not_malignant|undecided) \(('\w+'(, )?)+,?\) \{'normal': ", out.getvalue())


def test_the_readmes_table_is_the_cards():
    assert README.split(START)[1].split(END)[0].strip() == render_table().strip()


def test_the_readmes_pictures_and_links_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_readmes_commands_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.mark.parametrize("name", CARDS)
def test_cards_state_what_the_contract_asks(name):
    card = CARDS[name]
    for key in ("labels", "input", "target_layer", "parameters", "weights_sha256", "pretraining", "data", "created"):
        assert key in card
    assert {"temperature", "level", "thresholds", "slices", "groups", "evidence"} == set(card["calibration"])
    for protocol in ("image_level", "grouped"):
        found = card["metrics"][protocol]
        assert found["n"] > 100
        for figure in ("accuracy", "balanced_accuracy", "f1_macro", "auc_malignant", "ece"):
            low, high = found[figure]["interval"]
            assert low <= found[figure]["value"] <= high or figure == "ece"
    assert card["data"]["manifest_sha256"] == manifest_digest(read_manifest())
    assert card["data"]["protocol"] == "grouped"
    assert card["golden"]["file"] == GOLDEN.name
    assert set(card["library_versions"]) == set(LIBRARIES)


@pytest.mark.parametrize("spec", shipped(WEIGHTS), ids=lambda spec: spec.name)
def test_image_level_figures_follow_from_the_committed_predictions(spec):
    card = CARDS[spec.name]
    runs = kept_runs(spec, card["data"]["seed"])
    for protocol in ("image_level", "grouped"):
        assert not list(differences(card["metrics"][protocol], protocol_figures(runs[protocol])))


def test_the_version_is_one():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__


def test_no_slice_of_the_dataset_is_tracked():
    done = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    tracked = done.stdout.splitlines()
    assert not [path for path in tracked if re.search(r"\.jpe?g$", path, re.I)]
    assert not [path for path in tracked if path.startswith(("data/", "examples/real/", "runs/"))]


def test_the_ensembles_card_follows_from_its_members():
    from lungapp.cards import read_ensemble_card
    from train.evaluate import recompute_ensemble

    assert not list(differences(read_ensemble_card(WEIGHTS).data, recompute_ensemble()))


@pytest.mark.parametrize("name", CARDS)
def test_cards_carry_cross_validation_audit_and_calibration(name):
    card = CARDS[name]
    summary = json.loads(CROSSVAL.read_text(encoding="utf-8"))
    assert set(summary["results"][name]) == {"grouped", "image_level"}
    for protocol, found in summary["results"][name].items():
        assert card["crossval"][protocol] == found
        assert card["crossval"]["baselines"]["nearest_neighbour"][protocol]["n"] == found["n"]
    assert set(card["audit"]["conditions"]) == set(CONDITIONS)
    if "start" in card:  # weights that a last stage went on from, and that were audited before it
        assert set(card["audit"]["before"]["conditions"]) == set(CONDITIONS)
    assert card["audit"]["words"] == words(card["audit"])
    assert {band["decision"] for band in card["calibration"]["evidence"]} == set(DECISIONS)


def test_figures_of_the_small_models_follow_from_their_weights(dataset):
    from lungapp.registry import get_spec
    from train.evaluate import recompute

    for name in ("basic_cnn", "advanced_cnn"):
        assert not list(differences(CARDS[name], recompute(get_spec(name), dataset)))
