"""The gate on phantoms, on phantoms made unfit one way each, on strangers, and on the real data where it is there."""

from __future__ import annotations

import os
from collections import Counter
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.phantoms import phantom
from lungapp.anatomy import Anatomy
from lungapp.greys import MODEL_WINDOW
from lungapp.quality import MAX_COLOUR, MIN_SIDE
from lungapp.quality import assess as assess_anatomy
from lungapp.quality.measures import LEVELS, Measures, _counts, _quantiles, measure
from lungapp.quality.rules import DOUBTS, EXPECTED, REJECTING, WARNING, doubts, rejections
from lungapp.quality.typical import Typical, typical
from lungapp.reading import read_slice
from lungapp.results import QualityReport
from lungapp.slices import MEDIASTINUM, Slice, SliceInfo, Window
from tests.strangers import FAMILIES, families

AIR = -1000


@cache
def chest(seed: int = 0) -> np.ndarray:
    """A phantom (256, 256) in HU."""
    return phantom((None, "nodule", "mass")[seed % 3], seed, 256)


def assess(item: Slice) -> QualityReport:
    return assess_anatomy(Anatomy(item))


def as_grey(hounsfield: np.ndarray, window: Window = MODEL_WINDOW, colour: float = 0.0) -> Slice:
    return Slice(np.round(255 * window.apply(hounsfield)), "grey", SliceInfo("PNG", colour=colour))


def codes(item: Slice) -> list[str]:
    return [finding.code for finding in assess(item).findings]


@pytest.mark.parametrize("seed", range(6))
def test_phantoms_are_accepted(seed):
    assert codes(Slice(chest(seed), "HU")) == []
    assert codes(as_grey(chest(seed))) == []


@pytest.mark.parametrize(
    "item",
    [
        as_grey(chest(), Window(-550, 1600)),
        Slice(cv2.resize(chest(), (MIN_SIDE, MIN_SIDE), interpolation=cv2.INTER_AREA), "HU"),
        Slice(cv2.resize(chest(), (2000, 1800)), "HU"),
        Slice(np.pad(chest(), 60, constant_values=AIR), "HU"),
        Slice(chest()[:, ::-1], "HU"),
        Slice(chest() + np.random.default_rng(0).normal(0, 80, chest().shape), "HU"),
    ],
    ids=["lung window", "small", "large", "far away", "mirrored", "noisy"],
)
def test_what_scanners_and_programs_do_to_a_chest_is_accepted(item):
    assert assess(item).verdict == "accept"


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (as_grey(chest(), colour=2 * MAX_COLOUR), "colour"),
        (Slice(chest()[: MIN_SIDE - 1], "HU"), "too_small"),
        (Slice(np.full((256, 256), 40), "HU"), "blank"),
        (as_grey(np.full((256, 256), -3000)), "blank"),
        (Slice(np.rot90(chest()), "HU"), "not_axial"),
        (as_grey(-1000 - chest()), "inverted"),
        (Slice(np.hstack([chest(0), chest(1)]), "HU"), "collage"),
        (Slice(chest()[60:-60, 60:-60], "HU"), "no_body"),
        (Slice(np.pad(cv2.resize(chest(), (128, 128)), 200, constant_values=AIR), "HU"), "no_body"),
        (Slice(np.where(chest() < -500, 40, chest()), "HU"), "no_lungs"),
        (as_grey(cv2.GaussianBlur(chest(), (0, 0), 9)), "not_ct"),
        (as_grey(np.where(chest() > -500, 3000, -1000)), "no_chest"),
    ],
)
def test_each_reason_to_reject(item, code):
    report = assess(item)
    assert report.verdict == "reject"
    assert code in codes(item)
    for finding in report.findings:
        if finding.severity == "reject":
            assert "Expected" in finding.message
            assert "Received" in finding.message


def near(monkeypatch: pytest.MonkeyPatch, warn: float) -> None:
    value = Typical(typical().mean, typical().components, warn)
    monkeypatch.setattr("lungapp.quality.typical", lambda: value)


def test_what_is_far_from_the_training_slices_is_a_doubt_and_no_reason_to_reject(monkeypatch):
    near(monkeypatch, 1e-6)
    assert codes(Slice(chest(), "HU")) == ["unusual"]


def test_two_doubts_of_different_kinds_reject(monkeypatch):
    narrow = as_grey(chest(), Window(-700, 1000))
    assert codes(narrow) == ["narrow_window"]
    near(monkeypatch, 1e-6)
    assert codes(narrow) == ["no_chest"]


def test_little_or_black_lungs_explain_that_a_slice_is_unlike_the_training_slices(monkeypatch):
    near(monkeypatch, 1e-6)
    assert codes(as_grey(chest(), MEDIASTINUM)) == ["lungs_black"]


def test_distance_is_what_the_components_cannot_express():
    rng = np.random.default_rng(0)
    components = np.linalg.qr(rng.standard_normal((256, 4)))[0].T
    made = Typical(rng.standard_normal(256), components, 1)
    expressed = made.mean + components.T @ np.array([3, -2, 1, 0.5])
    assert made.distance(expressed) == pytest.approx(0, abs=1e-6)
    other = rng.standard_normal(256)
    other -= components.T @ (components @ other)
    assert made.distance(expressed + other) == pytest.approx(np.sqrt(np.mean(other**2)), rel=1e-5)


def test_upside_down_is_a_warning_and_a_doubt_beside_another():
    assert codes(Slice(chest(1)[::-1], "HU")) == ["upside_down"]
    assert codes(as_grey(chest(1)[::-1], Window(-700, 1000))) == ["no_chest"]


WINDOWS = [(-600, 1500), (-600, 1200), (-450, 1100), (-500, 1600), (-700, 1500), (0, 2500), (0, 4000)]
"""Lung windows in use, and wide ones: centre and width in HU."""


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("seed", range(3))
def test_a_chest_in_any_wide_window_is_accepted(window, seed):
    assert codes(as_grey(chest(seed), Window(*window))) == []


@pytest.mark.parametrize(("black", "white"), [(0, 90), (100, 255), (60, 140)])
def test_a_dim_or_pale_chest_is_accepted(black, white):
    grey = black + (white - black) * MODEL_WINDOW.apply(chest())
    assert codes(Slice(np.round(grey), "grey")) == []


def test_a_window_that_erases_fat_is_a_warning():
    assert codes(as_grey(chest(), Window(-700, 1000))) == ["narrow_window"]


@pytest.mark.parametrize("window", [MEDIASTINUM, Window(40, 450), Window(50, 350)])
@pytest.mark.parametrize("seed", range(3))
def test_a_window_that_erases_the_lungs_is_a_warning(window, seed):
    assert codes(as_grey(chest(seed), window)) == ["lungs_black"]


@pytest.mark.parametrize("cut", [np.s_[14:, :], np.s_[:-30, :], np.s_[:, 12:-12]], ids=["front", "back", "sides"])
def test_a_crop_through_the_skin_is_no_reason_to_reject(cut):
    assert assess(Slice(chest()[cut], "HU")).verdict != "reject"


@pytest.mark.parametrize("window", [None, *WINDOWS[:3]])
def test_a_lung_that_is_full_of_tumour_or_water_is_a_chest_still(window):
    half = chest().copy()
    rows, columns = np.nonzero(Anatomy(Slice(half, "HU")).lungs)
    behind = (columns > 128) & (rows > np.percentile(rows, 30))
    half[rows[behind], columns[behind]] = 30 + np.random.default_rng(0).normal(0, 15, int(behind.sum()))
    assert assess(Slice(half, "HU") if window is None else as_grey(half, Window(*window))).verdict != "reject"


def test_a_dense_patient_is_a_patient_still():
    assert assess(Slice(chest() + 60, "HU")).verdict == "accept"


@pytest.mark.parametrize("filling", [-1024, -2000, -3024])
def test_padding_around_the_scanners_circle_is_no_reason_to_warn(filling):
    rows, columns = np.ogrid[-1:1:256j, -1:1:256j]
    padded = np.where(rows**2 + columns**2 > 1.05, filling, chest())
    assert codes(Slice(padded, "HU")) == []
    assert codes(as_grey(padded, Window(-400, 1600))) == []


def test_several_reasons_are_all_named():
    tiny = Slice(np.zeros((8, 8)), "grey", SliceInfo("PNG", colour=1.0))
    assert codes(tiny) == ["colour", "too_small"]


@pytest.mark.parametrize(
    ("text", "where", "found"),
    [
        ("DOE JOHN 1950", (10, 20), True),
        ("Lungs 1.5 mm", (140, 245), True),
        ("R", (10, 20), False),
        ("", (0, 0), False),
    ],
)
def test_text_beside_the_body_is_found(text, where, found):
    picture = np.rint(255 * MODEL_WINDOW.apply(cv2.resize(chest(), (512, 512)))).astype(np.uint8)
    cv2.putText(picture, text, (2 * where[0], 2 * where[1]), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 2)
    assert ("burned_in" in codes(Slice(picture, "grey"))) == found


def test_marks_in_colour_and_what_the_file_says_count_as_burned_in():
    assert codes(as_grey(chest(), colour=0.01)) == ["burned_in"]
    assert codes(Slice(chest(), "HU", SliceInfo("DICOM", burned_in=True))) == ["burned_in"]


def test_every_rule_is_about_a_measure_and_has_words():
    assert {rule.measure for rule in (*REJECTING, *WARNING)} <= set(Measures.__dataclass_fields__)
    assert {rule.code for rule in REJECTING} | {"no_chest"} == set(EXPECTED)
    assert {rule.code for rule in WARNING} == set(DOUBTS)


def test_a_warning_begins_before_a_rejection_does():
    limits = {rule.measure: rule for rule in REJECTING}
    for rule in WARNING:
        if outer := limits.get(rule.measure):
            assert outer.low <= rule.low
            assert rule.high <= outer.high or rule.high == 1


def test_what_is_not_there_breaks_its_rule():
    nothing = Measures(spread=0.3, body=0.5)
    assert "no_lungs" in rejections(nothing)
    assert "little_lung" in doubts(nothing)


def test_measures_of_a_phantom_do_not_depend_on_its_size():
    small, large = (measure(Anatomy(Slice(phantom(None, 3, size), "HU"))) for size in (256, 512))
    for name in ("body", "aspect", "lungs", "lung_grey", "tissue_grey"):
        assert getattr(small, name) == pytest.approx(getattr(large, name), rel=0.05)


@pytest.mark.parametrize("spread", [0.01, 0.05, 0.3])
def test_quantiles_of_levels_are_those_of_the_greys(spread):
    """A level is 1/255 wide, 6 HU; quantiles are found to a part of that."""
    greys = np.random.default_rng(0).normal(0.5, spread, 20000).clip(0, 1).astype(np.float32).reshape(100, 200)
    levels = np.rint(greys * (LEVELS - 1)).astype(np.uint8)
    found = _quantiles(_counts(levels), 0.05, 0.25, 0.5, 0.75)
    assert found == pytest.approx(np.quantile(greys, (0.05, 0.25, 0.5, 0.75)), abs=0.1 / LEVELS)
    assert _quantiles(_counts(np.full((9, 9), 255, np.uint8)), 0.5, 1.0) == [1, 1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 300)])
def test_any_shape_gets_a_verdict(shape):
    assert assess(Slice(np.zeros(shape), "HU")).verdict == "reject"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 40), st.floats(-1500, 1500), st.floats(1, 3000))
def test_no_cloud_is_a_chest(seed, grain, centre, spread):
    field = np.random.default_rng(seed).standard_normal((160, 160)).astype(np.float32)
    field = cv2.GaussianBlur(field, (0, 0), grain + 0.1)
    assert assess(Slice(centre + spread * field / field.std(), "HU")).verdict == "reject"


def test_the_slice_is_left_alone():
    item = as_grey(chest())
    before = item.pixels.copy()
    assess(item)
    np.testing.assert_array_equal(item.pixels, before)


def test_strangers_are_rejected():
    verdicts = Counter((name, assess(item).verdict) for name, items in families() for item in items)
    count = sum(verdicts.values())
    assert count >= 300
    assert sum(number for (_, verdict), number in verdicts.items() if verdict == "reject") >= 0.97 * count
    assert {name for name, _ in verdicts} == set(FAMILIES)


# Real data

DATA, SAMPLES = os.environ.get("LUNGAPP_DATA", ""), os.environ.get("LUNGAPP_SAMPLES", "")
needs_samples = pytest.mark.skipif(not SAMPLES, reason="LUNGAPP_SAMPLES is not set")


@pytest.mark.skipif(not DATA, reason="LUNGAPP_DATA is not set")
def test_dataset_slices_are_accepted():
    files = sorted(Path(DATA).glob("* cases/*.jpg"))[::8]  # every eighth: the whole takes 20 s and says the same
    assert len(files) > 100
    verdicts = Counter(assess(read_slice(path)).verdict for path in files)
    assert verdicts["accept"] >= 0.98 * len(files)


@needs_samples
def test_most_mistaken_uploads_are_rejected():
    files = sorted(Path(SAMPLES, "not-chest-ct").glob("*/*.*"))
    assert files
    rejected = sum(assess(read_slice(path)).verdict == "reject" for path in files)
    assert rejected >= 0.97 * len(files)


@needs_samples
def test_chests_of_other_collections_are_accepted_or_warned_of():
    files = sorted(Path(SAMPLES, "chest-ct-elsewhere").iterdir())
    assert len(files) > 20
    assert sum(assess(read_slice(path)).verdict != "reject" for path in files) >= 0.9 * len(files)


@needs_samples
@pytest.mark.parametrize("window", [None, *WINDOWS])
@pytest.mark.parametrize(("patient", "first", "step"), [("a0001", 9, 4), ("a0002", 2, 4)])
def test_every_slice_with_visible_lung_passes_in_any_window(patient, first, step, window):
    """Half of A0001's lung is tumour; the slices before the first show no lung."""
    files = sorted(Path(SAMPLES, "dicom", f"lung-pet-ct-dx-{patient}").glob("*.dcm"))[first::step]
    items = [read_slice(path) for path in files]
    shown = items if window is None else [as_grey(item.pixels, Window(*window)) for item in items]
    verdicts = [assess(item).verdict for item in shown]
    assert len(verdicts) > 5
    assert verdicts.count("reject") <= 0.1 * len(verdicts)


@needs_samples
@pytest.mark.parametrize(("patient", "necks"), [("a0001", 8), ("a0002", 2)])
def test_a_neck_is_told_from_a_chest(patient, necks):
    files = sorted(Path(SAMPLES, "dicom", f"lung-pet-ct-dx-{patient}").glob("*.dcm"))[: necks + 4]
    assert [assess(read_slice(path)).verdict == "reject" for path in files] == necks * [True] + 4 * [False]


@needs_samples
def test_chests_of_another_scanner_are_not_rejected():
    files = sorted(Path(SAMPLES, "dicom", "lidc-idri-0001").rglob("*.dcm"))[::4]
    assert files
    assert sum(assess(read_slice(path)).verdict != "reject" for path in files) >= 0.9 * len(files)
