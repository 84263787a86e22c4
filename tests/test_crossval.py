"""The folds, a whole cross-validation on a made-up dataset, and the tables made of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lungapp.registry import LABELS, MODELS
from tests.conftest import write_dataset
from train import crossval, crossval_table, pipeline, recipes
from train.baselines import Baselines
from train.data import PROTOCOLS, Entry, build_manifest, read_manifest
from train.folds import FOLDS, KEPT, fold_parts
from train.recipes import Recipe, Stage


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_slice_is_held_out_once_and_no_duplicate_is_used(protocol):
    entries = read_manifest()
    distinct = {entry.file for entry in entries if not entry.duplicate_of}
    folds = [fold_parts(entries, protocol, fold) for fold in range(FOLDS)]
    held_out = [file for parts in folds for file, part in parts.items() if part == "test"]
    assert sorted(held_out) == sorted(distinct)
    for parts in folds:
        assert set(parts) == distinct
        sizes = [sum(part == name for part in parts.values()) for name in ("train", "validation", "test")]
        assert sizes[0] > 600
        assert sizes[1] > 70


def test_no_group_and_no_picture_lies_on_two_sides_of_a_grouped_fold():
    entries = [entry for entry in read_manifest() if not entry.duplicate_of]
    for fold in range(FOLDS):
        parts = fold_parts(entries, "grouped", fold)
        sides: dict[str, set[int]] = {}
        digests: dict[str, set[str]] = {}
        for entry in entries:
            sides.setdefault(parts[entry.file], set()).add(entry.group)
            digests.setdefault(parts[entry.file], set()).add(entry.digest)
        for found in (sides, digests):
            train, validation, test = (found[name] for name in ("train", "validation", "test"))
            assert not train & test
            assert not train & validation
            assert not validation & test


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_part_of_every_fold_has_every_class(protocol):
    entries = [entry for entry in read_manifest() if not entry.duplicate_of]
    for fold in range(FOLDS):
        parts = fold_parts(entries, protocol, fold)
        for name in ("train", "validation", "test"):
            assert {entry.label for entry in entries if parts[entry.file] == name} == set(LABELS)


def test_folds_are_the_same_every_time_and_refuse_what_is_none():
    entries = [Entry(f"{index}.png", LABELS[index % 3], str(index), 9, 9, group=index // 3) for index in range(90)]
    assert fold_parts(entries, "grouped", 2) == fold_parts(entries, "grouped", 2)
    assert fold_parts(entries, "grouped", 2) != fold_parts(entries, "grouped", 3)
    for protocol, fold in (("by_patient", 0), ("grouped", 5), ("grouped", -1)):
        with pytest.raises(ValueError, match="Expected image_level or grouped and a fold from 0 to 4"):
            fold_parts(entries, protocol, fold)


@pytest.fixture
def small_set(tmp_path, monkeypatch):
    root = write_dataset(tmp_path / "set", (40, 30, 40), size=140)
    entries = build_manifest(root)
    for module in (pipeline, crossval):
        monkeypatch.setattr(module, "read_manifest", lambda: entries)
    monkeypatch.setattr(crossval, "KEPT", tmp_path / "kept")
    short = Recipe((Stage(1, 1e-3, batch=16, averaged=True, group_head=False),))
    monkeypatch.setitem(recipes.SHORT, "basic_cnn", short)
    return tmp_path, root, entries


def test_a_cross_validation_from_pictures_to_tables(small_set):
    place, root, entries = small_set
    common = ["basic_cnn", "--data", str(root), "--runs", str(place / "runs"), "--size", "64", "--keep"]
    for protocol in PROTOCOLS:
        crossval.main([*common, "--protocol", protocol])
    weights = place / "runs" / "crossval" / "grouped" / "fold3" / "basic_cnn" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    crossval.main([*common, "--protocol", "grouped"])  # a finished fold is not trained again
    assert weights.stat().st_mtime_ns == before
    baselines = Baselines(root, entries)
    for fold in range(FOLDS):
        baselines.write_fold("nearest_neighbour", "grouped", fold, place / "kept")
    summary = crossval_table.summarise(place / "kept")
    distinct = sum(not entry.duplicate_of for entry in entries)
    for protocol in PROTOCOLS:
        found = summary["results"]["basic_cnn"][protocol]
        assert found["n"] == np.sum(found["confusion_matrix"]) == distinct
        assert len(found["accuracy"]["folds"]) == FOLDS
    assert summary["results"]["basic_cnn"]["image_level"]["bootstrap_units"] == distinct
    groups = {entry.group for entry in entries if entry.group >= 0}
    assert summary["results"]["basic_cnn"]["grouped"]["bootstrap_units"] == len(groups)
    assert summary["results"]["nearest_neighbour"]["grouped"]["n"] == distinct
    assert "grouped" not in summary["results"]["resnet50"]
    assert summary["settings"]["models"] == {"basic_cnn": {"size": 64, "epochs": 1, "pretrained": "none"}}
    clean = summary["audit"]["basic_cnn"]["clean"]["accuracy"]
    assert clean == pytest.approx(summary["results"]["basic_cnn"]["grouped"]["accuracy"]["value"], abs=0.02)
    page = crossval_table.render(summary)
    assert f"{summary['results']['basic_cnn']['grouped']['auc_malignant']['value']:.3f}" in page


def test_the_committed_tables_follow_from_the_committed_predictions():
    summary = crossval_table.summarise()
    assert json.loads(crossval_table.CROSSVAL.read_text(encoding="utf-8")) == json.loads(json.dumps(summary))
    assert crossval_table.PAGE.read_text(encoding="utf-8") == crossval_table.render(summary)
    for spec in MODELS:
        assert set(summary["results"][spec.name]) == {"grouped", "image_level"}
        assert spec.name in summary["audit"]


def test_the_committed_predictions_are_of_the_folds():
    entries = read_manifest()
    labels = {entry.file: entry.label for entry in entries}
    from train.predict import read_predictions

    for path in sorted(KEPT.glob("*/fold*/*/test.csv")):
        protocol, fold = path.parts[-4], int(path.parts[-3].removeprefix("fold"))
        parts = fold_parts(entries, protocol, fold)
        found = read_predictions(path)
        assert set(found.files) == {file for file, part in parts.items() if part == "test"}
        assert [LABELS[label] for label in found.labels] == [labels[file] for file in found.files]
