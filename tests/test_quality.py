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
from lungapp.preprocessing import MODEL_WINDOW, View
from lungapp.quality import MAX_COLOUR, MIN_SIDE, assess
from lungapp.quality.measures import LEVELS, Measures, _counts, _quantiles, measure
from lungapp.quality.rules import EXPECTED, RULES, broken
from lungapp.quality.typical import Typical, typical
from lungapp.reading import read_slice
from lungapp.slices import MEDIASTINUM, Slice, SliceInfo, Window
from tests.strangers import FAMILIES, families

AIR = -1000


@cache
def chest(seed: int = 0) -> np.ndarray:
    """A phantom (256, 256) in HU."""
    return phantom((None, "nodule", "mass")[seed % 3], seed, 256)


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
        (Slice(np.where(chest() < -500, 40, chest()), "HU"), "blank"),
        (Slice(np.interp(chest(), [-1024, -1000, -700, 300], [0, 0, 200, 255]), "grey"), "not_ct"),
        (as_grey(cv2.GaussianBlur(chest(), (0, 0), 9)), "not_ct"),
        (as_grey(chest(), Window(-200, 400)), "not_ct"),
        (as_grey(np.where(chest() > -500, 3000, -1000)), "saturated"),
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


def test_what_no_rule_breaks_may_still_be_too_far_from_the_training_slices(monkeypatch):
    near = Typical(typical().mean, typical().components, warn=0.0, reject=1.0)
    monkeypatch.setattr("lungapp.quality.typical", lambda: near)
    assert codes(Slice(chest(), "HU")) == ["unusual"]
    near = Typical(typical().mean, typical().components, warn=0.0, reject=1e-6)
    monkeypatch.setattr("lungapp.quality.typical", lambda: near)
    assert codes(Slice(chest(), "HU")) == ["far"]


def test_distance_is_what_the_components_cannot_express():
    rng = np.random.default_rng(0)
    components = np.linalg.qr(rng.standard_normal((256, 4)))[0].T
    made = Typical(rng.standard_normal(256), components, 1, 1)
    expressed = made.mean + components.T @ np.array([3, -2, 1, 0.5])
    assert made.distance(expressed) == pytest.approx(0, abs=1e-6)
    other = rng.standard_normal(256)
    other -= components.T @ (components @ other)
    assert made.distance(expressed + other) == pytest.approx(np.sqrt(np.mean(other**2)), rel=1e-5)


def test_upside_down_is_a_warning():
    assert codes(Slice(chest(1)[::-1], "HU")) == ["upside_down"]


def test_another_window_is_a_warning_for_greys_only():
    assert codes(as_grey(chest(), Window(-700, 1500))) == ["unknown_window"]
    dense = chest() + 100  # as grey the same as another window, in HU a fact about the patient
    assert "unknown_window" not in codes(Slice(dense, "HU"))


def test_a_mediastinal_window_is_not_scored():
    assert assess(as_grey(chest(), MEDIASTINUM)).verdict == "reject"


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
    assert {rule.measure for rule in RULES} <= set(Measures.__dataclass_fields__)
    assert {rule.code for rule in RULES} == set(EXPECTED)


def test_what_is_not_there_breaks_its_rule():
    assert "no_lungs" in broken(Measures(spread=0.3, body=0.5), known_window=True)


def test_measures_of_a_phantom_do_not_depend_on_its_size():
    small, large = (measure(View(Slice(phantom(None, 3, size), "HU"))) for size in (256, 512))
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
def test_neck_and_abdomen_are_told_from_chest():
    files = sorted(Path(SAMPLES, "dicom", "lung-pet-ct-dx-a0002").glob("*.dcm"))
    verdicts = [assess(read_slice(path)).verdict for path in files]
    assert verdicts.count("reject") == 4
    assert "reject" not in verdicts[4:-4]


@needs_samples
def test_chests_of_another_scanner_are_not_rejected():
    files = sorted(Path(SAMPLES, "dicom", "lidc-idri-0001").rglob("*.dcm"))[::4]
    assert files
    assert sum(assess(read_slice(path)).verdict != "reject" for path in files) >= 0.9 * len(files)
