"""Large pictures are worked on one after the other; small ones wait for nobody."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lungapp import turns
from lungapp.methods import DEFAULT_METHOD
from lungapp.reading import read_slice
from lungapp.slices import Slice
from lungapp.turns import in_turn
from lungapp.ui import EXAMPLES
from lungapp.ui.answers import analysed
from tests.fakes import FakeEngine

TOGETHER = 4
ASKED = ("basic_cnn", "predicted", DEFAULT_METHOD, False, False, False)


class Watched:
    """Counts how many are inside at once; where ``company`` is expected, each waits until all are there."""

    def __init__(self, company: int = 1) -> None:
        self.inside, self.most = 0, 0
        self._lock, self._all_there = threading.Lock(), threading.Barrier(company)

    def __enter__(self) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self._all_there.wait(120)
        time.sleep(0.02)  # long enough for the others to come in if nothing keeps them out

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.inside -= 1


def at_once(step) -> None:
    with ThreadPoolExecutor(TOGETHER) as pool:
        for done in [pool.submit(step) for _ in range(TOGETHER)]:
            done.result(120)


def large_or_small(monkeypatch: pytest.MonkeyPatch, large: bool, pixels: int) -> Watched:
    monkeypatch.setattr(turns, "LARGE", pixels - 1 if large else pixels)
    return Watched(1 if large else TOGETHER)


@pytest.mark.parametrize("large", [True, False])
def test_one_turn_at_a_time_for_what_is_large(large, monkeypatch):
    watched = large_or_small(monkeypatch, large, 100)

    def step() -> None:
        with in_turn(100), in_turn(100), watched:  # whoever has the turn may ask for it again
            pass

    at_once(step)
    assert watched.most == (1 if large else TOGETHER)


@pytest.mark.parametrize("large", [True, False])
def test_large_slices_are_analysed_and_drawn_in_turn(large, monkeypatch):
    item = read_slice(EXAMPLES / "phantom-mass.png")
    watched = large_or_small(monkeypatch, large, item.pixels.size)

    class Engine(FakeEngine):
        def analyse(self, *args, **options):
            with watched:
                return super().analyse(*args, **options)

    engine = Engine()
    at_once(lambda: analysed(engine, Slice(item.pixels, "grey"), *ASKED))
    assert watched.most == (1 if large else TOGETHER)
