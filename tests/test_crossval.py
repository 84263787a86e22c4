"""The folds, the baselines on them, and the cards and tables made of their logits."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lungapp.cards import read_card
from lungapp.models import build_model
from lungapp.registry import LABELS, get_spec
from lungapp.weights_io import write_weights
from tests.conftest import write_dataset
from tests.folds import write_results
from train.baselines import Baselines
from train.card import BASELINES, ran_earlier
from train.data import PROTOCOLS, Entry, build_manifest, read_manifest
from train.folds import FOLDS, SHIPPED, fold_parts, held_out, learnt_from
from train.predict import RESULTS, pooled, read_folds, read_predictions
from train.publish import publish
from train.table import render_page, render_table


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_slice_is_held_out_once_and_no_duplicate_is_used(protocol):
    entries = read_manifest()
    distinct = {entry.file for entry in entries if not entry.duplicate_of}
    folds = [fold_parts(entries, protocol, fold) for fold in range(FOLDS)]
    assert sorted(file for parts in folds for file, part in parts.items() if part == "test") == sorted(distinct)
    assert all(set(parts) == distinct and set(parts.values()) == {"train", "test"} for parts in folds)


def test_no_group_and_no_picture_lies_on_two_sides_of_a_grouped_fold():
    entries = [entry for entry in read_manifest() if not entry.duplicate_of]
    for fold in range(FOLDS):
        parts = fold_parts(entries, "grouped", fold)
        for identity in ("group", "digest"):
            sides = [{getattr(e, identity) for e in entries if parts[e.file] == part} for part in ("train", "test")]
            assert not sides[0] & sides[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_part_of_every_fold_has_every_class(protocol):
    entries = [entry for entry in read_manifest() if not entry.duplicate_of]
    for fold in range(FOLDS):
        parts = fold_parts(entries, protocol, fold)
        for name in ("train", "test"):
            assert {entry.label for entry in entries if parts[entry.file] == name} == set(LABELS)


def test_the_shipped_weights_are_judged_on_what_they_did_not_learn_from():
    assert {entry.group for entry in held_out()}.isdisjoint(entry.group for entry in learnt_from())
    assert len(held_out()) + len(learnt_from()) == 1054


def test_folds_are_the_same_every_time_and_refuse_what_is_none():
    entries = [Entry(f"{index}.png", LABELS[index % 3], str(index), 9, 9, group=index // 3) for index in range(90)]
    assert fold_parts(entries, "grouped", 2) == fold_parts(entries, "grouped", 2)
    assert fold_parts(entries, "grouped", 2) != fold_parts(entries, "grouped", 3)
    for protocol, fold in (("by_patient", 0), ("grouped", 5), ("grouped", -1)):
        with pytest.raises(ValueError, match="Expected image_level or grouped and a fold from 0 to 4"):
            fold_parts(entries, protocol, fold)


def test_the_baselines_hold_every_slice_out(tmp_path):
    root = write_dataset(tmp_path / "set", (40, 30, 40), size=140)
    entries = build_manifest(root)
    distinct = [entry for entry in entries if not entry.duplicate_of]
    truth = np.eye(3)[[LABELS.index(entry.label) for entry in distinct]]
    made = Baselines(root, entries, truth + np.random.default_rng(0).normal(0, 0.3, truth.shape))
    for name in BASELINES:
        for fold in range(FOLDS):
            made.write_fold(name, "grouped", fold, tmp_path / "results")
        whole = pooled(read_folds(name, "grouped", tmp_path / "results"))
        assert sorted(whole.files) == sorted(entry.file for entry in distinct)
        assert whole.probabilities().sum(axis=1) == pytest.approx(1)
        if name == "frozen_features":
            assert (whole.logits.argmax(axis=1) == whole.labels).mean() > 0.8


def test_weights_and_card_of_the_shipped_fold_and_the_tables_of_all(tmp_path):
    spec, results, weights = get_spec("basic_cnn"), tmp_path / "results", tmp_path / "weights"
    weights.mkdir()
    assert not publish(spec, tmp_path / "runs", weights, results)
    assert not list(weights.iterdir())
    write_results(results, [spec.name, *BASELINES])
    run = tmp_path / "runs" / "grouped" / f"fold{SHIPPED}" / spec.name
    run.mkdir(parents=True)
    write_weights(build_model(spec), run / "weights.safetensors")
    assert publish(spec, tmp_path / "runs", weights, results)
    card = read_card(spec, weights).data
    assert (weights / "basic_cnn.safetensors").read_bytes() == (run / "weights.safetensors").read_bytes()
    assert card["metrics"]["grouped"]["n"] == np.sum(card["metrics"]["grouped"]["confusion_matrix"]) == 1054
    assert card["metrics"]["grouped"]["shipped_fold"]["n"] == len(held_out())
    assert set(card["baselines"]) == set(BASELINES)
    assert "audit" not in card
    value = card["metrics"]["grouped"]["auc_malignant"]
    shown = f"{value['value']:.3f} ({value['interval'][0]:.2f} to {value['interval'][1]:.2f})"
    table, page = render_table(weights), render_page(weights)
    assert shown in table.split("| Basic CNN |")[1].splitlines()[0]
    assert shown in page
    assert table.split("| ResNet-50 |")[1].splitlines()[0].count("not measured") == 6


def test_the_committed_logits_are_of_the_folds():
    labels = {entry.file: entry.label for entry in read_manifest()}
    for path in sorted(RESULTS.glob("*/fold*/*/test.csv")):
        protocol, fold = path.parts[-4], int(path.parts[-3].removeprefix("fold"))
        parts = fold_parts(read_manifest(), protocol, fold)
        committed = read_predictions(path)
        assert set(committed.files) == {file for file, part in parts.items() if part == "test"}
        assert [LABELS[label] for label in committed.labels] == [labels[file] for file in committed.files]


def test_a_random_split_that_was_run_earlier_is_known(tmp_path):
    def write(protocol: str, name: str, body: str, softened: float = 1.0) -> None:
        folder = tmp_path / protocol / f"fold{SHIPPED}" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"backbone_sha256": body, "input": {"softened": softened}}))

    assert not ran_earlier("basic_cnn", "image_level", tmp_path)
    for protocol in ("grouped", "image_level"):
        write(protocol, "basic_cnn", "same")
        write(protocol, "advanced_cnn", body=protocol)
        write(protocol, "resnet50", "same", softened=float(protocol == "grouped"))
    earlier = {name: ran_earlier(name, "image_level", tmp_path) for name in ("basic_cnn", "resnet50", "advanced_cnn")}
    assert earlier == {"basic_cnn": False, "resnet50": True, "advanced_cnn": True}
    assert not any(ran_earlier(name, "grouped", tmp_path) for name in earlier)
