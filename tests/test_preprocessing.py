"""`to_input`: size, range, aspect, what it removes, and that maps come back to where they were."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.phantoms import phantom
from lungapp import anatomy
from lungapp.anatomy import body_mask, lung_mask
from lungapp.preprocessing import MODEL_WINDOW, _frame, prepare, to_input, view
from lungapp.registry import MODELS
from lungapp.slices import Slice, SliceInfo, Window

SPEC = MODELS[0]


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
    grey = Slice(np.round(255 * MODEL_WINDOW.apply(thorax.pixels)), "grey", SliceInfo("PNG"))
    assert np.abs(to_input(grey, SPEC) - to_input(thorax, SPEC)).mean() < 0.005


def test_sixteen_bit_greys_are_scaled_by_their_white(thorax):
    grey = MODEL_WINDOW.apply(thorax.pixels)
    deep = Slice(grey * 65535, "grey", SliceInfo("PNG", bits=16, white=65535))
    assert np.allclose(to_input(deep, SPEC), to_input(thorax, SPEC), atol=1e-4)


def test_the_body_fills_the_square_in_its_own_proportions(thorax):
    body = body_mask(thorax.windowed(MODEL_WINDOW))
    _, _, columns, rows = cv2.boundingRect(body.astype(np.uint8))
    picture, frame = prepare(thorax, SPEC)
    assert max(frame.height, frame.width) == SPEC.size
    assert frame.width / frame.height == pytest.approx(columns / rows, rel=0.01)
    assert not picture[: frame.at_row].any()
    assert not picture[frame.at_row + frame.height :].any()


@pytest.mark.parametrize("margin", [((40, 0), (0, 0)), ((0, 90), (0, 0)), ((0, 0), (70, 20)), ((30, 30), (90, 90))])
@pytest.mark.parametrize("filling", [-1000, -1250])
def test_margins_change_nothing(thorax, margin, filling):
    """Black or air margins, and with them the picture's aspect ratio, must not reach the model."""
    padded = Slice(np.pad(thorax.pixels, margin, constant_values=filling), "HU")
    assert np.abs(to_input(padded, SPEC) - to_input(thorax, SPEC)).mean() < 0.01


def test_the_grey_of_the_air_around_the_body_is_removed(thorax):
    """Air is at 38 in normal and at 43 in many malignant slices, which is 30 HU apart."""
    lighter = thorax.pixels.copy()
    lighter[~body_mask(thorax.windowed(MODEL_WINDOW))] += 30
    picture = to_input(Slice(lighter, "HU"), SPEC)
    frame, expected = prepare(Slice(lighter, "HU"), SPEC)[1], prepare(thorax, SPEC)[1]
    assert abs(frame.columns - expected.columns) <= 2  # the skin's edge moves by part of a pixel, no more
    assert abs(frame.rows - expected.rows) <= 2
    assert np.mean(picture[: frame.at_row]) == 0


def test_the_table_is_removed(thorax):
    table = thorax.pixels.copy()
    body = body_mask(thorax.windowed(MODEL_WINDOW))
    bottom = int(np.flatnonzero(body.any(axis=1))[-1])
    table[bottom + 8 : bottom + 11, 20:-20] = 300
    difference = np.abs(to_input(Slice(table, "HU"), SPEC) - to_input(thorax, SPEC))
    assert difference.mean() < 0.002


def test_training_sizes_show_the_same_picture(thorax):
    half = to_input(thorax, replace(SPEC, size=112))
    assert half.shape == (112, 112, 1)
    shrunk = cv2.resize(to_input(thorax, SPEC)[..., 0], (112, 112), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(half.ravel(), shrunk.ravel())[0, 1] > 0.97  # odd heights round to half a pixel apart


def test_a_map_comes_back_to_the_place_it_was_taken_from(thorax):
    """A spot drawn on the slice is found in the input and brought back onto the spot."""
    spot = thorax.pixels.copy()
    spot[110:122, 80:92] = 3000
    _, frame = prepare(thorax, SPEC)
    lit = to_input(Slice(spot, "HU"), SPEC)[..., 0] - to_input(thorax, SPEC)[..., 0]
    back = frame.to_slice(np.maximum(lit, 0), thorax.pixels.shape)
    rows, columns = np.nonzero(back > back.max() / 2)
    assert abs(rows.mean() - 115.5) < 1
    assert abs(columns.mean() - 85.5) < 1


def test_a_coarse_map_keeps_its_halves(thorax):
    values = np.zeros((14, 14), np.float32)
    values[:, :7] = 1
    _, frame = prepare(thorax, SPEC)
    back = frame.to_slice(values, thorax.pixels.shape)
    middle = frame.left + frame.columns // 2
    inside = np.s_[frame.top : frame.top + frame.rows]
    assert back[inside, frame.left : middle - 12].min() == 1
    assert back[inside, middle + 12 : frame.left + frame.columns].max() == 0
    assert back[: frame.top].max(initial=0) == 0


def test_a_picture_without_a_body_is_taken_whole():
    flat = Slice(np.full((50, 100), -1000.0), "HU")
    _, frame = prepare(flat, SPEC)
    assert (frame.top, frame.left, frame.rows, frame.columns) == (0, 0, 50, 100)


@pytest.mark.parametrize("noise", [0, 60, 150])
def test_lungs_and_body_are_found_in_noise(noise):
    pixels = phantom(None, seed=5, size=256)
    clean = MODEL_WINDOW.apply(pixels)
    noisy = MODEL_WINDOW.apply(pixels + np.random.default_rng(0).normal(0, noise, pixels.shape))
    for find in (body_mask, lung_mask):
        expected, found = find(clean), find(noisy)
        assert 2 * (expected & found).sum() / (expected.sum() + found.sum()) > 0.95


def test_large_pictures_get_the_same_masks_from_a_smaller_copy():
    grey = MODEL_WINDOW.apply(phantom(None, seed=5, size=256))
    large = cv2.resize(grey, (1600, 1600), interpolation=cv2.INTER_CUBIC)
    for find in (body_mask, lung_mask):
        expected = cv2.resize(find(grey).astype(np.uint8), (1600, 1600), interpolation=cv2.INTER_NEAREST).astype(bool)
        found = find(large)
        assert found.shape == large.shape
        assert 2 * (expected & found).sum() / (expected.sum() + found.sum()) > 0.95


def test_large_pictures_are_looked_at_in_a_small_size(monkeypatch):
    shapes = []
    largest = anatomy._largest_region
    monkeypatch.setattr(anatomy, "_largest_region", lambda mask: shapes.append(mask.shape) or largest(mask))
    assert body_mask(np.ones((1500, 3000), np.float32)).all()
    assert shapes == [(anatomy.MAX_SIDE // 2, anatomy.MAX_SIDE)]


def test_the_model_window_puts_tissues_where_the_dataset_has_them():
    greys = 255 * MODEL_WINDOW.apply(np.array([-1024.0, -1000, -100, 40, 250]))
    assert np.abs(greys - [38, 43, 195, 220, 255]).max() < 1
    assert isinstance(MODEL_WINDOW, Window)


def test_every_slice_of_the_dataset_shows_its_body(dataset):
    from lungapp.reading import read_slice

    for path in sorted(dataset.glob("*/*"))[::40]:
        grey = read_slice(path).windowed(MODEL_WINDOW)
        assert body_mask(grey).mean() > 0.2
        assert lung_mask(grey).sum() > 0.05 * body_mask(grey).sum()


def test_what_is_remembered_of_a_slice_goes_with_it(thorax):
    item = Slice(thorax.pixels, "HU")
    seen = weakref.ref(view(item))
    assert seen() is view(item)
    del item
    gc.collect()
    assert seen() is None


def test_a_slice_is_looked_at_once_and_what_is_remembered_cannot_change(thorax, monkeypatch):
    calls: list[tuple[int, ...]] = []
    monkeypatch.setattr("lungapp.preprocessing.body_mask", lambda grey: calls.append(grey.shape) or body_mask(grey))
    item, other = Slice(thorax.pixels, "HU"), Slice(thorax.pixels + 1, "HU")
    picture, _ = prepare(item, SPEC)
    assert np.array_equal(prepare(item, SPEC)[0], picture)
    assert np.array_equal(view(item).body, body_mask(item.windowed(MODEL_WINDOW)))
    assert len(calls) == 1
    for array in (picture, view(item).grey, view(item).body, view(item).small, view(item).small_body):
        assert not array.flags.writeable
    to_input(item, SPEC)[:] = 0
    assert np.array_equal(to_input(item, SPEC), picture), "a caller's change stays the caller's"
    assert not np.array_equal(prepare(other, SPEC)[0], picture)
    assert len(calls) == 2


def plain_body(grey: np.ndarray) -> np.ndarray:
    """`body_mask` step by step over the whole picture: what the models were trained on."""
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


def plain_input(item: Slice) -> np.ndarray:
    """`to_input` from `plain_body`."""
    grey = item.windowed(MODEL_WINDOW)
    body = plain_body(grey)
    frame = _frame(body if body.any() else np.ones_like(body), SPEC.size)
    return frame.to_square(np.where(body | ~body.any(), grey, np.float32(0)))[..., None]


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
    item = Slice(grey, "grey", SliceInfo("array", white=1.0))
    assert np.array_equal(to_input(item, SPEC), plain_input(item))


def test_model_inputs_are_the_ones_the_models_were_trained_on(dataset):
    from lungapp.reading import read_slice

    for path in sorted(dataset.glob("*/*"))[::60]:
        item = read_slice(path)
        assert np.array_equal(to_input(item, SPEC), plain_input(item))
