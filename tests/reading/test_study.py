"""Series: what belongs together, in which order, and what is set aside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, MediaStorageDirectoryStorage

from lungapp.errors import UnreadableInput, UnsupportedInput
from lungapp.reading import read_slice, read_study
from tests.reading.files import STORED, chest, encode, make_dataset, write, write_chest, write_zip

AXIAL = [1, 0, 0, 0, 1, 0]


def at(z: float, series: str = "1.2.3", number: int = 0, **attributes: object) -> bytes:
    """A CT image at ``z`` mm whose stored values are all about ``number``."""
    stored = np.full_like(STORED, number)
    place = {"ImagePositionPatient": [0, 0, z], "SeriesInstanceUID": series, "SOPInstanceUID": f"{series}.{z}.{number}"}
    return write(make_dataset(stored, **{**place, "InstanceNumber": number, **attributes}))


def numbers(series) -> list[int]:
    """The stored value of each slice."""
    return [round(float(entry.read().pixels[0, 0])) + 1024 for entry in series.entries]


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(5)))
def test_slices_are_ordered_by_position_whatever_order_they_come_in(order):
    study = read_study([at(10.0 * z, number=z) for z in order])
    (series,) = study.series
    assert numbers(series) == [0, 1, 2, 3, 4]
    assert [entry.position for entry in series.entries] == [0, 10, 20, 30, 40]
    assert series.title == "DICOM CT: 5 slices over 40 mm"


def test_position_counts_from_the_feet_however_a_slice_is_turned():
    turned = {"ImageOrientationPatient": [-1, 0, 0, 0, 1, 0]}  # its normal points to the feet
    (series,) = read_study([at(z, number=int(z), **turned) for z in (30.0, 10.0)]).series
    assert [entry.position for entry in series.entries] == [10, 30]


def test_without_positions_by_instance_number():
    (series,) = read_study([at(n, number=n, ImagePositionPatient="") for n in (3, 1, 2)]).series
    assert numbers(series) == [1, 2, 3]
    assert series.entries[0].position is None


def test_series_are_kept_apart_by_identifier_orientation_and_size():
    turned = {"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]}
    large = write(make_dataset(np.tile(STORED, 2), SeriesInstanceUID="1.2.3", SOPInstanceUID="9"))
    study = read_study([at(0), at(1), at(2), at(3, "1.2.4"), at(4, **turned), large])
    assert [len(series.entries) for series in study.series] == [3, 1, 1, 1]
    assert not study.set_aside


def test_scouts_other_orientations_and_doubles_are_set_aside_with_a_reason():
    scout = at(5, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    coronal = at(6, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    listing = write(make_dataset(SOPClassUID=MediaStorageDirectoryStorage, Modality=None))
    study = read_study([at(0), scout, coronal, at(0), listing, b"nonsense"])
    (series,) = study.series
    assert len(series.entries) == 1
    found = {item.source: item.reason for item in study.set_aside}
    for source, words in {
        "file 2": "localizer",
        "file 3": "another orientation",
        "file 4": "The same image as file 1",
        "file 5": "DICOMDIR",
        "file 6": "bytes of another kind",
    }.items():
        assert words in found[source]


def test_pictures_together_in_the_order_they_came():
    pictures = [encode(np.full((32, 32), grey, np.uint8)) for grey in (9, 1, 5)]
    (series,) = read_study(pictures).series
    assert [entry.read().pixels[0, 0] for entry in series.entries] == [9, 1, 5]
    assert series.title == "Pictures: 3 slices"


def test_nothing_at_all():
    study = read_study([])
    assert study.series == study.set_aside == ()


def test_the_middle_slice_of_a_series_and_any_other():
    archive = write_zip({str(z): at(z, number=z) for z in range(5)})
    item = read_slice(archive)
    assert (round(float(item.pixels[0, 0])) + 1024, item.info.notes[0]) == (
        2,
        "Slice 3 of 5, the middle one, was read.",
    )
    assert round(float(read_slice(archive, number=5).pixels[0, 0])) + 1024 == 4
    with pytest.raises(UnsupportedInput, match="from 1 to 5"):
        read_slice(archive, number=0)
    with pytest.raises(UnsupportedInput, match="localizer"):
        read_slice(write_zip({str(z): at(z, ImageType=["LOCALIZER"]) for z in range(3)}))


# Enhanced multi-frame objects


def enhanced(order: list[int], **attributes: object) -> Dataset:
    """An enhanced CT whose frames store their number and lie 5 mm apart, in ``order``."""

    def group(**values: object) -> Dataset:
        item = Dataset()
        for name, value in values.items():
            setattr(item, name, value)
        return item

    shared = group(
        PlaneOrientationSequence=Sequence([group(ImageOrientationPatient=AXIAL)]),
        PixelMeasuresSequence=Sequence([group(PixelSpacing=[0.7, 0.8], SliceThickness=5)]),
        PixelValueTransformationSequence=Sequence([group(RescaleSlope=2, RescaleIntercept=-1024, RescaleType="HU")]),
    )
    frames = [group(PlanePositionSequence=Sequence([group(ImagePositionPatient=[0, 0, 5.0 * n])])) for n in order]
    stored = np.stack([np.full_like(STORED, n) for n in order])
    dataset = make_dataset(stored, SOPClassUID=EnhancedCTImageStorage, RescaleSlope=None, RescaleIntercept=None)
    del dataset.ImageOrientationPatient
    dataset.NumberOfFrames = len(order)
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return dataset


def test_enhanced_frames_are_slices_with_facts_of_their_own():
    (series,) = read_study([write(enhanced([2, 0, 1]))]).series
    assert [entry.position for entry in series.entries] == [0, 5, 10]
    assert [entry.source for entry in series.entries] == [f"file 1, frame {n}" for n in (2, 3, 1)]
    for number, entry in enumerate(series.entries):
        item = entry.read()
        np.testing.assert_array_equal(item.pixels, 2 * number - 1024)
        assert (item.info.spacing, item.info.thickness) == ((0.7, 0.8), 5)


def test_frames_that_are_no_axial_slices_are_set_aside():
    dataset = enhanced([0, 1])
    kind = Dataset()
    kind.FrameType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dataset.PerFrameFunctionalGroupsSequence[1].CTImageFrameTypeSequence = Sequence([kind])
    study = read_study([write(dataset)])
    assert [entry.source for entry in study.series[0].entries] == ["file 1, frame 1"]
    assert [item.source for item in study.set_aside] == ["file 1, frame 2"]


def test_more_frames_announced_than_there_are():
    with pytest.raises(UnreadableInput, match="more or fewer images"):
        read_slice(write(enhanced([0, 1], NumberOfFrames=5)))
    dataset = enhanced([0, 1])
    dataset.PixelData = dataset.PixelData[: STORED.nbytes]
    with pytest.raises(UnreadableInput):
        read_slice(write(dataset), number=2)


# A file that does not tell how its values become HU


@pytest.mark.parametrize("intercept", [0, -1024])
def test_missing_rescale_is_taken_from_where_air_and_tissue_lie(intercept):
    pixels = chest()
    item = read_slice(write_chest(pixels - intercept, RescaleSlope=None, RescaleIntercept=None))
    np.testing.assert_allclose(item.pixels, np.where(pixels < -1500, -1000, pixels))
    assert "does not tell" in item.info.notes[0]


def test_values_of_unknown_unit_are_refused():
    with pytest.raises(UnsupportedInput, match="unknown unit"):
        read_slice(write_chest(chest() // 4 + 500, RescaleSlope=None, RescaleIntercept=None))
