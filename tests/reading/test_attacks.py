"""Small files that would cost out of proportion are refused on their headers, or given up; the next file is read."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable

import httpx
import pytest

from lungapp.errors import LungAppError
from lungapp.reading import Limits, read_slice, read_study
from tests.fakes import SERVER_WARNINGS, FakeEngine, serve
from tests.reading import attacks
from tests.reading.attacks import ATTACKS, PICTURE

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

ON_HEADER: dict[Callable[[], bytes], str] = {
    attacks.nifti_header: "fewer values than the header tells of",
    attacks.packed_nifti_header: "fewer values than the header tells of",
    attacks.nifti_extensions: "fewer values than the header tells of",
    attacks.dicom_items: "4,000,000 items",
    attacks.dicom_open_items: "4,000,000 items",
    attacks.dicom_attributes: "too many attributes",
    attacks.dicom_meta: "too many attributes",
    attacks.dicom_fragments: "more or fewer images",
    attacks.dicom_frames: "truncated",
    attacks.dicom_deflated: "at most 200 to 1",
    attacks.dicom_scans: "at most 64 scans",
    attacks.jpeg_scans: "at most 64 scans",
    attacks.tiff_pages: "at most 2,000 images",
    attacks.tiff_loop: "at most 2,000 images",
    attacks.gzip_zeros: "at most 200 to 1",
    attacks.gzip_in_gzip: "at most 200 to 1",
    attacks.zip_members: "at most 5,000 files",
    attacks.zip_overlapping: "overlap",
}
"""What is said of those that are refused before anything in them is unpacked, parsed or decoded."""


def name(attack: Callable[[], bytes]) -> str:
    return attack.__name__


def read_whole(data: bytes, limits: Limits) -> list[str]:
    """All that is said of a file when every slice in it is read."""
    study = read_study([data], limits)
    said = [item.reason for item in study.set_aside]
    for series in study.series:
        for entry in series.entries:
            try:
                entry.read()
            except LungAppError as error:
                said.append(str(error))
    return said


@pytest.mark.parametrize("attack", ON_HEADER, ids=name)
def test_what_costs_out_of_proportion_is_refused_on_its_header(attack: Callable[[], bytes]):
    assert ON_HEADER[attack] in " ".join(read_whole(attack(), Limits()))


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack not in ON_HEADER], ids=name)
def test_whatever_else_is_tried_ends_within_the_limits(attack: Callable[[], bytes]):
    said = read_whole(attack(), Limits(max_seconds=2, max_total_seconds=4))
    assert not [text for text in said if "Traceback" in text or len(text) > 400]
    assert read_slice(PICTURE).rows == 64


def test_files_that_take_long_together_are_given_up_together():
    study = read_study([attacks.dicom_nested()] * 6 + [PICTURE], Limits(max_seconds=1, max_total_seconds=3))
    reasons = [item.reason for item in study.set_aside]
    assert len(reasons) == 7
    assert "3 seconds together" in reasons[-1]


def test_an_archive_with_a_member_without_a_name_loses_that_member_alone():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x", PICTURE)
        archive.writestr("a", PICTURE)
        archive.infolist()[0].filename = ""  # in the directory, which is written at the end
    study = read_study([stream.getvalue()])
    assert len(study.series[0].entries) == 1
    assert len(study.set_aside) == 1


@pytest.mark.parametrize("attack", [attacks.dicom_nested, attacks.nifti_header, attacks.tiff_entries], ids=name)
def test_the_page_answers_beside_an_attack_and_after_it(attack: Callable[[], bytes]):
    data = attack()
    with serve(FakeEngine()) as url, httpx.Client(timeout=120) as client:
        answer = client.post(f"{url}/gradio_api/upload", files={"files": ("a", data)})
        assert answer.status_code == 200
        path = answer.json()[0]
        call = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, "resnet50", "predicted", "gradcam"]}
        call["data"] += [False, 0, False]
        event = client.post(f"{url}/gradio_api/call/analyse", json=call).json()["event_id"]
        honest = client.post(f"{url}/api/analyse", content=PICTURE)  # while the attack is being read
        assert honest.status_code == 200
        with client.stream("GET", f"{url}/gradio_api/call/analyse/{event}") as stream:
            lines = "".join(stream.iter_text())
        assert "error" in lines
        assert client.get(f"{url}/health").status_code == 200
        if len(data) < 2**20:
            assert client.post(f"{url}/api/analyse", content=data).status_code in (413, 422)
        assert client.post(f"{url}/api/analyse", content=PICTURE).status_code == 200


def test_attacks_at_once_take_no_place_for_good():
    from concurrent.futures import ThreadPoolExecutor

    from lungapp.reading.workers import PLACES

    limits, data = Limits(max_seconds=1), attacks.dicom_nested()
    with ThreadPoolExecutor(PLACES + 1) as threads:
        waiting = [threads.submit(read_whole, data, limits) for _ in range(PLACES)]
        time.sleep(0.2)
        honest = threads.submit(read_slice, PICTURE)
        assert all(work.result(120) for work in waiting)
        assert honest.result(120).rows == 64
