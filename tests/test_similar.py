"""How a slice compares with the training slices: measures, neighbours, and what is said of both."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from lungapp import similar
from lungapp.reading import read_slice
from lungapp.registry import LABELS
from lungapp.similar import MEASURES, NEARLY_THE_SAME, Neighbours, compare, reference
from lungapp.slices import Slice
from lungapp.ui import EXAMPLES, words
from lungapp.ui.neighbours import comparison
from tests.conftest import write_dataset
from train import similar as typical
from train.data import Entry
from train.folds import learnt_from

PHANTOM = read_slice(EXAMPLES / "phantom-mass.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = write_dataset(tmp_path, (3, 2, 3))
    (root / "Malignant cases" / "phantom.png").write_bytes((EXAMPLES / "phantom-mass.png").read_bytes())
    return root


def files(root: Path) -> dict[str, list[str]]:
    folders = zip(LABELS, ("Normal cases", "Bengin cases", "Malignant cases"), strict=True)
    return {label: [f"{name}/{path.name}" for path in sorted((root / name).iterdir())] for label, name in folders}


def test_the_committed_file_is_of_the_training_slices_alone() -> None:
    held = reference()
    trained = {label: [e.file for e in learnt_from() if e.label == label] for label in LABELS}
    assert held["files"] == trained
    assert held["counts"] == {label: len(some) for label, some in trained.items()}
    assert similar.FILE.stat().st_size < 50_000
    for label in LABELS:
        assert held["measures"][label].keys() == {entry.name for entry in MEASURES}


def test_a_slice_is_compared_with_every_class() -> None:
    found = compare(PHANTOM)
    assert found.nearest in LABELS
    assert 5 < found.own["lungs"] < 60
    assert -950 < found.own["lung"] < -500
    assert compare(Slice(np.zeros((64, 64)), "grey")).nearest is None, "no body, no measures"


def test_neighbours_are_found_and_the_same_slice_is_told(folder: Path) -> None:
    known = Neighbours(folder, files(folder))
    known.wait()
    found = known.nearest(PHANTOM)
    assert found is not None
    assert [found[0].file, found[0].label] == ["Malignant cases/phantom.png", "malignant"]
    assert found[0].likeness == pytest.approx(1, abs=1e-3)
    assert found[0].nearly_the_same
    assert found[1].likeness < NEARLY_THE_SAME
    shown = comparison(PHANTOM, known)
    assert words.SAME_SLICE in shown
    assert shown.count("<img") == len(found)
    assert str(folder) not in shown


def test_a_folder_without_the_slices_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = Neighbours(tmp_path, {"normal": ["Normal cases/1.png"]})
    known.wait()
    assert known.nearest(PHANTOM) == ()
    assert words.UNREADABLE in comparison(PHANTOM, known)
    assert "Of 1 training slices 0" in caplog.text
    assert words.NO_DATASET in comparison(PHANTOM)


def test_reading_ends_when_it_is_told_to(folder: Path) -> None:
    known = Neighbours(folder, {"normal": files(folder)["normal"] * 10_000})
    known.close()
    assert known.nearest(PHANTOM) is None


def test_the_page_says_how_often_the_nearest_class_is_right() -> None:
    held = reference()["held_out"]
    text = re.sub("<[^>]+>", " ", comparison(PHANTOM))
    assert f"On {held['n']} held-out slices" in text
    assert "no second opinion" in text
    for entry in MEASURES:
        assert entry.title in text
    assert "not found" in comparison(Slice(np.zeros((64, 64)), "grey"))


def test_the_file_is_made_of_the_slices(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named = [(label, file) for label, some in files(folder).items() for file in some]
    # Noise has no lungs: the phantom stands in for all of them.
    for _, file in named:
        (folder / file).write_bytes((EXAMPLES / "phantom-mass.png").read_bytes())
    entries = [Entry(file, label, "", 96, 96) for label, file in named]
    held = typical.typical(folder, entries)
    assert held["counts"] == {"normal": 3, "benign": 2, "malignant": 4}
    for mean, spread in held["measures"]["benign"].values():
        assert np.isfinite(mean)
        assert spread == pytest.approx(0, abs=1e-6)
    monkeypatch.setattr(typical, "FILE", tmp_path / "similar.json")
    typical.write(held)
    assert re.search(r'"lungs": \[[\d.]+, 0.0\]', (tmp_path / "similar.json").read_text())
    assert typical.rightly_named(folder, entries)["n"] == len(entries)


def test_the_committed_figures_are_those_of_the_dataset(dataset: Path) -> None:
    few = [entry for entry in learnt_from() if entry.label == "benign"]
    own = [similar.measures_of(read_slice(dataset / entry.file))["lungs"] for entry in few]
    mean, spread = reference()["measures"]["benign"]["lungs"]
    assert [np.mean(own), np.std(own)] == pytest.approx([mean, spread], abs=1e-3)
