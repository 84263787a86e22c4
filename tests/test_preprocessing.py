"""`to_input` and `Anatomy`: size, range, what is removed, greys of any window, and that maps come back in place."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import phantoms
from lungapp import anatomy
from lungapp.anatomy import Anatomy, body_mask, lung_mask
from lungapp.greys import AIR, MODEL_WINDOW, SMALL_SIDE, TISSUE, air_and_tissue
from lungapp.preprocessing import EDGE, Frame, frame_of
from lungapp.preprocessing import to_input as input_of
from lungapp.registry import MODELS, ModelSpec
from lungapp.slices import MEDIASTINUM, Slice, SliceInfo, Window

SPEC = MODELS[0]


@cache
def drawn(lesion: phantoms.Lesion, seed: int, size: int) -> np.ndarray:
    return phantoms.phantom(lesion, seed, size)


def phantom(lesion: phantoms.Lesion, seed: int, size: int) -> np.ndarray:
    """A phantom to change, drawn once."""
    return drawn(lesion, seed, size).copy()


def to_input(item: Slice, spec: ModelSpec = SPEC) -> np.ndarray:
    return input_of(Anatomy(item), spec)


def prepare(item: Slice) -> tuple[np.ndarray, Frame]:
    found = Anatomy(item)
    return input_of(found, SPEC), frame_of(found, SPEC)


def as_grey(item: Slice, window: Window, black: float = 0, white: float = 255) -> Slice:
    return Slice(np.round(black + (white - black) * window.apply(item.pixels)), "grey", SliceInfo("PNG"))


@given(
    rows=st.integers(1, 300), columns=st.integers(1, 300), seed=st.integers(0, 9), unit=st.sampled_from(["HU", "grey"])
)
@settings(max_examples=40, deadline=None)
def test_any_slice_gives_a_square_in_range(rows, columns, seed, unit):
    pixels = np.random.default_rng(seed).uniform(-1000, 1000, (rows, columns))
    picture = to_input(Slice(pixels, unit), SPEC)
    assert picture.shape == SPEC.input_shape
    assert picture.dtype == np.float32
    assert picture.min() >= 0
    assert picture.max() <= 1


def test_it_never_writes_to_the_slice_and_repeats_itself(thorax):
    before = thorax.pixels.copy()
    assert np.array_equal(to_input(thorax, SPEC), to_input(thorax, SPEC))
    assert np.array_equal(thorax.pixels, before)


def test_grey_and_hounsfield_agree_through_the_model_window(thorax):
    assert np.abs(to_input(as_grey(thorax, MODEL_WINDOW)) - to_input(thorax)).mean() < 0.05


@given(
    seed=st.integers(0, 5),
    low=st.integers(-1400, -1000),
    width=st.integers(1450, 3000),
    black=st.integers(0, 60),
    white=st.integers(160, 255),
)
@settings(max_examples=25, deadline=None)
def test_a_picture_in_any_window_gives_nearly_the_input_of_its_hounsfield_units(seed, low, width, black, white):
    """What is left is the difference between a phantom's tissue and that of a median patient, 60 HU."""
    item = Slice(phantom((None, "nodule", "mass")[seed % 3], seed, 256), "HU")
    shown = as_grey(item, Window(low + width / 2, width), black, white)
    expected, picture = to_input(item), to_input(shown)
    inside = (expected > 0) & (picture > 0)
    assert inside.sum() > 0.95 * max((expected > 0).sum(), (picture > 0).sum())
    assert np.abs(expected - picture)[inside].mean() < 0.08


def test_air_and_tissue_lie_where_hounsfield_units_put_them(thorax):
    for window in (Window(-600, 1500), Window(0, 2500), Window(-450, 1300)):
        grey = Anatomy(as_grey(thorax, window, 10, 200)).small
        air, tissue = air_and_tissue(grey)
        assert air == pytest.approx(AIR, abs=0.02)
        assert tissue == pytest.approx(TISSUE, abs=0.02)


def test_lungs_that_a_window_has_erased_are_found_as_air(thorax):
    erased = Anatomy(as_grey(thorax, MEDIASTINUM))
    lungs, expected = erased.lungs, Anatomy(thorax).lungs
    assert 2 * (lungs & expected).sum() / (lungs.sum() + expected.sum()) > 0.9
    assert np.median(erased.grey[lungs]) == pytest.approx(AIR)


def test_one_grey_stays_as_it_is():
    flat = Slice(np.full((200, 200), 100.0), "grey", SliceInfo("PNG"))
    assert np.allclose(Anatomy(flat).grey, 100 / 255)


def test_sixteen_bit_greys_are_scaled_by_their_white(thorax):
    grey = MODEL_WINDOW.apply(thorax.pixels)
    deep = Slice(grey * 65535, "grey", SliceInfo("PNG", bits=16, white=65535))
    shallow = Slice(grey * 255, "grey", SliceInfo("PNG"))
    assert np.allclose(to_input(deep, SPEC), to_input(shallow, SPEC), atol=1e-4)


def test_the_cavity_fills_the_square_in_its_own_proportions(thorax):
    _, _, columns, rows = cv2.boundingRect(Anatomy(thorax).cavity.astype(np.uint8))
    picture, frame = prepare(thorax)
    assert max(rows, columns) * frame.scale == pytest.approx((1 - 2 * EDGE) * SPEC.size)
    seen_rows, seen_columns = (np.flatnonzero((picture[..., 0] > 0.2).any(axis=axis)) for axis in (1, 0))
    assert np.ptp(seen_rows) == pytest.approx(rows * frame.scale, abs=3)
    assert np.ptp(seen_columns) == pytest.approx(columns * frame.scale, abs=3)
    assert (seen_rows[0] + seen_rows[-1]) / 2 == pytest.approx((SPEC.size - 1) / 2, abs=1.5)
    assert (seen_columns[0] + seen_columns[-1]) / 2 == pytest.approx((SPEC.size - 1) / 2, abs=1.5)


@given(rows=st.integers(150, 700), columns=st.integers(150, 700), row=st.floats(0.3, 0.7), column=st.floats(0.3, 0.7))
@settings(max_examples=40, deadline=None)
def test_a_spot_lies_where_the_frame_says_to_a_fraction_of_a_pixel(rows, columns, row, column):
    """Whatever the crop's proportions; nothing is rounded to whole pixels of the input."""
    y, x = np.mgrid[:rows, :columns]
    at_row, at_column = row * (rows - 1), column * (columns - 1)
    width = max(rows, columns) / 60
    spot = np.exp(-((y - at_row) ** 2 + (x - at_column) ** 2) / (2 * width**2)).astype(np.float32)
    frame = Frame(0, 0, rows, columns, SPEC.size)
    square = frame.to_square(spot)
    found_y, found_x = (float((square * grid).sum() / square.sum()) for grid in np.mgrid[: SPEC.size, : SPEC.size])
    corner = frame.corner
    assert found_y + 0.5 == pytest.approx((at_row + 0.5) * frame.scale + corner[0], abs=0.3)
    assert found_x + 0.5 == pytest.approx((at_column + 0.5) * frame.scale + corner[1], abs=0.3)


def test_a_crop_that_begins_one_pixel_later_moves_the_input_by_as_much(thorax):
    """No jump: the input moves by the share of a pixel that a pixel of the slice is."""
    found = Anatomy(thorax)
    frame = frame_of(found, SPEC)
    here = frame.to_square(found.grey, found.cavity)
    later = replace(frame, top=frame.top + 1).to_square(found.grey, found.cavity)
    matrix = np.array([[1, 0, 0], [0, 1, -frame.scale]])
    expected = cv2.warpAffine(here, matrix, (SPEC.size, SPEC.size), flags=cv2.INTER_CUBIC)
    share = np.abs(later - expected).mean() / np.abs(later - here).mean()
    assert share < 0.25


def test_the_edge_of_the_input_is_empty(thorax):
    picture, _ = prepare(thorax)
    inside = np.zeros(picture.shape, bool)
    edge = round(EDGE * SPEC.size) - 5
    inside[edge:-edge, edge:-edge] = True  # softening carries the cavity's edge a little outwards
    assert not picture[~inside].any()


@given(seed=st.integers(0, 2**16), spread=st.floats(1, 2000))
@settings(max_examples=20, deadline=None)
def test_nothing_outside_the_cavity_reaches_a_model(seed, spread):
    """Whatever stands outside: the same anatomy with other greys there gives the same input, bit by bit."""
    found = Anatomy(Slice(phantom("mass", 3, 256), "HU"))
    cavity, expected = found.cavity, input_of(found, SPEC)
    assert 0.15 < cavity.mean() < 0.6
    noise = np.random.default_rng(seed).normal(0, spread, cavity.shape).astype(np.float32)
    found.grey = np.where(cavity, found.grey, noise)
    assert np.array_equal(input_of(found, SPEC), expected)


def test_an_empty_cavity_is_an_empty_input(thorax):
    found = Anatomy(thorax)
    found.grey = np.where(found.cavity, np.float32(0), found.grey)
    assert not input_of(found, SPEC).any()


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("seed", range(3))
def test_a_lung_that_is_white_lies_inside_the_cavity_by_the_other_one(seed, side):
    pixels = phantom(None, seed, 256)
    lungs = Anatomy(Slice(pixels, "HU")).lungs
    half = lungs & ((np.arange(256) - 128) * side > 0)
    lost = half & (np.arange(256)[:, None] > np.percentile(np.nonzero(half)[0], 40))
    pixels[lost] = 30
    opaque = Anatomy(Slice(pixels, "HU"))
    assert (opaque.lungs & lost).sum() < 0.3 * lost.sum(), "no lung is found there"
    assert (opaque.cavity & lost).sum() > 0.95 * lost.sum()


def test_lungs_lie_inside_the_cavity_and_that_inside_the_body(thorax):
    for seed in range(4):
        found = Anatomy(Slice(phantom("nodule", seed, 256), "HU"))
        assert not (found.cavity & ~found.body).any()
        assert (found.lungs & ~found.cavity).sum() < 0.005 * found.lungs.sum()


@pytest.mark.parametrize("shift", [(0, 1), (1, 0), (-1, 0), (1, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_a_shift_by_one_pixel_moves_the_input_little(seed, shift):
    pixels = phantom(("mass", "nodule", None)[seed], seed, 512)
    moved = np.roll(pixels, shift, (0, 1))
    assert np.abs(to_input(Slice(pixels, "HU")) - to_input(Slice(moved, "HU"))).mean() < 0.05


@pytest.mark.parametrize("margin", [((40, 0), (0, 0)), ((0, 90), (0, 0)), ((0, 0), (70, 20)), ((30, 30), (90, 90))])
@pytest.mark.parametrize("filling", [-1000, -1250])
def test_margins_change_nothing(thorax, margin, filling):
    """Black or air margins, and with them the picture's aspect ratio, must not reach the model."""
    padded = Slice(np.pad(thorax.pixels, margin, constant_values=filling), "HU")
    frame, expected = frame_of(Anatomy(padded), SPEC), frame_of(Anatomy(thorax), SPEC)
    assert abs(frame.columns - expected.columns) <= 4  # the small copy's pixels are larger then
    assert abs(frame.rows - expected.rows) <= 4
    assert np.abs(to_input(padded, SPEC) - to_input(thorax, SPEC)).mean() < 0.05  # noise, half a pixel apart


def test_training_sizes_show_the_same_picture(thorax):
    half = to_input(thorax, replace(SPEC, size=112))
    assert half.shape == (112, 112, 1)
    shrunk = cv2.resize(to_input(thorax, SPEC)[..., 0], (112, 112), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(half.ravel(), shrunk.ravel())[0, 1] > 0.97  # odd heights round to half a pixel apart


def test_a_map_comes_back_to_the_place_it_was_taken_from(thorax):
    """A spot drawn on the slice is found in the input and brought back onto the spot."""
    spot = thorax.pixels.copy()
    spot[110:122, 80:92] = 3000
    _, frame = prepare(thorax)
    lit = to_input(Slice(spot, "HU"), SPEC)[..., 0] - to_input(thorax, SPEC)[..., 0]
    back = frame.to_slice(np.maximum(lit, 0), thorax.pixels.shape)
    rows, columns = np.nonzero(back > back.max() / 2)
    assert abs(rows.mean() - 115.5) < 1
    assert abs(columns.mean() - 85.5) < 1


def test_a_coarse_map_keeps_its_halves(thorax):
    values = np.zeros((14, 14), np.float32)
    values[:, :7] = 1
    _, frame = prepare(thorax)
    back = frame.to_slice(values, thorax.pixels.shape)
    middle = frame.left + frame.columns // 2
    inside = np.s_[frame.top : frame.top + frame.rows]
    assert back[inside, frame.left : middle - 12].min() == 1
    assert back[inside, middle + 12 : frame.left + frame.columns].max() == 0
    assert back[: frame.top].max(initial=0) == 0


def test_a_picture_without_a_body_is_taken_whole():
    flat = Slice(np.full((50, 100), -1000.0), "HU")
    _, frame = prepare(flat)
    assert (frame.top, frame.left, frame.rows, frame.columns) == (0, 0, 50, 100)


@pytest.mark.parametrize("noise", [0, 60, 150])
def test_lungs_and_body_are_found_in_noise(noise):
    pixels = phantom(None, seed=5, size=256)
    clean = MODEL_WINDOW.apply(pixels)
    noisy = MODEL_WINDOW.apply(pixels + np.random.default_rng(0).normal(0, noise, pixels.shape))
    for find in (body_mask, lung_mask):
        expected, found = find(clean), find(noisy)
        assert 2 * (expected & found).sum() / (expected.sum() + found.sum()) > 0.95


@pytest.mark.parametrize("shape", [(300, 300), (1500, 3000), (900, 600)])
def test_shapes_are_looked_for_in_a_small_copy(shape):
    found = Anatomy(Slice(cv2.resize(phantom(None, 5, 256), shape[::-1], interpolation=cv2.INTER_CUBIC), "HU"))
    assert max(found.small.shape) == SMALL_SIDE
    assert found.small_body.shape == found.small_lungs.shape == found.small.shape
    assert found.body.shape == found.lungs.shape == found.cavity.shape == shape


def test_large_pictures_get_the_masks_of_small_ones():
    small = Anatomy(Slice(phantom(None, 5, 256), "HU"))
    large = Anatomy(Slice(cv2.resize(phantom(None, 5, 256), (1600, 1600), interpolation=cv2.INTER_CUBIC), "HU"))
    for name in ("body", "lungs", "cavity"):
        mask = getattr(small, name).astype(np.uint8)
        expected = cv2.resize(mask, (1600, 1600), interpolation=cv2.INTER_NEAREST).astype(bool)
        found = getattr(large, name)
        assert 2 * (expected & found).sum() / (expected.sum() + found.sum()) > 0.95


def test_the_model_window_puts_tissues_where_the_dataset_has_them():
    greys = 255 * MODEL_WINDOW.apply(np.array([-1024.0, -1000, -100, 40, 250]))
    assert np.abs(greys - [38, 43, 195, 220, 255]).max() < 1
    assert isinstance(MODEL_WINDOW, Window)


def test_every_slice_of_the_dataset_shows_its_cavity(dataset):
    from lungapp.reading import read_slice

    for path in sorted(dataset.glob("*/*"))[::40]:
        found = Anatomy(read_slice(path))
        assert found.body.mean() > 0.2
        assert 0.25 < found.cavity.sum() / found.body.sum() < 0.9


def test_a_slice_is_looked_at_once_and_what_is_found_cannot_change(thorax, monkeypatch):
    calls: list[tuple[int, ...]] = []
    monkeypatch.setattr(anatomy, "body_mask", lambda grey: calls.append(grey.shape) or body_mask(grey))
    found = Anatomy(thorax)
    assert np.array_equal(input_of(found, SPEC), input_of(found, SPEC))
    for name in ("grey", "small", "small_body", "small_lungs", "body", "lungs", "cavity", "hull"):
        assert not getattr(found, name).flags.writeable
    assert len(calls) == 1
    input_of(found, SPEC)[:] = 0
    assert input_of(found, SPEC).any(), "a caller's change stays the caller's"


def plain_body(grey: np.ndarray) -> np.ndarray:
    """`body_mask` step by step over the whole picture."""
    side = max(grey.shape)
    kernel = anatomy._disc(side / 64)
    dense = (cv2.GaussianBlur(grey, (0, 0), side / 256) > anatomy.BODY_LEVEL).astype(np.uint8)
    labels, areas = anatomy.regions(cv2.morphologyEx(dense, cv2.MORPH_OPEN, kernel), connectivity=4)
    largest = ((labels == int(np.argmax(areas))) & (labels > 0)).astype(np.uint8)
    return anatomy.filled(cv2.morphologyEx(largest, cv2.MORPH_CLOSE, kernel))


def plain_lungs(grey: np.ndarray, body: np.ndarray) -> np.ndarray:
    """`lung_mask` step by step over the whole picture."""
    side = max(grey.shape)
    airy = (body & (cv2.GaussianBlur(grey, (0, 0), side / 256) < anatomy.BODY_LEVEL)).astype(np.uint8)
    labels, areas = anatomy.regions(airy, connectivity=4)
    lungs = (areas >= anatomy.MIN_LUNG_SHARE * max(1, body.sum()))[labels].astype(np.uint8)
    return cv2.morphologyEx(lungs, cv2.MORPH_CLOSE, anatomy._disc(side / 40)).astype(bool) & body


@pytest.mark.parametrize("size", [128, 300, 512])
@pytest.mark.parametrize("change", ["as it is", "rolled", "cropped", "noisy", "in the corner", "two", "table on top"])
def test_masks_are_those_of_the_whole_picture(size, change):
    grey = MODEL_WINDOW.apply(phantom("mass", seed=7, size=size)).copy()
    part = size // 4
    if change == "rolled":
        grey = np.roll(grey, (part, 2 * part), (0, 1))
    elif change == "cropped":
        grey = np.ascontiguousarray(grey[part:, part // 2 : -part])
    elif change == "noisy":
        grey += np.random.default_rng(0).normal(0, 0.3, grey.shape).astype(np.float32)
    elif change == "in the corner":
        grey = np.pad(grey, ((0, size), (0, part)), constant_values=0.15)
    elif change == "two":
        grey = np.hstack([grey, grey[:, ::-1]])
    elif change == "table on top":
        grey[2 : 2 + size // 20] = 0.9
    body = body_mask(grey)
    assert np.array_equal(body, plain_body(grey))
    assert np.array_equal(lung_mask(grey, body), plain_lungs(grey, body))
