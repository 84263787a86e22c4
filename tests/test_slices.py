"""Window arithmetic, and what a `Slice` accepts."""

import numpy as np
import pytest

from lungapp.slices import LUNG, MEDIASTINUM, PRESETS, Slice, SliceInfo, Window


@pytest.mark.parametrize(
    ("window", "value", "expected"),
    [
        (Window(-600, 1500), -1350, 0.0),
        (Window(-600, 1500), -600, 0.5),
        (Window(-600, 1500), 150, 1.0),
        (Window(40, 400), -160, 0.0),
        (Window(40, 400), 140, 0.75),
        (Window(40, 400), -3000, 0.0),
        (Window(40, 400), 30000, 1.0),
        (Window(0.5, 1), 0.25, 0.25),
    ],
)
def test_window_maps_its_ends_to_0_and_1(window, value, expected):
    mapped = window.apply(np.full((2, 3), value, np.float32))
    assert mapped.dtype == np.float32
    np.testing.assert_allclose(mapped, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_window_takes_any_number_type(dtype):
    values = np.array([[0, 100]], dtype)
    np.testing.assert_allclose(Window(50, 100).apply(values), [[0, 1]])


@pytest.mark.parametrize("width", [0, -1, float("nan")])
def test_window_needs_a_width(width):
    with pytest.raises(ValueError, match="above 0"):
        Window(0, width)


def test_window_leaves_its_input_alone():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    before = values.copy()
    Window(2, 2).apply(values)
    np.testing.assert_array_equal(values, before)


def test_presets_are_ordinary_windows():
    assert PRESETS["lung"] is LUNG
    assert (MEDIASTINUM.low, MEDIASTINUM.high) == (-160, 240)


@pytest.mark.parametrize(
    ("pixels", "unit", "message"),
    [
        (np.zeros(4), "HU", "shape"),
        (np.zeros((2, 2, 3)), "HU", "shape"),
        (np.zeros((0, 4)), "HU", "shape"),
        (np.zeros((2, 2)), "hu", "unit"),
        (np.array([[0, np.nan]]), "HU", "finite"),
        (np.array([[0, np.inf]]), "grey", "finite"),
    ],
)
def test_slice_refuses(pixels, unit, message):
    with pytest.raises(ValueError, match=message):
        Slice(pixels, unit)


def test_slice_shares_nothing_with_the_callers_array():
    mine = np.ones((2, 3), np.float32)
    item = Slice(mine, "HU")
    mine[0, 0] = 7
    assert item.pixels[0, 0] == 1
    assert mine.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        item.pixels[0, 0] = 7


def test_slice_knows_rows_from_columns():
    item = Slice(np.zeros((2, 3), np.int16), "HU")
    assert (item.rows, item.columns) == (2, 3)
    assert item.pixels.dtype == np.float32


def test_hounsfield_units_go_through_the_window_and_greys_do_not():
    values = np.array([[-1350, -600, 150]], np.float32)
    np.testing.assert_allclose(Slice(values, "HU").windowed(), [[0, 0.5, 1]])
    np.testing.assert_allclose(Slice(values, "HU").windowed(Window(-600, 3000)), [[0.25, 0.5, 0.75]])
    grey = Slice(np.array([[0, 1023.75, 4095]]), "grey", SliceInfo("PNG", bits=16, white=4095))
    np.testing.assert_allclose(grey.windowed(), [[0, 0.25, 1]])
    np.testing.assert_array_equal(grey.windowed(MEDIASTINUM), grey.windowed())
