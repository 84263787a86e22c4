"""Archives: what is in them is read, what is wrong with them is said, and bombs do not go off."""

from __future__ import annotations

import gzip
import io
import zipfile

import numpy as np
import pytest

from lungapp.errors import InputTooLarge, LungAppError, UnsupportedInput
from lungapp.reading import Limits, read_slice, read_study
from tests.reading.files import encode, write_chest, write_zip

SECRET = "Mustermann"
PICTURE = encode(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))


def sources(study) -> list[str]:
    return [entry.source for series in study.series for entry in series.entries]


def reasons(study) -> str:
    return " ".join(item.reason for item in study.set_aside)


def test_files_in_an_archive_are_read_without_their_names():
    study = read_study([write_zip({f"{SECRET}/a.png": PICTURE, f"{SECRET}/b": write_chest()})])
    assert sorted(sources(study)) == ["file 1, item 1", "file 1, item 2"]
    assert SECRET not in repr(study)
    assert {entry.read().unit for series in study.series for entry in series.entries} == {"grey", "HU"}


def test_a_path_is_as_good_as_bytes(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(write_zip({"a": PICTURE}))
    np.testing.assert_array_equal(read_slice(path).pixels, read_slice(PICTURE).pixels)


def test_gzip_is_looked_into():
    np.testing.assert_array_equal(read_slice(gzip.compress(PICTURE)).pixels, read_slice(PICTURE).pixels)


def test_archives_in_archives_up_to_the_limit():
    inner = write_zip({"a": PICTURE})
    assert sources(read_study([write_zip({"b": inner})])) == ["file 1, item 1, item 1"]
    study = read_study([write_zip({"b": inner, "c": PICTURE})], Limits(max_nesting=1))
    assert sources(study) == ["file 1, item 2"]
    assert "at most 1 deep" in reasons(study)


def test_litter_of_operating_systems_is_passed_over():
    study = read_study([write_zip({"a.png": PICTURE, "__MACOSX/._a.png": b"x", ".DS_Store": b"x", "d/": b""})])
    assert len(sources(study)) == 1
    assert not study.set_aside


@pytest.mark.parametrize(
    ("files", "message"),
    [({}, "without files"), ({"[Content_Types].xml": b"<x/>", "word/document.xml": b"<x/>"}, "office document")],
)
def test_archives_of_nothing_to_read(files, message):
    with pytest.raises(UnsupportedInput, match=message):
        read_slice(write_zip(files))


def test_a_file_that_cannot_be_read_does_not_stop_the_rest():
    study = read_study([write_zip({"a": b"nonsense", "b": PICTURE}), b"", PICTURE, "/no/such/file"])
    assert sources(study) == ["file 1, item 2", "file 3"]
    assert [item.source for item in study.set_aside] == ["file 1, item 1", "file 2", "file 4"]


def test_an_encrypted_member_is_set_aside():
    data = bytearray(write_zip({"a": PICTURE}))
    for at in (6, data.index(b"PK\x01\x02") + 8):  # the flag in the member's own header and in the directory
        data[at] |= 1
    assert "encrypted" in reasons(read_study([bytes(data), PICTURE]))


@pytest.mark.parametrize("cut", [10, 100, 1000])
def test_a_cut_archive(cut):
    whole = write_zip({"a": np.random.default_rng(0).bytes(2000)})
    with pytest.raises(LungAppError, match=r"Expected .* Received: "):
        read_slice(whole[:-cut])


def test_a_member_that_is_larger_than_its_header_tells():
    data = bytearray(write_zip({"a": PICTURE * 50}))
    data[22:26] = data[data.index(b"PK\x01\x02") + 24 :][:4] = (100).to_bytes(4, "little")
    data[data.index(b"PK\x01\x02") + 24 :][:4] = (100).to_bytes(4, "little")
    study = read_study([bytes(data)], Limits(max_bytes=2**20))
    assert isinstance(study.series, tuple)


# Limits


def bomb(size: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"\0" * size)
    return stream.getvalue()


def test_bombs_do_not_go_off():
    assert "at most 100 to 1" in reasons(read_study([bomb(20 * 2**20), PICTURE], Limits(max_ratio=100)))
    assert "at most 1,048,576 bytes" in reasons(read_study([bomb(20 * 2**20), PICTURE], Limits(max_bytes=2**20)))
    packed = gzip.compress(b"\0" * 20 * 2**20)
    assert "at most 100 to 1" in reasons(read_study([packed, PICTURE], Limits(max_ratio=100)))
    with pytest.raises(InputTooLarge, match="at most 1,048,576 bytes"):
        read_slice(packed, Limits(max_bytes=2**20))


def test_limits_on_the_whole():
    archive = write_zip({str(number): PICTURE for number in range(5)})
    assert len(sources(read_study([archive], Limits(max_files=5)))) == 5
    assert "at most 4 files" in reasons(read_study([archive], Limits(max_files=4)))
    with pytest.raises(InputTooLarge, match="at most 8 files"):
        read_study([archive, archive], Limits(max_files=8))
    with pytest.raises(InputTooLarge, match="at most 3 files"):
        read_study([PICTURE] * 4, Limits(max_files=3))
    with pytest.raises(InputTooLarge, match="bytes together"):
        read_study([PICTURE] * 4, Limits(max_total_bytes=3 * len(PICTURE)))
