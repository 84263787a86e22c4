"""Uploads: opened from a folder of their own, deleted with it, and with what Gradio keeps of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from lungapp.reading import Limits
from lungapp.startup import PREFIX, sweep
from lungapp.ui import EXAMPLES, uploads
from lungapp.ui.opened import Opened, close, open_upload
from lungapp.ui.uploads import Upload
from lungapp.ui.vault import vault
from tests.series_files import phantom_series

PHANTOM = EXAMPLES / "phantom-mass.png"


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as Gradio keeps it: under a name of its own, in its cache folder."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(uploads, "GRACE_SECONDS", 0.2)
    path = tmp_path / "0123abcd" / "Mustermann.png"
    path.parent.mkdir()
    path.write_bytes(PHANTOM.read_bytes())
    return path


def wait_until_gone(path: Path) -> bool:
    deadline = time.monotonic() + 60
    while path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not path.exists()


def test_files_are_kept_without_their_names_until_closed(cached: Path) -> None:
    upload = Upload([cached])
    (own,) = upload.files
    assert own.read_bytes() == PHANTOM.read_bytes()
    assert "Mustermann" not in str(own)
    assert wait_until_gone(cached.parent), "what Gradio keeps goes too, its folder with it"
    assert own.exists()
    upload.close()
    upload.close()
    assert not own.parent.exists()


def test_a_file_that_was_uploaded_again_meanwhile_stays(cached: Path) -> None:
    with Upload([cached]):
        newer = time.time() + 60
        os.utime(cached, (newer, newer))
        time.sleep(0.6)
    assert cached.exists()


def test_files_outside_the_cache_are_left_alone(cached: Path) -> None:
    with Upload([PHANTOM]):
        time.sleep(0.4)
    assert PHANTOM.exists()


def test_what_a_killed_process_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = f"""
        import os
        from lungapp.ui.uploads import Upload
        upload = Upload([{str(PHANTOM)!r}])
        os._exit(0)  # as a kill would: nothing is cleaned up
    """
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", textwrap.dedent(left)], check=True, env=environment, cwd=EXAMPLES.parent)
    alive = tmp_path / f"{PREFIX}{os.getppid()}-x"
    other = tmp_path / "somebody-elses"
    alive.mkdir()
    other.mkdir()
    assert len(list(tmp_path.glob("*/1"))) == 1
    sweep()
    assert sorted(tmp_path.iterdir()) == sorted([alive, other])


def test_gradio_keeps_its_files_in_a_folder_that_goes_with_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    folder = uploads.private_cache()
    assert folder is not None
    assert uploads.cache_folder() == Path(folder.name).resolve()
    assert uploads.private_cache() is None, "somebody named one"
    folder.cleanup()


def test_opening_another_file_deletes_the_one_before() -> None:
    first = open_upload([PHANTOM], Limits())
    assert first.upload is not None
    assert first.read(1).unit == "grey"
    second = open_upload([PHANTOM, EXAMPLES / "phantom-clear.png"], Limits(), first)
    assert not first.upload.files[0].exists()
    assert (len(second.entries), second.first, second.title) == (2, 1, "Pictures: 2 slices")
    assert second.read(99).pixels.shape == (512, 512), "the nearest there is"
    assert len({first.key(1), second.key(1), second.key(2)}) == 3
    close(second)
    close(second)
    close(None)
    close(Opened())
    assert second.upload is not None
    assert not second.upload.files[0].exists()


def test_what_was_set_aside_is_told(tmp_path: Path) -> None:
    nonsense = tmp_path / "Mustermann"
    nonsense.write_bytes(b"nonsense")
    opened = open_upload([nonsense, PHANTOM], Limits())
    assert len(opened.entries) == 1
    assert opened.notes[0].startswith("File 1 was set aside. Expected ")
    assert "Mustermann" not in "".join(opened.notes)
    problem = open_upload([nonsense], Limits(), opened).problem
    assert problem.startswith("Expected ")
    many = open_upload([nonsense] * 9 + [PHANTOM], Limits())
    (note,) = many.notes
    assert note.startswith("Set aside: 9 files. Expected ")
    close(many)


def test_shared_files_go_with_the_last_who_needs_them() -> None:
    one = Upload([PHANTOM])
    other = one.share()
    one.close()
    one.close()
    assert other.files[0].exists()
    third = other.share()
    other.close()
    assert third.files[0].exists()
    third.close()
    assert not third.files[0].parent.exists()


def test_any_series_of_an_upload_can_be_picked_and_lent(tmp_path: Path) -> None:
    archive = tmp_path / "series.zip"
    archive.write_bytes(phantom_series(4, 64))
    opened = open_upload([archive], Limits())
    assert (len(opened.entries), opened.notes[0]) == (4, "The upload holds 2 series; the longest is shown.")
    other = opened.pick(1)
    assert (len(other.entries), other.notes[0]) == (1, "The upload holds 2 series; number 2 by length is shown.")
    assert len(opened.pick(7).entries) == 4
    lent = opened.lend(2)
    close(opened)
    assert lent.first == 2
    assert lent.read(2).unit == "HU"
    close(lent)
    assert lent.upload is not None
    assert not lent.upload.files[0].exists()


def test_what_is_handed_out_is_deleted_soon(cached: Path) -> None:
    file = uploads.hand_out(vault.folder(""), "lungapp-series.csv", b"a,b\r\n")
    assert file.read_bytes() == b"a,b\r\n"
    assert file.is_relative_to(uploads.cache_folder())
    assert wait_until_gone(file.parent)


def test_nothing_is_left_once_nobody_comes_any_more(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "EMPTY_FILE_SECONDS", 0)
    monkeypatch.setattr(uploads, "_leaving", uploads._Leaving())  # that of other tests may have files yet
    empty = uploads.cache_folder() / "tmpempty"
    file = uploads.hand_out(vault.folder(""), "lungapp-series.csv", b"a,b\r\n")
    empty.touch()
    assert wait_until_gone(file.parent)
    assert wait_until_gone(empty)


def test_the_empty_files_that_gradio_makes_are_tidied(cached: Path) -> None:
    cache = uploads.cache_folder()
    old, new, full = (cache / name for name in ("tmpold", "tmpnew", "tmpfull"))
    for file, content in ((old, b""), (new, b""), (full, b"x")):
        file.write_bytes(content)
    for file in (old, full):
        os.utime(file, (0, 0))
    uploads.tidy()
    assert [file.exists() for file in (old, new, full)] == [False, True, True]
