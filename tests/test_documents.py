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
from train.card import GOLDEN, LIBRARIES
from train.conditions import CONDITIONS
from train.data import manifest_digest, read_manifest
from train.evaluate import differences, recompute, recompute_ensemble
from train.folds import SHIPPED
from train.table import END, PAGE, START, render_page, render_table

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
    assert PAGE.read_text(encoding="utf-8") == render_page()


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
    assert {band["decision"] for band in card["calibration"]["evidence"]} == set(DECISIONS)
    assert card["calibration"]["coverage"]["covered"]["value"] > 0.8
    for protocol in ("image_level", "grouped"):
        found = card["metrics"][protocol]
        assert found["n"] == 1054
        for figure in ("accuracy", "balanced_accuracy", "f1_macro", "auc_malignant", "ece"):
            low, high = found[figure]["interval"]
            assert low <= found[figure]["value"] <= high or figure == "ece"
    assert card["data"]["manifest_sha256"] == manifest_digest(read_manifest())
    assert (card["data"]["protocol"], card["data"]["fold"]) == ("grouped", SHIPPED)
    assert set(card["audit"]["conditions"]) == {"clean", *CONDITIONS}
    assert card["golden"]["file"] == GOLDEN.name
    assert set(card["library_versions"]) == set(LIBRARIES)


@pytest.mark.parametrize("spec", shipped(WEIGHTS), ids=lambda spec: spec.name)
def test_every_figure_follows_from_the_committed_logits(spec):
    assert not list(differences(CARDS[spec.name], recompute(spec)))


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

    assert not list(differences(read_ensemble_card(WEIGHTS).data, recompute_ensemble()))


def test_the_committed_logits_follow_from_the_small_models_weights(dataset):
    from lungapp.registry import get_spec
    from train.evaluate import logits_differ

    for name in ("basic_cnn", "advanced_cnn"):
        assert not list(logits_differ(get_spec(name), dataset))
