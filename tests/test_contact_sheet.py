"""Contact sheets, and that the lesions which readers annotated lie inside the cavity."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from lungapp.anatomy import Anatomy
from lungapp.slices import Slice
from train.annotations import lesions
from train.contact_sheet import BLUE, CAPTION, COLUMNS, SIDE, inside_cavity, main, slices, tile

SAMPLES = os.environ.get("LUNGAPP_SAMPLES", "")
needs_samples = pytest.mark.skipif(not SAMPLES, reason="LUNGAPP_SAMPLES is not set")

BOX = """<annotation><object><bndbox><xmin>10</xmin><ymin>20</ymin><xmax>30</xmax><ymax>50</ymax></bndbox></object>
</annotation>"""
OUTLINE = """<LidcReadMessage xmlns="http://www.nih.gov"><readingSession><unblindedReadNodule>
<roi><imageSOP_UID>1.2.2</imageSOP_UID><inclusion>TRUE</inclusion>
<edgeMap><xCoord>5</xCoord><yCoord>6</yCoord></edgeMap><edgeMap><xCoord>7</xCoord><yCoord>8</yCoord></edgeMap>
<edgeMap><xCoord>5</xCoord><yCoord>9</yCoord></edgeMap></roi>
<roi><imageSOP_UID>1.2.2</imageSOP_UID><inclusion>FALSE</inclusion></roi>
</unblindedReadNodule></readingSession></LidcReadMessage>"""


def write_dicom(path: Path, uid: str) -> None:
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, uid
    file.save_as(path, enforce_file_format=True)


def test_boxes_and_outlines_are_read_and_belong_to_their_slices(tmp_path):
    for number in (1, 2, 3):
        write_dicom(tmp_path / f"{number}.dcm", f"1.2.{number}")
    (tmp_path / "1.2.1.xml").write_text(BOX)
    (tmp_path / "069.xml").write_text(OUTLINE)
    found = lesions(tmp_path)
    assert [path.name for path in found] == ["1.dcm", "2.dcm"]
    assert found[tmp_path / "1.dcm"][0].tolist() == [[10, 20], [30, 20], [30, 50], [10, 50]]
    assert [outline.tolist() for outline in found[tmp_path / "2.dcm"]] == [[[5, 6], [7, 8], [5, 9]]]


def test_every_pixel_of_an_outline_counts(thorax):
    anatomy = Anatomy(thorax)
    rows, columns = np.nonzero(anatomy.cavity)
    middle = np.array([columns.mean(), rows.mean()], int)
    box = np.array([(0, 0), (10, 0), (10, 10), (0, 10)], np.int32)
    assert inside_cavity(anatomy, [middle + box]).all()
    assert not inside_cavity(anatomy, [box]).any()
    half = np.array([(0, middle[1]), (middle[0], middle[1]), (middle[0], middle[1] + 2), (0, middle[1] + 2)], np.int32)
    assert 0.2 < inside_cavity(anatomy, [half]).mean() < 0.9


def test_a_sheet_shows_every_slice_and_its_lesions(tmp_path, thorax, capsys):
    for number in range(COLUMNS + 1):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.rint(255 * thorax.windowed()).astype(np.uint8))
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "sheet.png")]) == 0
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (2 * (SIDE + CAPTION), COLUMNS * SIDE, 3)
    assert f"{COLUMNS + 1} slices" in capsys.readouterr().out
    outline = np.array([(100, 100), (140, 100), (140, 140), (100, 140)], np.int32)
    assert (tile(Anatomy(thorax), [outline], "one") == BLUE).all(axis=2).sum() > 100


def test_a_folder_without_slices_is_said(tmp_path, capsys):
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "sheet.png")]) == 2
    assert "Expected" in capsys.readouterr().err


@needs_samples
@pytest.mark.parametrize(("patient", "count"), [("lidc-idri-0001", 9), ("lung-pet-ct-dx-a0002", 10)])
def test_annotated_lesions_lie_inside_the_cavity(patient, count):
    shares = [
        inside_cavity(anatomy, [outline]).mean()
        for _, anatomy, outlines in slices(Path(SAMPLES, "dicom", patient), 1)
        for outline in outlines
    ]
    assert len(shares) >= count
    assert min(shares) >= 0.98


@needs_samples
def test_most_of_a_tumour_that_grows_into_the_wall_lies_inside_the_cavity():
    """A0001's boxes reach into the wall behind the lung, which is no cavity."""
    shares = []
    for _, anatomy, outlines in slices(Path(SAMPLES, "dicom", "lung-pet-ct-dx-a0001"), 1):
        for (left, top), _, (right, bottom), _ in outlines:
            shares.append(anatomy.cavity[top : bottom + 1, left : right + 1].mean())
    assert len(shares) >= 11
    assert np.mean(shares) > 0.8
    assert min(shares) > 0.75


def test_nothing_is_drawn_into_the_slice(thorax):
    item = Slice(thorax.pixels, "HU")
    before = item.pixels.copy()
    tile(Anatomy(item), [], "one")
    np.testing.assert_array_equal(item.pixels, before)
