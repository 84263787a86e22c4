"""NIfTI volumes: orientation, units, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lungapp.errors import InputTooLarge, LungAppError, UnsupportedInput
from lungapp.reading import Limits, read_slice, read_study
from tests.reading.files import chest, write_nifti

SLICES = [chest(None, seed, 48) for seed in (1, 2, 3)]
CANONICAL = np.stack([item[::-1, ::-1].T for item in SLICES], axis=2)
"""(x, y, z) as NIfTI means RAS+: growing to the patient's right, front and head."""


@pytest.mark.parametrize("flips", list(itertools.product([1, -1], repeat=3)))
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_any_order_of_axes_gives_the_same_slices(flips, axes):
    sizes = np.array([0.7, 0.8, 2.5])
    direction = np.zeros((4, 4))
    direction[3, 3] = 1
    volume = CANONICAL[:: flips[0], :: flips[1], :: flips[2]].transpose(axes)
    for column, axis in enumerate(axes):
        direction[axis, column] = flips[axis] * sizes[axis]
    (series,) = read_study([write_nifti(volume, direction)]).series
    for item, entry in zip(SLICES, series.entries, strict=True):
        read = entry.read()
        np.testing.assert_array_equal(read.pixels, item)
        np.testing.assert_allclose(read.info.spacing, (0.8, 0.7), rtol=1e-5)
        assert read.info.thickness == pytest.approx(2.5)
    steps = np.diff([entry.position for entry in series.entries])
    np.testing.assert_allclose(steps, 2.5)


def test_packed_and_scaled():
    data = write_nifti(((CANONICAL + 1024) / 2).astype(np.int16), packed=True)
    with pytest.raises(UnsupportedInput, match="unknown unit"):
        read_slice(data)
    stored = (CANONICAL + 1024).astype(np.uint16)
    np.testing.assert_array_equal(read_slice(write_nifti(stored, packed=True), number=1).pixels, SLICES[0])
    assert "intercept of -1024" in " ".join(read_slice(write_nifti(stored)).info.notes)
    floats = write_nifti(CANONICAL.astype(np.float32))
    np.testing.assert_array_equal(read_slice(floats, number=3).pixels, SLICES[2])


def test_free_text_is_named_and_left_behind():
    item = read_slice(write_nifti(CANONICAL, descrip=b"Mustermann"))
    assert item.info.dropped == ("NIfTI descrip",)
    assert "Mustermann" not in repr(item.info)


@pytest.mark.parametrize(
    ("volume", "affine", "message"),
    [
        (np.zeros((8, 8), np.int16), None, "2 dimensions"),
        (np.zeros((8, 8, 8, 2), np.int16), None, "4 dimensions"),
        (np.zeros((8, 8, 8), np.complex64), None, "complex"),
        (np.full((8, 8, 8), 77, np.uint8), None, "unknown unit"),
        (CANONICAL, np.array([[1, -1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "oblique"),
    ],
)
def test_unsupported(volume, affine, message):
    with pytest.raises(UnsupportedInput, match=message):
        read_slice(write_nifti(volume, affine))


def test_damaged():
    whole = write_nifti(CANONICAL)
    for length in (348, 360, len(whole) // 2):
        with pytest.raises(LungAppError, match=r"Expected .* Received: "):
            read_slice(whole[:length])
    holes = CANONICAL.astype(np.float32)
    holes[3, 3, 1] = np.nan
    with pytest.raises(LungAppError, match="no numbers"):
        read_slice(write_nifti(holes))


def test_limits():
    with pytest.raises(InputTooLarge, match="pixels"):
        read_slice(write_nifti(CANONICAL), Limits(max_pixels=48 * 48 - 1))
    with pytest.raises(InputTooLarge, match="at most 2 images"):
        read_slice(write_nifti(CANONICAL), Limits(max_frames=2))
