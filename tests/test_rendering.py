"""Rendering: exact at its edges, and it writes to nothing it is given."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from lungapp import rendering
from lungapp.slices import MEDIASTINUM, Slice, SliceInfo


@pytest.fixture
def grey() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.repeat(rng.integers(0, 256, (40, 60, 1), dtype=np.uint8), 3, axis=2)


@pytest.fixture
def heat() -> np.ndarray:
    return np.random.default_rng(1).random((40, 60), dtype=np.float32)


def test_grey_levels_are_scaled_to_their_white() -> None:
    item = Slice(np.array([[0, 2048, 4095]]), "grey", SliceInfo("PNG", bits=12, white=4095))
    picture = rendering.render_grey(item)
    assert picture.dtype == np.uint8
    assert picture.tolist() == [[[0, 0, 0], [128, 128, 128], [255, 255, 255]]]


def test_hounsfield_units_go_through_the_models_window() -> None:
    window = rendering.MODEL_WINDOW
    item = Slice(np.array([[-2000, window.low, window.centre, window.high, 3000]]), "HU")
    assert rendering.render_grey(item)[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert rendering.render_grey(item, MEDIASTINUM)[0, :, 0].tolist() != [0, 0, 128, 255, 255]


def test_opacity_zero_and_a_blank_map_leave_the_slice_as_it_was(grey: np.ndarray, heat: np.ndarray) -> None:
    assert np.array_equal(rendering.render_overlay(grey, heat, 0.0), grey)
    assert np.array_equal(rendering.render_overlay(grey, np.zeros_like(heat), 1.0), grey)


def test_full_opacity_shows_the_colour_alone_where_the_map_is_highest(grey: np.ndarray) -> None:
    peak = np.zeros(grey.shape[:2], np.float32)
    peak[10, 20] = 1
    overlay = rendering.render_overlay(grey, peak, 1.0)
    assert overlay[10, 20].tolist() == rendering.render_colour_bar()[0, -1, :3].tolist()
    overlay[10, 20] = grey[10, 20]
    assert np.array_equal(overlay, grey)


def test_the_slice_fades_in_step_with_the_map() -> None:
    white, black = np.full((1, 101, 3), 255, np.uint8), np.zeros((1, 101, 3), np.uint8)
    ramp = np.linspace(0, 1, 101, dtype=np.float32)[None]
    share = rendering.render_overlay(white, ramp, 0.5).astype(int) - rendering.render_overlay(black, ramp, 0.5)
    assert np.abs(share[0] - (255 * (1 - 0.5 * ramp[0]))[:, None]).max() <= 1.5


def test_inputs_are_never_written_to(grey: np.ndarray, heat: np.ndarray) -> None:
    grey_before, heat_before = grey.copy(), heat.copy()
    rendering.render_overlay(grey, heat, 0.7)
    rendering.to_png(rendering.render_heat(heat))
    rendering.shrink(heat, 10)
    assert np.array_equal(grey, grey_before)
    assert np.array_equal(heat, heat_before)


def test_wrong_shapes_and_opacities_are_refused(grey: np.ndarray, heat: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"Expected a map of shape \(40, 60\)"):
        rendering.render_overlay(grey, heat[:-1])
    with pytest.raises(ValueError, match="Expected an opacity"):
        rendering.render_overlay(grey, heat, 1.1)
    with pytest.raises(ValueError, match="Expected a map of shape"):
        rendering.render_heat(grey)


def test_the_colour_bar_runs_from_clear_to_bright() -> None:
    bar = rendering.render_colour_bar(rows=5, columns=100)
    assert bar.shape == (5, 100, 4)
    assert (bar[0, 0, 3], bar[0, -1, 3]) == (0, 255)
    assert (np.diff(bar[0].astype(int) @ [0.299, 0.587, 0.114, 0]) >= 0).all(), "brightness must grow with the value"


def test_shrinking_keeps_the_aspect_ratio_and_small_pictures() -> None:
    assert rendering.shrink(np.zeros((2048, 1024, 3), np.uint8), 1024).shape == (1024, 512, 3)
    assert rendering.shrink(np.ones((1, 3000), np.float32), 100).shape == (1, 100)
    small = np.zeros((5, 7), np.float32)
    assert rendering.shrink(small, 7) is small


def test_png_is_lossless(grey: np.ndarray, heat: np.ndarray) -> None:
    for picture in (rendering.render_overlay(grey, heat), rendering.render_heat(heat)):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(rendering.to_png(picture)))), picture)


def test_the_outline_runs_round_the_hottest_share_of_the_body() -> None:
    rows, columns = np.mgrid[0:60, 0:60]
    values = np.exp(-((rows - 20) ** 2 + (columns - 35) ** 2) / 200).astype(np.float32)
    body = columns >= 10
    (outline,) = rendering.outline_hottest(values, body, 0.1)
    mask = cv2.drawContours(np.zeros(values.shape, np.uint8), [outline], -1, 1, cv2.FILLED).astype(bool)
    assert mask.sum() == pytest.approx(0.1 * body.sum(), rel=0.08)
    assert values[mask].min() >= np.partition(values[body], -int(mask.sum()))[-int(mask.sum())] * 0.9
    assert rendering.outline_hottest(np.zeros_like(values), body, 0.1) == []
    assert rendering.outline_hottest(values * (columns < 10), body, 0.1) == [], "nothing is coloured inside the body"
