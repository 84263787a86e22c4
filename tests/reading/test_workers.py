"""Files are read in processes of their own: within limits, replaced where one is ended, large files in turn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lungapp.errors import InputTooLarge, UnreadableInput
from lungapp.reading import Limits, formats, read_slice, room, workers
from lungapp.reading.containers import Leaf
from lungapp.reading.formats import examine, guarded
from lungapp.reading.room import LARGE_BYTES, NeedsRoom
from lungapp.reading.worker import Done
from lungapp.reading.workers import Workers
from tests.reading.files import encode, write_chest, write_nifti

PICTURE = encode(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))
LIMITS = Limits(max_seconds=1)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Workers whose every file is a piece of Python that is run: what a decoder might do."""
    (tmp_path / "acting.py").write_text(
        "from lungapp.reading import formats, room\n"
        "def act(leaf, code):\n    return formats.guarded(lambda: eval(code, {'room': room}))\n"
        "formats.act = act\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(workers, "NURSE", "import acting; " + workers.NURSE)
    pool = Workers()
    yield pool
    pool.close()


def act(pool: Workers, code: str, file: int = 1, **options: object):
    done = pool.run("act", Leaf("file", Path(), file), code, limits=LIMITS, **options)
    if done.error:
        raise done.error
    return done.value


def test_a_file_that_computes_for_too_long_is_given_up_and_the_next_is_read(pool: Workers):
    with pytest.raises(InputTooLarge, match="read in 1 seconds"):
        act(pool, "[0 for _ in iter(int, 1)]")
    assert act(pool, "1 + 1") == 2


def test_a_file_that_waits_for_too_long_is_given_up(pool: Workers):
    with pytest.raises(InputTooLarge, match="read in 1 seconds"):
        act(pool, "__import__('time').sleep(600)")


def test_a_file_that_takes_too_much_memory_is_given_up_alone(pool: Workers):
    with pytest.raises(InputTooLarge, match="memory"):
        act(pool, "bytearray(3 * 2**30)")
    assert act(pool, "1 + 1") == 2


def test_a_file_that_crashes_its_decoder_is_damaged(pool: Workers):
    with pytest.raises(UnreadableInput, match="damaged"):
        act(pool, "__import__('os').kill(__import__('os').getpid(), 11)")
    assert act(pool, "1 + 1") == 2


def test_workers_and_their_nursery_are_replaced_when_they_are_ended(pool: Workers):
    end(act(pool, "__import__('os').getpid()"))
    end(act(pool, "__import__('os').getppid()"))
    with pytest.raises(UnreadableInput):
        act(pool, "__import__('os')._exit(1)")
    assert act(pool, "1 + 1") == 2, "a worker of a new nursery"


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    while runs(pid):
        time.sleep(0.01)


def test_no_more_files_are_read_at_a_time_than_there_are_places(pool: Workers):
    with ThreadPoolExecutor(3 * workers.PLACES) as threads:
        pids = list(threads.map(lambda _: act(pool, "__import__('os').getpid()"), range(6 * workers.PLACES)))
    assert len(set(pids)) <= workers.PLACES


def test_whoever_has_a_file_open_is_asked_again(pool: Workers):
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(act, pool, "(__import__('os').getpid(), __import__('time').sleep(0.5))[0]", 1)
        while pool._room[False]._value == workers.PLACES:
            time.sleep(0.01)
        other = act(pool, "__import__('os').getpid()", 2)
    assert slow.result() != other
    for _ in range(3):
        assert act(pool, "__import__('os').getpid()", 1) == slow.result()
        assert act(pool, "__import__('os').getpid()", 2) == other


def test_large_files_are_read_one_after_the_other(pool: Workers):
    inside, most = [0], [0]
    ask = workers._Worker.ask

    def watched(self: workers._Worker, *task: object) -> Done:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        try:
            return ask(self, *task)
        finally:
            inside[0] -= 1

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(4) as threads:
        patch.setattr(workers._Worker, "ask", watched)
        list(threads.map(lambda _: act(pool, "__import__('time').sleep(0.05)", large=True), range(4)))
    assert most[0] == 1
    with pytest.raises(NeedsRoom):
        act(pool, f"room.need_room({LARGE_BYTES + 1})")
    assert act(pool, f"room.need_room({LARGE_BYTES + 1})", large=True) is None


@pytest.mark.parametrize(
    "data",
    [encode(np.zeros((2900, 2900), np.uint8)), write_chest(np.zeros((2900, 2900), np.int16) - 1000)],
    ids=["picture", "DICOM"],
)
def test_what_is_large_waits_for_its_turn_and_is_read_then(data: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(room._room, "own_turn", False)
    with pytest.raises(NeedsRoom):
        formats.read_part(Leaf("file", data, 10**9), 0, Limits())
    assert read_slice(data).rows == 2900


def test_a_volume_is_opened_by_one_worker(monkeypatch: pytest.MonkeyPatch):
    from lungapp.reading import read_study

    asked: set[int] = set()
    ask = workers._Worker.ask
    monkeypatch.setattr(workers._Worker, "ask", lambda self, *task: (asked.add(id(self)), ask(self, *task))[1])
    volume = np.rint(np.linspace(-1000, 100, 32 * 32 * 40).reshape(32, 32, 40)).astype(np.int16)
    series = read_study([write_nifti(volume)]).series[0]
    with ThreadPoolExecutor(4) as threads:
        slices = list(threads.map(lambda entry: entry.read(), series.entries))
    assert len(slices) == 40
    assert len(asked) == 1


def test_files_of_one_upload_may_take_so_much_time_together():
    from lungapp.reading import study

    reader = study._Reader(Limits(max_total_seconds=1))
    study_ = study._in_order(reader.find([PICTURE, PICTURE]), reader)
    entries = study_.series[0].entries
    assert entries[0].read().rows == 64
    reader._seconds = 0.0
    with pytest.raises(InputTooLarge, match="1 seconds together"):
        entries[1].read()


def test_out_of_memory_in_a_decoder_is_too_large():
    def out_of_memory() -> None:
        raise MemoryError

    with pytest.raises(InputTooLarge, match="memory"):
        guarded(out_of_memory)


def test_slices_from_a_worker_are_read_only_and_as_they_were():
    leaf = Leaf("file", PICTURE, 10**9 + 1)
    examined = examine(leaf, Limits(), 1)
    here = formats.read_part(examined.slices[0].leaf, 0, Limits())
    there = read_slice(PICTURE)
    np.testing.assert_array_equal(here.pixels, there.pixels)
    assert here.info == there.info
    assert not there.pixels.flags.writeable


def test_a_killed_application_leaves_no_worker(tmp_path: Path):
    code = (
        "import sys, time\nfrom lungapp.reading import read_slice, workers\n"
        "read_slice(sys.argv[1])\nprint(workers.workers._nursery._process.pid, flush=True)\ntime.sleep(600)"
    )
    path = tmp_path / "a.png"
    path.write_bytes(PICTURE)
    with subprocess.Popen([sys.executable, "-c", code, path], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        nursery = int(process.stdout.readline())
        family = [nursery, *map(int, Path(f"/proc/{nursery}/task/{nursery}/children").read_text().split())]
        process.kill()
    deadline = time.monotonic() + 60
    while any(runs(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(family) > 1
    assert not any(runs(pid) for pid in family)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_reading_from_many_threads_is_right():
    pictures = [encode(np.full((32, 32), value, np.uint8)) for value in range(24)]
    barrier = threading.Barrier(8)

    def read(value: int) -> float:
        if value < 8:
            barrier.wait(60)
        return float(read_slice(pictures[value]).pixels.mean())

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(read, range(24))) == [float(value) for value in range(24)]
