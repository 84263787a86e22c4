"""Ray once for all of these tests, and archives to score."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lungapp.archive.rows import Job
from tests.conftest import EXAMPLES
from tests.series_files import phantom_series

MISSING = [name for name in ("ray", "pyarrow", "duckdb") if importlib.util.find_spec(name) is None]
WORKERS = 2
MODEL = "basic_cnn"


@pytest.fixture(scope="session")
def needs_ray() -> None:
    """Skipped on a machine without what archives need; where the project is checked that is a failure."""
    if MISSING:
        told = f"needs {', '.join(MISSING)}: pip install -r requirements-archive.txt -r requirements-dev.txt"
        pytest.fail(told) if os.environ.get("CI") else pytest.skip(told)


@pytest.fixture(scope="session")
def ray(needs_ray) -> Iterator[None]:
    """A Ray of two workers that stays up."""
    from lungapp.archive.cluster import NEEDED, NOT_THERE
    from lungapp.ray_cluster import joined

    with joined(WORKERS, NEEDED, NOT_THERE):
        yield


def write_archive(folder: Path) -> Path:
    """A tree: pictures, a DICOM file, a ZIP of two series with what goes wrong in one, a note and an empty file."""
    root = folder / "archive"
    (root / "a" / "deep").mkdir(parents=True)
    for name, place in (
        ("phantom-mass.png", "a/one"),
        ("phantom-nodule.dcm", "a/deep/two"),
        ("phantom-clear.png", "x"),
    ):
        (root / place).write_bytes((EXAMPLES / name).read_bytes())
    (root / "study.zip").write_bytes(phantom_series(6))
    (root / "note.txt").write_text("Not a slice.")
    (root / "empty").write_bytes(b"")
    (root / ".DS_Store").write_bytes(b"litter")
    return root


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_archive(tmp_path)


@pytest.fixture
def job(archive: Path, toy_weights: Path) -> Job:
    return Job(str(archive), MODEL, toy_weights)
