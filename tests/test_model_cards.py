"""The model cards for readers are what the JSON cards and the committed predictions say, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from huggingface_hub import metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results

from lungapp.cards import ENSEMBLE, describe
from lungapp.registry import LABELS, MODELS
from lungapp.ui.audit import GROUPS
from tests.fakes import make_calibration
from tests.made_up import figures, full_card
from train.folds import FOLDS
from train.model_cards import FILE, GALLERY, render

ROOT = Path(__file__).parent.parent
BARE = make_calibration() | {"evidence": []}

SLICES = (
    ("Normal case (1)", "normal", 1, (3, 0, 0)),
    ("Normal case (2)", "normal", 1, (0, 0, 2)),
    ("Normal case (3)", "normal", 1, (0, 0, 6)),
    ("Bengin case (1)", "benign", 2, (9, 0, 0)),
    ("Bengin case (2)", "benign", 2, (1, 0, 0)),
    ("Malignant case (1)", "malignant", 3, (0, 0, 4)),
)
"""File, label, group and logits: one group is wholly wrong, one in part, one not."""


def write_run(results: Path, name: str, slices=SLICES) -> None:
    rows = [f"{label} cases/{file}.jpg,{label},{group},{','.join(map(str, z))}" for file, label, group, z in slices]
    for fold in range(FOLDS):
        run = results / "grouped" / f"fold{fold}" / name
        run.mkdir(parents=True)
        (run / "test.csv").write_text("\n".join(["file,label,group,normal,benign,malignant", *rows]) + "\n")


def write_cards(folder: Path, **changes) -> dict[str, dict]:
    """Full cards of all models, with ``changes``; a change to None takes the key away."""
    cards = {}
    for spec in MODELS:
        card = full_card(spec.name) | describe(spec) | changes
        cards[spec.name] = {key: value for key, value in card.items() if value is not None}
        (folder / f"{spec.name}.json").write_text(json.dumps(cards[spec.name]))
    return cards


def section(page: str, title: str) -> str:
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    weights, results = tmp_path / "weights", tmp_path / "results"
    weights.mkdir()
    for spec in MODELS:
        write_run(results, spec.name)
    return weights, results


def test_the_committed_page_is_what_the_cards_say():
    assert FILE.read_text(encoding="utf-8") == render(), "run: python -m train.model_cards"


@pytest.mark.parametrize("page", [FILE, ROOT / "docs" / "reporting.md"], ids=lambda page: page.name)
def test_links_and_named_modules_exist(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", text)
    assert links
    for target in links:
        assert (page.parent / target).exists(), target


def test_a_full_card_is_told_in_full(folders):
    write_cards(folders[0])
    told = section(render(*folders), "Basic CNN")
    assert "| Accuracy | 81 % (76 to 84 %) | 98 % (93 to 100 %) | 79 % (74 to 82 %) |" in told
    assert "| AUC for malignant | 0.937 (0.89 to 0.97) | " in told
    assert "Taught with: all grouped folds but 0" in told
    assert "held the true class of 92 % (88 to 95 %) of the slices (normal 90 % (80 to 96 %)" in told
    assert "1.61 classes on average. 85 % (80 to 90 %) were decided" in told
    assert "| P2 | 40, 9 | 0.41 | 6 of 9 | 4 of 5 |" in told
    assert "| True malignant | 9 | 15 | 512 |" in told
    assert "Temperature: 1.37." in told
    assert "normal below 0.200, benign below 0.200, malignant below 0.200. Set on 1,054 slices in 117 groups" in told
    assert "| Malignant | 50 % to 100 % | 212 | 31 | 94 % (89 % to 97 %) |" in told
    assert "| Undecided | 20 % to 80 % | 212 | 31 | 40 % (35 % to 43 %) |" in told


def test_the_audit_is_told_in_the_pages_order(folders):
    write_cards(folders[0])
    told = section(render(*folders), "ResNet-50")
    assert "- It leans on noise.\n- Blur costs it little." in told
    assert "| Mirrored | 0.790 | 70 % |" in told
    names = [name for group in GROUPS.values() for name in group.values()]
    assert [told.index(f"| {name} | ") for name in names] == sorted(told.index(f"| {name} | ") for name in names)
    assert "on 105 held-out slices" in told


def test_an_audit_of_an_unknown_condition(folders):
    write_cards(folders[0], audit={"conditions": {"turned_upside_down": {"auc_malignant": 0.612}}})
    told = section(render(*folders), "Basic CNN")
    assert "| What the model was shown | AUC for malignant | Balanced accuracy |" in told
    assert "| Turned upside down | 0.612 | not measured |" in told


def test_what_an_older_card_lacks_is_said_to_be_not_measured(folders):
    write_cards(folders[0], metrics={}, audit=None, calibration=BARE)
    told = section(render(*folders), "Advanced CNN")
    assert "| Accuracy | not measured | not measured | not measured |" in told
    for what in ("Scans from other hospitals", "What it leans on", "How often its answers held"):
        assert f"{what}: not measured." in told


def test_errors_are_gathered_by_group_and_the_surest_come_first(folders):
    write_cards(folders[0], calibration=BARE | {"temperature": 1.0})
    told = section(render(*folders), "Basic CNN")
    assert "Of the shipped weights' 6 held-out slices 4 were named wrongly." in told
    assert "| Normal | 2 of 3 | malignant 2 | 1 of 1 | 0 of 1 |" in told
    assert "| Benign | 2 of 2 | normal 2 | 1 of 1 | 1 of 1 |" in told
    assert "| Malignant | 0 of 1 | - | 0 of 1 | 0 of 1 |" in told
    rows = told.split("The surest slice |\n")[1].splitlines()[1:]
    assert [row.partition(" % ")[2] for row in rows] == [
        "| benign | normal | 2 of 2 slices | `Bengin case (1)` |",
        "| normal | malignant | 2 of 3 slices | `Normal case (3)` |",
    ]


def test_the_gallery_ends_somewhere(folders, tmp_path):
    write_cards(folders[0])
    many = [(f"Normal case ({n})", "normal", n, (0, n, 0)) for n in range(1, GALLERY + 4)]
    for spec in MODELS:
        write_run(tmp_path / "other", spec.name, many)
    told = section(render(folders[0], tmp_path / "other"), "Basic CNN")
    assert told.count("| normal | benign |") == GALLERY
    assert "3 kinds of less sure errors are left out" in told
    assert "`Normal case (13)`" in told
    assert "`Normal case (3)`" not in told


def test_a_model_without_errors_or_without_predictions(folders, tmp_path):
    write_cards(folders[0])
    write_run(tmp_path / "other", "basic_cnn", [slice_ for slice_ in SLICES if slice_[0].startswith("Malignant")])
    page = render(folders[0], tmp_path / "other")
    assert "It was right on all 1 held-out slices of the shipped weights." in section(page, "Basic CNN")
    assert "Errors one by one: not measured." in section(page, "ResNet-50")


def test_the_ensemble_is_judged_by_the_mean_of_its_members(folders):
    weights, results = folders
    cards = write_cards(weights, calibration=BARE)
    page = render(weights, results)
    assert "All its figures: not measured." in section(page, "Ensemble")
    members = {name: card["weights_sha256"] for name, card in cards.items()}
    card = full_card(ENSEMBLE) | {"labels": list(LABELS), "members": members, "weights_sha256": None}
    del card["weights_sha256"], card["audit"]
    (weights / "ensemble.json").write_text(json.dumps(card))
    told = section(render(weights, results), "Ensemble")
    assert "Members: `basic_cnn` (0123456789ab…)" in told
    assert "Weights:" not in told
    assert "| Accuracy | 81 % (76 to 84 %) |" in told
    assert "Of the shipped weights' 6 held-out slices 4 were named wrongly" in told
    assert "What it leans on: not measured." in told


def test_models_are_compared_with_the_baselines(folders):
    weights, results = folders
    write_cards(weights, baselines={"nearest_neighbour": {"grouped": figures(0.66)}})
    glance = render(weights, results).split("## At a glance")[1].split("## What holds")[0]
    assert "By cross-validation, with 95 % intervals" in glance
    assert "| Basic CNN | 75 % (70 to 78 %) |" in glance
    assert "| *Nearest neighbour* | 60 % (55 to 63 %) |" in glance
    assert "| *14 grey statistics* | not measured |" in glance


def test_the_shared_part_states_the_data_and_leaves_no_blank(folders):
    write_cards(folders[0])
    page = render(*folders)
    assert "110 patients (55 normal, 15 benign, 40 malignant)" in page
    assert "1,054 slices form 117 groups" in " ".join(page.split())
    assert "| Held out | " in page
    assert not re.search(r"\{\w*\}|\bNone\b|\bnan\b", page)


def test_the_page_begins_with_a_model_index_of_the_cards_figures(folders, tmp_path):
    cards = write_cards(folders[0])
    (tmp_path / "README.md").write_text(render(*folders), encoding="utf-8")
    data = metadata_load(tmp_path / "README.md")
    assert (data["license"], data["library_name"], data["pipeline_tag"]) == ("mit", "keras", "image-classification")
    assert [entry["name"] for entry in data["model-index"]] == [spec.title for spec in MODELS]
    for entry, card in zip(data["model-index"], cards.values(), strict=True):
        _, results = model_index_to_eval_results([entry])
        accuracy = card["metrics"]["grouped"]["accuracy"]
        expected = accuracy["value"] if isinstance(accuracy, dict) else accuracy
        (found,) = [
            result.metric_value
            for result in results
            if (result.metric_type, result.dataset_split) == ("accuracy", "five folds, similar slices kept apart")
        ]
        assert found == pytest.approx(expected, abs=1e-4)


def test_a_figure_that_no_card_has_is_in_no_index(folders, tmp_path):
    write_cards(folders[0], crossval=None, metrics={})
    (tmp_path / "README.md").write_text(render(*folders), encoding="utf-8")
    assert "model-index" not in metadata_load(tmp_path / "README.md")
