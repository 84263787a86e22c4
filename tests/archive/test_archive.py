"""``python -m lungapp.archive`` through Ray: the page's answers, each once, whatever happens on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lungapp import __version__
from lungapp.archive.__main__ import main
from lungapp.archive.cluster import NOT_THERE
from lungapp.archive.parts import Parts
from lungapp.archive.rows import COLUMNS, Job
from lungapp.archive.run import Outcome, run
from lungapp.engine import Engine
from lungapp.errors import StorageUnavailable, WeightsError
from lungapp.reading import read_slice, read_study
from lungapp.registry import LABELS
from tests.archive.conftest import MODEL, WORKERS, write_archive
from tests.archive.engines import DEADLY_ROWS, Deadly, DiesOnce
from tests.conftest import EXAMPLES

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def with_ray(ray, toy_weights, monkeypatch):
    monkeypatch.setenv("LUNGAPP_WEIGHTS", str(toy_weights))


def go(job: Job, out: Path) -> Outcome:
    return run(job, Parts(out), Engine(job.weights).cards(), WORKERS)


def table(out: Path):
    import pandas

    return pandas.read_parquet(out)


@pytest.fixture(scope="module")
def scored(ray, tmp_path_factory, toy_weights) -> tuple[Path, Path]:
    """An archive, and what it came to."""
    archive, out = write_archive(tmp_path_factory.mktemp("scored")), tmp_path_factory.mktemp("out") / "r.parquet"
    outcome = go(Job(str(archive), MODEL, toy_weights), out)
    assert (outcome.found, outcome.before, outcome.closed) == (6, 0, 0)
    return archive, out


def test_the_answers_are_the_pages(scored, toy_weights):
    archive, out = scored
    found = table(out)
    assert tuple(found.columns) == COLUMNS
    assert found["input"].nunique() == 6
    engine = Engine(toy_weights)
    for path in ("a/one", "a/deep/two", "x"):
        expected = engine.analyse(read_slice(archive / path), MODEL)
        (row,) = found[found["path"] == path].to_dict("records")
        assert row["label"] == expected.prediction.label
        assert row["status"] == expected.status
        assert row["decision"] == expected.decision
        assert row["answer_set"] == " ".join(expected.prediction.answer_set)
        assert row["answer_level"] == 0.9
        assert bool(row["counted"]) == (expected.quality.verdict == "accept")
        assert row["quality_verdict"] == expected.quality.verdict
        scores = [row[f"probability_{label}"] for label in LABELS]
        np.testing.assert_allclose(scores, expected.prediction.probabilities, atol=1e-6)
    study = read_study([archive / "study.zip"])
    zipped = found[found["path"] == "study.zip"]
    for number, series in enumerate(study.series, start=1):
        for row in engine.analyse_series(series.entries, MODEL):
            (own,) = zipped[(zipped["series"] == number) & (zipped["slice"] == row.number)].to_dict("records")
            assert own["position_mm"] == row.position
            assert own["status"] == row.state
            assert own["error"] == row.error
            if row.malignant is not None:
                assert own["probability_malignant"] == pytest.approx(row.malignant, abs=1e-6)
    aside = zipped[zipped["status"] == "set_aside"]
    assert len(aside) == len(study.set_aside)
    assert len(zipped) == len(aside) + sum(len(series.entries) for series in study.series)


def test_every_row_tells_where_it_comes_from(scored, toy_weights):
    found = table(scored[1])
    card = json.loads((toy_weights / f"{MODEL}.json").read_text())
    assert set(found["version"]) == {__version__}
    assert set(found["weights_sha256"]) == {card["weights_sha256"]}
    assert set(found["model"]) == {MODEL}
    (settings,) = set(found["settings"])
    assert json.loads(settings)["limits"]["max_frames"] == 2000
    failed = found[found["status"] == "failed"].set_index("path")["error"]
    assert "bytes of another kind" in failed["note.txt"]
    assert "an empty file" in failed["empty"]


def test_duckdb_opens_it(scored):
    import duckdb

    _, out = scored
    told = duckdb.sql(f"select count(*), count(distinct input) from '{out}/*.parquet'").fetchall()
    assert told == [(len(table(out)), 6)]


def test_all_models_and_their_mean(job, tmp_path):
    go(replace(job, source=str(Path(job.source) / "x"), model="all"), tmp_path / "r.parquet")
    found = table(tmp_path / "r.parquet")
    assert sorted(found["model"]) == ["advanced_cnn", "basic_cnn", "ensemble", "resnet50"]


def test_a_second_run_scores_what_is_new_or_changed(job, archive, tmp_path):
    out = tmp_path / "r.parquet"
    first, again = go(job, out), go(job, out)
    assert (first.before, again.before, again.rows) == (0, 6, 0)
    shutil.copy(EXAMPLES / "phantom-nodule.png", archive / "new")
    shutil.copy(EXAMPLES / "phantom-mass.png", archive / "x")
    os.utime(archive / "x", (1, 1))
    third = go(job, out)
    assert (third.before, third.rows) == (5, 2)
    found = table(out)
    assert found["input"].nunique() == 7
    assert sorted(found[found["path"] != "study.zip"]["path"]) == [
        "a/deep/two",
        "a/one",
        "empty",
        "new",
        "note.txt",
        "x",
    ]
    one, x = (found[found["path"] == path]["probability_malignant"].item() for path in ("a/one", "x"))
    assert one == x, "the row of the new content, not of the old"


def test_results_of_other_settings_are_left_alone(archive, tmp_path, capsys):
    command = [str(archive / "x"), "--out", str(tmp_path / "r.parquet")]
    assert main([*command, "--model", MODEL]) == 0
    for other in (["--model", "advanced_cnn"], ["--model", MODEL, "--override"]):
        assert main([*command, *other]) == 2
        assert "name a new folder" in capsys.readouterr().err
    assert len(table(tmp_path / "r.parquet")) == 1


def test_an_empty_folder(tmp_path, capsys):
    (tmp_path / "nothing").mkdir()
    assert main([str(tmp_path / "nothing"), "--out", str(tmp_path / "r.parquet")]) == 2
    assert "Received: one without any" in capsys.readouterr().err
    assert not (tmp_path / "r.parquet").exists()


def test_output_that_cannot_be_written(archive, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "thesis.doc").write_text("")
    for out, said in (
        ("/proc/r.parquet", "can be written to"),
        (tmp_path / "file", "a file"),
        (tmp_path / "file" / "r", "Not a directory"),
        (tmp_path / "others", "other files"),
    ):
        assert main([str(archive), "--out", str(out), "--model", MODEL]) == 2
        err = capsys.readouterr().err
        assert said in err and "Traceback" not in err


def test_a_disk_that_is_full_half_way(archive, tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert main([str(archive), "--out", str(tmp_path / "r.parquet"), "--model", MODEL]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not list((tmp_path / "r.parquet").glob("*.parquet"))
    assert main([str(archive), "--out", str(tmp_path / "r.parquet"), "--model", MODEL]) == 1
    assert table(tmp_path / "r.parquet")["input"].nunique() == 6


def test_two_runs_at_once(job, tmp_path):
    parts = Parts(tmp_path / "r.parquet")
    with parts.held(), pytest.raises(StorageUnavailable, match="another run"), Parts(parts.folder).held():
        pass


def test_a_damaged_part_is_told(archive, tmp_path, capsys):
    out = tmp_path / "r.parquet"
    out.mkdir()
    (out / "part-0.parquet").write_bytes(b"PAR1 no more")
    assert main([str(archive), "--out", str(out), "--model", MODEL]) == 2
    assert "part-0.parquet" in capsys.readouterr().err


def test_weights_that_do_not_match_stop_the_run(job, tmp_path, capsys):
    weights = tmp_path / "weights"
    shutil.copytree(job.weights, weights)
    path = weights / f"{MODEL}.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\1\2\3")
    with pytest.raises(WeightsError, match="digest"):
        go(replace(job, weights=weights), tmp_path / "r.parquet")
    assert not Parts(tmp_path / "r.parquet").files()


def many(folder: Path, count: int) -> None:
    """``count`` different small pictures; the gate rejects them, which is an answer too."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture = np.random.default_rng(number).integers(0, 255, (128, 128)).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{number:04}.png")


def test_a_file_that_kills_its_worker_costs_no_other(job, archive, tmp_path):
    Image.fromarray(np.zeros((DEADLY_ROWS, 200), np.uint8)).save(archive / "deadly.png")
    many(archive / "many", 4)
    outcome = go(replace(job, engine=Deadly), tmp_path / "r.parquet")
    found = table(tmp_path / "r.parquet")
    assert outcome.found == found["input"].nunique() == 11
    (deadly,) = found[found["path"] == "deadly.png"].to_dict("records")
    assert deadly["status"] == "failed" and "died" in deadly["error"]
    assert found[found["path"] == "x"]["label"].item()
    assert not found.duplicated(["input", "series", "place"]).any()


def test_a_worker_that_dies_loses_nothing(job, archive, tmp_path):
    many(archive / "many", 4)
    weights = tmp_path / "weights"
    shutil.copytree(job.weights, weights)
    go(replace(job, engine=DiesOnce, weights=weights), tmp_path / "r.parquet")
    go(job, tmp_path / "undisturbed.parquet")
    assert (weights / "died").exists()
    ours, others = (
        table(tmp_path / name).sort_values(["path", "series", "place"], ignore_index=True).drop(columns="created")
        for name in ("r.parquet", "undisturbed.parquet")
    )
    probabilities = [f"probability_{label}" for label in LABELS]
    np.testing.assert_allclose(ours[probabilities], others[probabilities], atol=1e-6)
    assert ours.drop(columns=probabilities).equals(others.drop(columns=probabilities))


def test_killed_and_resumed(archive, tmp_path):
    """A process of its own, killed without warning in the middle, then the same command again."""
    many(archive / "many", 400)
    out = tmp_path / "r.parquet"
    code = (
        "import sys, lungapp.archive.run as run; run.FLUSH_SECONDS = 0.0\n"
        "from lungapp.archive.__main__ import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", code, str(archive), "--out", str(out), "--model", MODEL, "--workers", "1"]
    going = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while len(list(out.glob("*.parquet"))) < 2 and time.monotonic() < deadline and going.poll() is None:
        time.sleep(0.01)
    going.send_signal(signal.SIGKILL)
    going.communicate()
    assert going.returncode == -signal.SIGKILL, "it was still at work"
    before = set(table(out)["input"])
    assert 0 < len(before) < 406
    kept = {path: path.read_bytes() for path in Parts(out).files()}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert f"406 inputs, of which {len(before)} were finished before" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    found = table(out)
    assert found["input"].nunique() == 406
    assert not found.duplicated(["input", "series", "place"]).any()
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_the_summary(archive, tmp_path, capsys):
    command = ["--out", str(tmp_path / "r.parquet"), "--summary"]
    assert main([str(archive), *command, "--model", MODEL]) == 1
    out, err = capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out == out, "also later, of what is there"
    assert out.startswith("6 files and archives, ")
    assert "failed 3" in out and "0.9 to 1.0" in out and "study.zip item" in out
    assert "not for diagnosis" in out
    assert "6 inputs, of which 0 were finished before" in err


def test_a_cluster_is_joined_and_left_running(archive, tmp_path):
    import ray

    address = ray.get_runtime_context().gcs_address
    out = tmp_path / "r.parquet"
    command = [sys.executable, "-m", "lungapp.archive", str(archive / "x"), "--out", str(out), "--model", MODEL]
    done = subprocess.run([*command, "--address", address], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(table(out)) == 1
    assert ray.cluster_resources()["CPU"] == WORKERS


def test_a_cluster_that_does_not_answer(archive, tmp_path):
    command = [sys.executable, "-m", "lungapp.archive", str(archive), "--out", str(tmp_path / "r.parquet")]
    done = subprocess.run(
        [*command, "--address", "127.0.0.1:1"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 2
    assert "Expected the cluster at --address to answer" in done.stderr and "Traceback" not in done.stderr


def test_without_ray_the_message_names_what_to_install():
    """In an interpreter that has no Ray."""
    code = (
        "import sys; sys.modules['ray'] = sys.modules['pyarrow'] = None\n"
        "from lungapp.archive.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    for more in (["examples", "--out", "none.parquet"], ["--out", "none.parquet", "--summary"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *more], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr.strip() == NOT_THERE
        assert "requirements-archive.txt" in done.stderr
    assert not (ROOT / "none.parquet").exists()
