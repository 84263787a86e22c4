"""What is listed, what names it, and how it is handed on; no Ray."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from lungapp.archive.inputs import CHUNK_BYTES, Input, Source, chunks
from lungapp.archive.rows import Job
from lungapp.archive.worker import Worker
from lungapp.errors import InvalidSetting, UnreadableInput, UnsupportedInput
from lungapp.reading import Limits
from tests.conftest import EXAMPLES

MASS = EXAMPLES / "phantom-mass.png"


def test_every_file_of_the_tree_but_litter(archive):
    inputs, closed = Source(str(archive)).inputs()
    assert [item.path for item in inputs] == ["a/deep/two", "a/one", "empty", "note.txt", "study.zip", "x"]
    assert closed == 0
    assert len({item.key for item in inputs}) == len(inputs)


def test_the_results_are_no_inputs(archive):
    (archive / "r.parquet").mkdir()
    (archive / "r.parquet" / "part-0.parquet").write_bytes(b"PAR1")
    inputs, _ = Source(str(archive)).inputs(leave_out=archive / "r.parquet")
    assert not [item for item in inputs if "parquet" in item.path]


def test_a_single_file(archive):
    source = Source(str(archive / "x"))
    (item,), _ = source.inputs()
    assert item.path == "x"
    assert source.fetch(item, archive) == archive / "x"


def test_a_file_that_changes_has_another_key(archive):
    before = {item.path: item.key for item in Source(str(archive)).inputs()[0]}
    os.utime(archive / "x", (1, 1))
    after = {item.path: item.key for item in Source(str(archive)).inputs()[0]}
    assert {path for path in before if before[path] != after[path]} == {"x"}


def test_names_that_are_no_text_can_be_told():
    assert Input(os.fsdecode(b"caf\xe9"), 1, "").label == "caf\\xe9"


@pytest.mark.parametrize("address", ["/no/such/folder", "memory://nothing/here"])
def test_nothing_at_the_address(address):
    with pytest.raises(UnsupportedInput, match="nothing there"):
        Source(address).inputs()


def test_an_address_that_nothing_reads():
    with pytest.raises(InvalidSetting, match="Protocol not known"):
        Source("nosuch://bucket").inputs()


def test_folders_that_cannot_be_looked_into_are_counted(archive, monkeypatch):
    whole = os.scandir

    def closed(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "closed")
        return whole(path)

    monkeypatch.setattr(os, "scandir", closed)
    inputs, count = Source(str(archive)).inputs()
    assert count == 1
    assert "a/deep/two" not in [item.path for item in inputs]


def test_links_are_followed_but_not_in_circles(archive):
    (archive / "a" / "circle").symlink_to(archive)
    (archive / "gone").symlink_to(archive / "nothing")
    (archive / "elsewhere").symlink_to(EXAMPLES)
    paths = [item.path for item in Source(str(archive)).inputs()[0]]
    assert len(paths) == len({path for path in paths if "circle" not in path})
    assert {"gone", "elsewhere/phantom-mass.png", "a/one"} <= set(paths)


def test_chunks_are_few_and_small():
    many = [Input(str(number), 1, "") for number in range(70)]
    assert [len(chunk) for chunk in chunks(many)] == [32, 32, 6]
    big = [Input(str(number), CHUNK_BYTES // 2 + 1, "") for number in range(3)]
    assert [len(chunk) for chunk in chunks(big)] == [1, 1, 1]


@pytest.fixture
def bucket():
    """A folder at an address that is no path of this machine."""
    files = fsspec.filesystem("memory")
    files.pipe_file("/bucket/Mustermann/one", MASS.read_bytes())
    files.pipe_file("/bucket/two.txt", b"Not a slice.")
    yield "memory://bucket"
    files.rm("/bucket", recursive=True)


def test_an_address_is_listed_and_fetched(bucket, tmp_path):
    source = Source(bucket)
    inputs, _ = source.inputs()
    assert [item.path for item in inputs] == ["Mustermann/one", "two.txt"]
    copy = source.fetch(inputs[0], tmp_path)
    assert copy.read_bytes() == MASS.read_bytes()
    assert "Mustermann" not in str(copy)
    with pytest.raises(UnreadableInput, match="FileNotFoundError"):
        source.fetch(Input("gone", 1, ""), tmp_path)


def test_a_worker_scores_what_lies_at_an_address(bucket, toy_weights):
    inputs, _ = Source(bucket).inputs()
    gone, large = Input("gone", 1, ""), Input("large", 2**40, "")
    rows = Worker(Job(bucket, "basic_cnn", toy_weights)).score([*inputs, gone, large])
    found = {row["path"]: row for row in rows}
    assert found["Mustermann/one"]["label"]
    assert found["two.txt"]["status"] == found["gone"]["status"] == found["large"]["status"] == "failed"
    assert "at most" in found["large"]["error"], "it is not even fetched"


def test_digests_in_place_of_paths(bucket, toy_weights):
    inputs, _ = Source(bucket).inputs()
    rows = Worker(Job(bucket, "basic_cnn", toy_weights, Limits(), hash_paths=True)).score(inputs)
    assert "Mustermann" not in str(rows)
    assert {len(row["path"]) for row in rows} == {32}
    assert not list(Path(bucket.removeprefix("memory://")).glob("*"))
