"""The gate on drawn chests, on what is not a chest, and on the real data where it is there."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungapp.preprocessing import MODEL_WINDOW
from lungapp.quality import MAX_COLOUR, MIN_SIDE, assess
from lungapp.reading import read_slice
from lungapp.slices import MEDIASTINUM, Slice, SliceInfo, Window

AIR, LUNG_HU, FAT, MUSCLE = -1000, -850, -100, 40


def draw_chest(rows: int = 256, columns: int = 256, lungs: int = 2, lung_hu: float = LUNG_HU) -> np.ndarray:
    """A chest of ellipses, (rows, columns) float32 in HU, with a little noise."""
    hounsfield = np.full((rows, columns), AIR, np.float32)
    scale = np.array([columns, rows])

    def ellipse(centre: tuple[float, float], axes: tuple[float, float], value: float) -> None:
        at, half = (scale * centre).astype(int).tolist(), (scale * axes).astype(int).tolist()
        cv2.ellipse(hounsfield, at, half, 0, 0, 360, float(value), cv2.FILLED)

    ellipse((0.5, 0.5), (0.42, 0.3), FAT)
    ellipse((0.5, 0.5), (0.39, 0.27), MUSCLE)
    for side in (0.32, 0.68)[:lungs]:
        ellipse((side, 0.5), (0.12, 0.2), lung_hu)
    return hounsfield + np.random.default_rng(3).normal(0, 15, hounsfield.shape).astype(np.float32)


def as_grey(hounsfield: np.ndarray, window: Window = MODEL_WINDOW, colour: float = 0.0) -> Slice:
    return Slice(np.round(255 * window.apply(hounsfield)), "grey", SliceInfo("PNG", colour=colour))


def codes(item: Slice) -> list[str]:
    return [finding.code for finding in assess(item).findings]


@pytest.mark.parametrize(
    "item",
    [
        Slice(draw_chest(), "HU"),
        as_grey(draw_chest()),
        as_grey(draw_chest(), Window(-600, 1500)),
        as_grey(draw_chest(), colour=MAX_COLOUR / 2),
        Slice(draw_chest(MIN_SIDE, MIN_SIDE), "HU"),
        Slice(draw_chest(1500, 2000), "HU"),
        Slice(draw_chest(lungs=1), "HU"),
    ],
    ids=["HU", "grey", "lung window", "few colours", "small", "large", "one lung"],
)
def test_chests_are_accepted(item):
    assert assess(item).findings == ()
    assert assess(item).verdict == "accept"


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (as_grey(draw_chest(), colour=2 * MAX_COLOUR), "colour"),
        (Slice(draw_chest(MIN_SIDE - 1, 256), "HU"), "too_small"),
        (Slice(draw_chest(256, MIN_SIDE - 1), "HU"), "too_small"),
        (Slice(np.full((256, 256), 40), "HU"), "blank"),
        (as_grey(np.full((256, 256), -3000)), "blank"),
        (as_grey(draw_chest().T), "no_body"),
        (as_grey(-1000 - draw_chest()), "no_body"),
        (as_grey(cv2.resize(draw_chest(), None, fx=0.25, fy=0.25)), "too_small"),
        (Slice(np.pad(draw_chest(128, 128), 130, constant_values=AIR), "HU"), "no_body"),
        (Slice(draw_chest(lungs=0), "HU"), "no_lungs"),
        (Slice(np.interp(draw_chest(), [AIR, LUNG_HU, MUSCLE], [0, 115, 180]), "grey"), "no_lungs"),
        (as_grey(draw_chest(), Window(-200, 400)), "saturated"),
        (as_grey(np.where(draw_chest() > -500, 3000, -1000)), "saturated"),
    ],
)
def test_each_reason_to_reject(item, code):
    report = assess(item)
    assert report.verdict == "reject"
    assert code in codes(item)
    for finding in report.findings:
        assert finding.severity == "reject"
        assert "Expected" in finding.message
        assert "Received" in finding.message


def test_another_window_is_a_warning_for_greys_only():
    chest = draw_chest()
    report = assess(as_grey(chest, Window(-600, 1200)))
    assert (report.verdict, [finding.code for finding in report.findings]) == ("warn", ["unknown_window"])
    dense = chest + 220  # as grey the same as another window, in HU a fact about the patient
    assert codes(as_grey(dense)) == ["unknown_window"]
    assert codes(Slice(dense, "HU")) == []


def test_a_mediastinal_window_is_not_scored():
    assert assess(as_grey(draw_chest(), MEDIASTINUM)).verdict == "reject"


def test_several_reasons_are_all_named():
    tiny = Slice(np.zeros((8, 8)), "grey", SliceInfo("PNG", colour=1.0))
    assert codes(tiny) == ["colour", "too_small", "blank"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 300)])
def test_any_shape_gets_a_verdict(shape):
    assert assess(Slice(np.zeros(shape), "HU")).verdict == "reject"


def test_the_slice_is_left_alone():
    item = as_grey(draw_chest())
    before = item.pixels.copy()
    assess(item)
    np.testing.assert_array_equal(item.pixels, before)


# Real data

DATA, SAMPLES = os.environ.get("LUNGAPP_DATA", ""), os.environ.get("LUNGAPP_SAMPLES", "")
needs_samples = pytest.mark.skipif(not SAMPLES, reason="LUNGAPP_SAMPLES is not set")


@pytest.mark.skipif(not DATA, reason="LUNGAPP_DATA is not set")
def test_dataset_slices_pass():
    files = sorted(Path(DATA).glob("* cases/*.jpg"))[::8]  # every eighth: the whole takes 20 s and says the same
    assert len(files) > 100
    verdicts = Counter(assess(read_slice(path)).verdict for path in files)
    assert verdicts["reject"] <= 0.01 * len(files)


@needs_samples
def test_most_mistaken_uploads_are_rejected():
    files = sorted(Path(SAMPLES, "not-chest-ct").glob("*/*.*"))
    assert files
    rejected = sum(assess(read_slice(path)).verdict == "reject" for path in files)
    assert rejected >= 0.95 * len(files)


@needs_samples
def test_neck_and_abdomen_are_told_from_chest():
    files = sorted(Path(SAMPLES, "dicom", "lung-pet-ct-dx-a0002").glob("*.dcm"))
    verdicts = [assess(read_slice(path)).verdict for path in files]
    assert verdicts.count("reject") == 4
    assert set(verdicts[4:-4]) == {"accept"}
