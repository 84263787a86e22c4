"""A series: order, bounds, errors as rows, the aggregate on known values, and what single slices give."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from lungapp.anatomy import Anatomy
from lungapp.cards import ModelCard
from lungapp.engine import Engine
from lungapp.errors import UNEXPECTED, UnknownModel, UnreadableInput, WeightsMissing
from lungapp.quality.rules import DOUBTS
from lungapp.registry import LABELS, MODELS
from lungapp.results import DOUBTFUL, Finding, Prediction, QualityReport, SeriesRow
from lungapp.series import JUDGES, THUMBNAIL_SIDE, WORKERS, Judge, Looked, aggregate, look, run, summarise
from lungapp.slices import Entry, Slice
from tests.fakes import make_calibration

BLANK = Slice(np.full((300, 300), -1000.0), "HU")
PICTURE = np.zeros((4, 4, 1), np.float32)


@pytest.fixture(scope="module")
def engine(toy_weights) -> Engine:
    return Engine(toy_weights)


def entries(*reads: Slice | Exception) -> list[Entry]:
    def read(what: Slice | Exception) -> Slice:
        if isinstance(what, Exception):
            raise what
        return what

    return [Entry(f"file {place}", 2.5 * place, partial(read, what)) for place, what in enumerate(reads, start=1)]


def predicted(malignant: float) -> Prediction:
    """Malignant from 0.7, not malignant up to 0.3."""
    return ModelCard({"name": "basic_cnn", "labels": LABELS, "calibration": make_calibration(0.3)}).predict(
        np.array([1 - malignant, 0, malignant])
    )


def rows_of(*malignant: float | None) -> list[SeriesRow]:
    return [
        SeriesRow(place, f"file {place}", None, "basic_cnn", predictions=() if p is None else (predicted(p),))
        for place, p in enumerate(malignant, start=1)
    ]


def warned(row: SeriesRow, code: str) -> SeriesRow:
    return replace(row, quality=QualityReport((Finding(code, "warn", "Scores may be off."),)))


def ready(number: int, entry: Entry, seen: Anatomy | Exception) -> Looked:
    return Looked(SeriesRow(number, entry.source, entry.position, "basic_cnn"), PICTURE + number)


def score(pictures: np.ndarray, overridden: Sequence[bool]) -> list[tuple[tuple[Prediction, ...], None]]:
    return [((predicted(float(picture.mean()) / 1000),), None) for picture in pictures]


@pytest.mark.parametrize("model", ["basic_cnn", "advanced_cnn", "all"])
def test_a_batch_gives_what_single_slices_give(engine, thorax, model):
    items = [Slice(np.roll(thorax.pixels, shift, axis=1), "HU") for shift in range(5)]
    rows = list(engine.analyse_series(entries(*items), model, batch=3))
    assert [row.number for row in rows] == [1, 2, 3, 4, 5]
    assert [row.position for row in rows] == [2.5, 5.0, 7.5, 10.0, 12.5]
    for item, row in zip(items, rows, strict=True):
        alone = engine.analyse(item, model)
        assert len(row.predictions) == (len(MODELS) if model == "all" else 1)
        assert (row.ensemble is None) == (alone.ensemble is None)
        for one, other in zip((*row.predictions, row.prediction), (*alone.predictions, alone.prediction), strict=True):
            assert np.allclose(one.probabilities, other.probabilities, atol=1e-5)
            assert (one.model, one.status) == (other.model, other.status)
        assert row.agreement == alone.agreement
        assert (row.slice.rows, row.slice.columns, row.slice.unit) == (256, 256, "HU")
        assert row.thumbnail.shape == (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
        assert row.thumbnail.dtype == np.uint8


def test_what_cannot_be_scored_is_a_row_and_the_others_go_on(engine, thorax, caplog):
    words = "Expected an image. Received: an empty file."
    broken = RuntimeError("Mustermann^Max in /secret/path")
    series = entries(thorax, UnreadableInput(words), BLANK, broken, thorax)
    with caplog.at_level(logging.ERROR):
        rows = list(engine.analyse_series(series, "basic_cnn", batch=2))
    assert [row.state for row in rows] == ["uncertain", "failed", "rejected", "failed", "uncertain"]
    assert (rows[1].error, rows[3].error) == (words, UNEXPECTED)
    assert rows[2].quality.findings
    assert rows[2].malignant is None
    assert rows[2].thumbnail is not None
    assert rows[1].slice is rows[1].thumbnail is None
    assert "RuntimeError" in caplog.text
    assert "Mustermann" not in caplog.text


def test_rejected_slices_are_scored_on_demand_and_decide_nothing(engine, thorax):
    rows = list(engine.analyse_series(entries(BLANK, thorax), "all", override=True))
    assert [row.overridden for row in rows] == [True, False]
    assert rows[0].state == "uncertain"
    assert {prediction.decision for prediction in rows[0].predictions} == {"undecided"}


def test_wrong_names_and_missing_weights_are_told_before_the_first_row(engine, tmp_path, thorax):
    with pytest.raises(UnknownModel):
        engine.analyse_series(entries(thorax), "vgg")
    with pytest.raises(WeightsMissing):
        Engine(tmp_path).analyse_series(entries(thorax), "all")


def test_no_slices_no_rows(engine):
    assert list(engine.analyse_series([], "basic_cnn")) == []


def test_the_order_is_kept_though_reading_takes_its_time():
    random = np.random.default_rng(0)
    delays = random.uniform(0, 0.01, 40)

    def slow(number: int, entry: Entry, seen: Anatomy | Exception) -> Looked:
        time.sleep(delays[number - 1])
        looked = ready(number, entry, seen)
        return Looked(looked.row) if number % 7 == 0 else looked

    sizes: list[int] = []

    def count(pictures, overridden):
        sizes.append(len(pictures))
        return score(pictures, overridden)

    rows = list(run(entries(*[BLANK] * 40), slow, count, batch=4))
    assert [row.number for row in rows] == list(range(1, 41))
    assert [row.malignant for row in rows] == [None if n % 7 == 0 else pytest.approx(n / 1000) for n in range(1, 41)]
    assert sum(sizes) == 35
    assert max(sizes) == 4


def watched(count: int) -> tuple[list[Entry], list[int], Judge]:
    """Entries, the numbers of those that were looked at, and what looks at them."""
    numbers: list[int] = []

    def note(number: int, entry: Entry, seen: Anatomy | Exception) -> Looked:
        numbers.append(number)
        return ready(number, entry, seen)

    return entries(*[BLANK] * count), numbers, note


def test_reading_stays_only_a_little_ahead():
    series, numbers, note = watched(200)
    for done, _ in enumerate(run(series, note, score, batch=4), start=1):
        time.sleep(0.001)
        assert len(numbers) <= done + (WORKERS + 1) * 4
    assert len(numbers) == 200


def test_closing_ends_the_work_and_leaves_no_thread():
    series, numbers, note = watched(200)
    rows = run(series, note, score, batch=4)
    taken = [next(rows) for _ in range(6)]
    rows.close()
    read = len(numbers)
    time.sleep(0.05)
    assert [row.number for row in taken] == [1, 2, 3, 4, 5, 6]
    assert len(numbers) == read <= 6 + (WORKERS + 1) * 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lungapp-series")]
    found = summarise(taken, 200, "basic_cnn", time.perf_counter())
    assert found.cancelled
    assert (len(found.rows), found.total) == (6, 200)


def test_a_long_stretch_without_anything_to_score_is_told_as_it_comes():
    series, numbers, _ = watched(100)

    def nothing(number: int, entry: Entry, seen: Anatomy | Exception) -> Looked:
        numbers.append(number)
        return Looked(ready(number, entry, seen).row)

    rows = run(series, nothing, score, batch=4)
    assert next(rows).number == 1
    assert len(numbers) <= (WORKERS + 1) * 4
    rows.close()


def test_large_slices_are_not_held_by_the_batch(monkeypatch):
    monkeypatch.setattr("lungapp.series.MOST_PIXELS", 2 * BLANK.pixels.size)
    held: list[str] = []

    def fetch(place: int) -> Slice:
        if place == 5:
            raise UnreadableInput("Expected pixels. Received: none.")
        held.append(f"read {place}")
        return BLANK

    def note(number: int, entry: Entry, seen: Anatomy | Exception) -> Looked:
        held.append(f"judged {number}")
        return ready(number, entry, seen)

    series = [Entry(f"file {place}", None, partial(fetch, place)) for place in range(1, 7)]
    rows = list(run(series, note, score, batch=6))
    assert [row.number for row in rows] == [1, 2, 3, 4, 5, 6]
    assert held == [
        *("read 1", "read 2", "judged 1", "judged 2"),
        *("read 3", "read 4", "judged 3", "judged 4"),
        *("read 6", "judged 5", "judged 6"),
    ]


def test_no_more_judge_at_once_than_python_lets_go_on():
    inside, most = 0, 0
    lock = threading.Lock()

    def slow(number: int, entry: Entry, seen: Anatomy | Exception) -> Looked:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.001)
        with lock:
            inside -= 1
        return ready(number, entry, seen)

    assert len(list(run(entries(*[BLANK] * 60), slow, score, batch=4))) == 60
    assert most <= JUDGES


def test_a_failing_forward_pass_fails_its_own_batch_only():
    def second_fails(pictures, overridden):
        if pictures.max() == 4:
            raise MemoryError
        return score(pictures, overridden)

    rows = list(run(entries(*[BLANK] * 6), ready, second_fails, batch=2))
    assert [row.state for row in rows] == ["confident"] * 2 + ["failed"] * 2 + ["confident"] * 2
    assert rows[2].error == UNEXPECTED


def test_looking_keeps_no_pixels(thorax):
    looked = look(3, entries(thorax)[0], Anatomy(thorax), MODELS[0], "basic_cnn")
    assert looked.picture.shape == MODELS[0].input_shape
    assert looked.row.number == 3
    assert not hasattr(looked.row.slice, "pixels")


M, N, U = 0.9, 0.1, 0.5
"""Probabilities of slices that are decided malignant, not malignant, and not at all."""


@pytest.mark.parametrize(
    ("malignant", "decision", "runs", "slices"),
    [
        ((N, M, N, U, M, M, M, N), "malignant", ((5, 7),), 3),
        ((M, M, N, N, M, M), "malignant", ((1, 2), (5, 6)), 4),
        ((N, M, None, M, N), "malignant", ((2, 4),), 2),  # what is not counted parts no neighbours
        ((N, M, N, M, N), "undecided", (), 0),  # one slice alone is not enough
        ((M,), "undecided", (), 0),
        ((N, N, N), "not_malignant", (), 0),
        ((N, None, N), "not_malignant", (), 0),
        ((N,), "not_malignant", (), 0),
        ((N, U, N), "undecided", (), 0),
        ((U, U), "undecided", (), 0),
        ((None, None), "undecided", (), 0),
        ((), "undecided", (), 0),
    ],
)
def test_a_series_says_what_the_sets_of_its_slices_say(malignant, decision, runs, slices):
    found = aggregate(rows_of(*malignant))
    assert (found.decision, found.runs, found.malignant_slices) == (decision, runs, slices)
    assert found.counted == sum(p is not None for p in malignant)
    assert found.decisions == {
        "malignant": malignant.count(M),
        "not_malignant": malignant.count(N),
        "undecided": malignant.count(U),
    }
    assert found.states["rejected"] == malignant.count(None)


def test_the_highest_probability_alone_decides_nothing():
    assert aggregate(rows_of(N, 1.0, N, N)).decision == "undecided"


@pytest.mark.parametrize("code", ["unusual", "little_lung", "lungs_black"])
def test_doubtful_slices_take_no_part(code):
    rows = rows_of(N, M, M, N)
    rows[1:3] = [warned(row, code) for row in rows[1:3]]
    found = aggregate(rows)
    assert (found.decision, found.counted) == ("not_malignant", 2)
    assert [row.counted for row in rows] == [True, False, False, True]
    assert [row.number for row in summarise(rows, 4, "basic_cnn", 0.0).most_suspicious(4)] == [1, 4]


def test_forced_slices_take_no_part_and_harmless_warnings_matter_not():
    rows = rows_of(M, M, N)
    assert aggregate([replace(row, overridden=True) for row in rows]).counted == 0
    assert set(DOUBTS) > DOUBTFUL
    for code in {*DOUBTS, "burned_in", "upside_down"} - DOUBTFUL:
        assert aggregate([warned(row, code) for row in rows]).decision == "malignant"


def test_the_most_suspicious_come_first():
    found = summarise(rows_of(0.1, None, 0.9, 0.5), 4, "basic_cnn", time.perf_counter())
    assert not found.cancelled
    assert [row.number for row in found.most_suspicious(2)] == [3, 4]
