"""The synthetic slices: believable numbers, reproducible, and the committed files are what the script makes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from scipy import ndimage

from examples import make_examples
from examples.drawing import FIELD_MM
from examples.head import head
from examples.phantoms import OUTSIDE_FIELD, phantom
from lungapp.anatomy import Anatomy
from lungapp.quality import assess
from lungapp.reading import read_slice

EXAMPLES = Path(make_examples.__file__).parent
SIZE = 256


made = cache(phantom)  # the tests only read what it returns


@pytest.fixture(scope="module")
def clear() -> np.ndarray:
    return made(seed=5, size=SIZE)


def lungs(hu: np.ndarray) -> np.ndarray:
    """The two largest airy regions inside the body, vessels included."""
    smooth = cv2.GaussianBlur(hu, (0, 0), 1)
    body = ndimage.binary_fill_holes(ndimage.binary_opening(smooth > -300, iterations=3))
    regions, _ = ndimage.label(body & (smooth < -500))
    sizes = np.bincount(regions.ravel())[1:]
    two = np.argsort(sizes)[-2:] + 1
    return ndimage.binary_closing(np.isin(regions, two), iterations=10)


def differing(one: np.ndarray, other: np.ndarray) -> float:
    """Share of pixels more than one level apart: another processor may round a contour's corner differently."""
    return float(np.mean(np.abs(one - other) > 1))


def test_shape_and_range(clear: np.ndarray) -> None:
    assert clear.shape == (SIZE, SIZE) and clear.dtype == np.float32
    assert clear.min() == OUTSIDE_FIELD == clear[0, 0]
    assert 400 < clear.max() < 1500


def test_tissues_have_their_hounsfield_units(clear: np.ndarray) -> None:
    assert -1015 < np.median(clear[10:40, 100:150]) < -985, "air above the chest"
    assert -890 < np.percentile(clear[lungs(clear)], 40) < -780, "lung"
    middle = clear[110:120, 120:136]
    assert 0 < np.median(middle) < 200, "great vessels"
    values, edges = np.histogram(cv2.GaussianBlur(clear, (0, 0), 1.5), bins=40, range=(-200, 200))
    assert -130 < edges[np.argmax(values[:12])] < -70, "fat"


def test_lungs_are_two_large_regions_denser_at_the_back(clear: np.ndarray) -> None:
    mask = lungs(clear)
    regions, count = ndimage.label(mask)
    areas = np.bincount(regions.ravel())[1:] * (FIELD_MM / SIZE / 10) ** 2
    assert count == 2 and (areas > 70).all() and (areas < 200).all(), f"cm2: {areas}"
    rows = np.nonzero(mask.any(axis=1))[0]
    third = len(rows) // 3
    front, back = mask.copy(), mask.copy()
    front[rows[0] + third :] = False
    back[: rows[-1] - third] = False
    assert np.median(clear[back]) > np.median(clear[front]) + 10


def test_noise_is_correlated_and_stronger_in_the_middle() -> None:
    hu = made(*make_examples.RECIPES["phantom-clear"])
    difference = hu - cv2.GaussianBlur(hu, (0, 0), 3)
    heart, air = difference[215:245, 240:280], difference[20:80, 200:300]
    assert heart.std() > 2 * air.std()
    assert np.corrcoef(air[:, :-1].ravel(), air[:, 1:].ravel())[0, 1] > 0.15


@pytest.mark.parametrize(("lesion", "least", "most"), [("nodule", 11, 22), ("mass", 36, 56)])
def test_a_lesion_is_dense_of_its_size_and_stays_in_the_lungs(
    clear: np.ndarray, lesion: str, least: float, most: float
) -> None:
    change = made(lesion, seed=5, size=SIZE) - clear
    outside = ~ndimage.binary_dilation(lungs(clear), iterations=4)
    assert np.abs(change[outside]).max() < 1
    area = np.count_nonzero(change > 400) * (FIELD_MM / SIZE) ** 2
    assert least < 2 * np.sqrt(area / np.pi) < most


def test_the_mass_touches_the_pleura_and_the_nodule_does_not(clear: np.ndarray) -> None:
    inner = ndimage.binary_erosion(lungs(clear), iterations=4)
    for lesion, touches in (("mass", True), ("nodule", False)):
        solid = made(lesion, seed=5, size=SIZE) - clear > 500
        assert (solid & ~inner).any() == touches


def test_same_seed_same_slice_other_seed_other_slice(clear: np.ndarray) -> None:
    assert np.array_equal(clear, phantom(seed=5, size=SIZE))
    other = phantom(seed=6, size=SIZE)
    assert np.mean(np.abs(clear - other) > 100) > 0.05


def test_unknown_lesion_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected lesion None, 'nodule' or 'mass'\. Received: 'cyst'"):
        phantom("cyst")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", make_examples.RECIPES)
def test_committed_pictures_are_what_the_script_makes(name: str) -> None:
    lesion, seed = make_examples.RECIPES[name]
    expected = make_examples.to_grey(made(lesion, seed)).astype(int)
    committed = cv2.imread(str(EXAMPLES / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    assert committed.shape == (512, 512) and committed.dtype == np.uint8
    assert differing(expected, committed) < 0.001


@pytest.mark.parametrize("name", make_examples.RECIPES)
def test_the_truth_says_where_the_lesion_lies(name: str) -> None:
    lesion, seed = make_examples.RECIPES[name]
    truth = json.loads((EXAMPLES / "truth.json").read_text(encoding="utf-8"))[f"{name}.png"]
    assert truth["lesion"] == lesion
    if lesion is None:
        return
    change = made(lesion, seed) - made(None, seed) > make_examples.SOLID
    top, left, rows, columns = truth["box"]
    inside = change[top : top + rows, left : left + columns]
    assert inside.mean() > 0.55, "the box is full of lesion"
    assert inside.sum() > 0.75 * change.sum(), "and little of it lies outside"
    across = 2 * np.sqrt(change.sum() / np.pi) * FIELD_MM / 512
    assert truth["millimetres"] == pytest.approx(across, rel=0.15)


def test_the_committed_head_is_what_the_script_makes_and_no_chest() -> None:
    expected = make_examples.to_grey(head(), make_examples.HEAD_WINDOW).astype(int)
    committed = cv2.imread(str(EXAMPLES / "head.png"), cv2.IMREAD_UNCHANGED)
    assert differing(expected, committed) < 0.001
    assert assess(Anatomy(read_slice(EXAMPLES / "head.png"))).verdict == "reject"


def test_committed_dicom_reads_to_the_phantoms_hounsfield_units() -> None:
    lesion, seed = make_examples.RECIPES["phantom-nodule"]
    file = pydicom.dcmread(EXAMPLES / "phantom-nodule.dcm")
    hu = file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept)
    assert differing(hu, made(lesion, seed)) < 0.001
    assert file.PatientName == "PHANTOM^SYNTHETIC" and "SYNTHETIC" in file.SeriesDescription
    assert [float(mm) for mm in file.PixelSpacing] == [0.7, 0.7]
    assert not any(element.tag.is_private for element in file.iterall())


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    hu = made(seed=5, size=SIZE)
    for name in ("one.dcm", "two.dcm"):
        make_examples.to_dicom(hu, "phantom").save_as(tmp_path / name, enforce_file_format=True)
    assert (tmp_path / "one.dcm").read_bytes() == (tmp_path / "two.dcm").read_bytes()
