"""Finding, checking, grouping and splitting the dataset; on made-up copies, and on the real one where it is there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from lungapp.errors import DatasetDamaged, DatasetNotFound
from lungapp.registry import LABELS
from tests.conftest import write_dataset
from train import data
from train.data import (
    build_manifest,
    check_undamaged,
    download,
    find_dataset,
    manifest_digest,
    read_manifest,
    similarity_groups,
    write_manifest,
)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "set", (30, 20, 40))


def test_the_named_folder_comes_before_the_variable_and_that_before_data(tmp_path, monkeypatch):
    places = [tmp_path / name for name in ("option", "variable", "data")]
    for place in places:
        write_dataset(place, (1, 1, 1))
    monkeypatch.chdir(tmp_path)
    variable = {"LUNGAPP_DATA": str(places[1])}
    assert find_dataset(str(places[0]), variable) == places[0]
    assert find_dataset(None, variable) == places[1]
    assert find_dataset(None, {}).resolve() == places[2]


def test_folders_of_an_unpacked_archive_are_found_below(tmp_path):
    root = write_dataset(tmp_path / "archive" / "The IQ-OTHNCCD lung cancer dataset", (1, 1, 1))
    assert find_dataset(tmp_path) == root


def test_the_right_spelling_is_read_too(tmp_path):
    root = write_dataset(tmp_path / "set", (1, 1, 1))
    (root / "Bengin cases").rename(root / "Benign cases")
    assert Counter(entry.label for entry in build_manifest(root)) == dict.fromkeys(LABELS, 1)


def test_an_absent_dataset_says_what_to_do(tmp_path):
    with pytest.raises(DatasetNotFound, match=r"Expected[\s\S]+LUNGAPP_DATA"):
        find_dataset(tmp_path, {})
    root = write_dataset(tmp_path / "set", (1, 1, 1))
    shutil.rmtree(root / "Malignant cases")
    with pytest.raises(DatasetNotFound):
        find_dataset(root)


def test_downloading_copies_what_kagglehub_fetched(tmp_path, monkeypatch):
    import kagglehub

    fetched = write_dataset(tmp_path / "cache" / "set", (1, 1, 1))
    monkeypatch.setattr(kagglehub, "dataset_download", lambda name: str(fetched.parent))
    assert download(tmp_path / "data") == tmp_path / "data"
    assert find_dataset(tmp_path / "data") == tmp_path / "data"


def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch):
    import kagglehub

    def refuse(name):
        raise ConnectionError("no route")

    monkeypatch.setattr(kagglehub, "dataset_download", refuse)
    with pytest.raises(DatasetNotFound, match=r"Kaggle could not be reached[\s\S]+publisher"):
        download(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_the_manifest_lists_every_file_and_names_duplicates(made_up, tmp_path):
    copy = tmp_path / "set"
    shutil.copytree(made_up, copy)
    shutil.copy(copy / "Normal cases" / "normal case (1).png", copy / "Normal cases" / "normal case (99).png")
    # the same greys in other bytes are the same picture
    Image.open(copy / "Normal cases" / "normal case (2).png").save(
        copy / "Normal cases" / "normal case (98).png", compress_level=0
    )
    entries = {entry.file: entry for entry in build_manifest(copy)}
    assert len(entries) == 92
    assert entries["Normal cases/normal case (99).png"].duplicate_of == "Normal cases/normal case (1).png"
    assert entries["Normal cases/normal case (98).png"].duplicate_of == "Normal cases/normal case (2).png"
    assert sum(not entry.duplicate_of for entry in entries.values()) == 90
    assert all((entry.group == -1) == bool(entry.duplicate_of) for entry in entries.values())


def test_the_manifest_survives_the_disk(made_up, tmp_path):
    entries = build_manifest(made_up)
    write_manifest(entries, tmp_path / "manifest.csv")
    assert read_manifest(tmp_path / "manifest.csv") == entries


def test_the_digest_follows_what_training_depends_on(made_up):
    entries = build_manifest(made_up)
    assert manifest_digest(entries) == manifest_digest(entries[::-1])
    assert manifest_digest(entries) != manifest_digest(entries[1:])


def test_a_thresholded_copy_is_refused(made_up, tmp_path):
    """The copies in circulation: equalised, then everything under 128 set to 0."""
    copy = tmp_path / "set"
    shutil.copytree(made_up, copy)
    for path in copy.glob("*/*.png"):
        picture = np.asarray(Image.open(path))
        rank = picture.ravel().argsort().argsort().reshape(picture.shape) / picture.size
        Image.fromarray(np.where(rank > 0.85, 128 + 127 * rank, 0).astype(np.uint8)).save(path)
    with pytest.raises(DatasetDamaged, match="thresholded at 128"):
        build_manifest(copy)


def test_letterboxed_pictures_are_no_damage():
    picture = np.full((100, 100), 40, np.uint8)
    picture[:60] = 0
    check_undamaged([picture] * 5)


def test_shifted_copies_fall_into_one_group_and_strangers_apart():
    random = np.random.default_rng(1)
    pictures = [
        np.asarray(Image.fromarray(random.integers(0, 255, (8, 8), np.uint8)).resize((128, 128), 3)) for _ in range(4)
    ]
    series = [np.roll(picture, shift, axis=1) for picture in pictures for shift in range(3)]
    assert similarity_groups(series).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_the_command_writes_the_manifest(made_up, tmp_path):
    command = [sys.executable, "-m", "train.data", "--data", str(made_up), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=data.SPLITS.parent.parent, check=True)
    assert "90 files, 90 distinct" in done.stdout
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["manifest.csv"]


def test_the_command_fails_with_words_not_a_traceback(tmp_path):
    command = [sys.executable, "-m", "train.data", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=data.SPLITS.parent.parent, check=False)
    assert done.returncode == 1
    assert "Expected the IQ-OTH/NCCD class folders" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_committed_files_follow_from_the_dataset(dataset):
    entries = build_manifest(dataset)
    assert entries == read_manifest()
    assert len(entries) == 1097
    assert sum(not entry.duplicate_of for entry in entries) == 1054
