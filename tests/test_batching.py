"""Requests taken together: equal answers, order, bounds, and errors that hit only whom they belong to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from lungapp.anatomy import Anatomy
from lungapp.batching import Batcher
from lungapp.engine import Engine
from lungapp.errors import Busy
from lungapp.preprocessing import to_input
from lungapp.registry import MODELS
from lungapp.slices import Slice

PATIENCE = 10.0


class Gated:
    """Doubles numbers; each pass first waits to be let through. A negative number is an error."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.begun, self.gate = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, pictures: np.ndarray) -> list[float]:
        self.batches.append([float(value) for value in pictures])
        self.begun.release()
        assert self.gate.acquire(timeout=PATIENCE)
        if (pictures < 0).any():
            raise ValueError(f"negative: {pictures.min()}")
        return [2 * float(value) for value in pictures]

    def let(self, passes: int) -> None:
        self.gate.release(passes)


def waiting(batcher: Batcher, count: int) -> None:
    """Wait until ``count`` requests do."""
    done = threading.Event()
    while len(batcher._waiting) < count:
        assert not done.wait(0.002)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(80) as pool:
        yield pool


def line_up(pool: ThreadPoolExecutor, batcher: Batcher, run: Gated, values: list[float]) -> list[Future]:
    """One request that runs, the others behind it in their order."""
    futures = [pool.submit(batcher.ask, np.array(values[:1]))]
    assert run.begun.acquire(timeout=PATIENCE)
    for count, value in enumerate(values[1:], start=1):
        futures.append(pool.submit(batcher.ask, np.array([value])))
        waiting(batcher, count)
    return futures


def test_alone_nobody_waits_for_company():
    threads = []

    def run(pictures: np.ndarray) -> list[float]:
        threads.append(threading.current_thread())
        return list(pictures)

    batcher = Batcher(run)
    assert batcher.ask(np.array([1.0, 2.0])) == [1.0, 2.0]
    assert batcher.ask(np.array([3.0])) == [3.0]
    assert threads == [threading.current_thread()] * 2


def test_who_comes_meanwhile_is_taken_together_in_order(pool):
    run = Gated()
    batcher = Batcher(run, most=3)
    futures = line_up(pool, batcher, run, [1, 2, 3, 4, 5])
    run.let(3)
    assert [future.result(PATIENCE) for future in futures] == [[2], [4], [6], [8], [10]]
    assert run.batches == [[1], [2, 3, 4], [5]]


def test_a_request_of_several_pictures_is_not_torn_apart(pool):
    run = Gated()
    batcher = Batcher(run, most=3)
    first = line_up(pool, batcher, run, [1, 2])
    second = pool.submit(batcher.ask, np.array([3.0, 4.0, 5.0, 6.0]))
    waiting(batcher, 2)
    run.let(3)
    assert second.result(PATIENCE) == [6, 8, 10, 12]
    assert [future.result(PATIENCE) for future in first] == [[2], [4]]
    assert run.batches == [[1], [2], [3, 4, 5, 6]]


def test_a_full_queue_says_so_and_patient_work_waits_all_the_same(pool):
    run = Gated()
    batcher = Batcher(run, longest=2)
    futures = line_up(pool, batcher, run, [1, 2, 3])
    with pytest.raises(Busy, match=r"Expected fewer than 2 .+ Received: .+ try again"):
        batcher.ask(np.array([4.0]))
    patient = pool.submit(batcher.ask, np.array([5.0]), patient=True)
    waiting(batcher, 3)
    run.let(2)
    assert patient.result(PATIENCE) == [10]
    assert [future.result(PATIENCE) for future in futures] == [[2], [4], [6]]
    run.let(1)
    assert batcher.ask(np.array([4.0])) == [8]


def test_an_error_is_of_those_it_belongs_to(pool):
    run = Gated()
    batcher = Batcher(run)
    futures = line_up(pool, batcher, run, [1, 2, -3, 4, -5])
    run.let(6)
    assert [futures[at].result(PATIENCE) for at in (0, 1, 3)] == [[2], [4], [8]]
    for at, value in ((2, "-3"), (4, "-5")):
        with pytest.raises(ValueError, match=value):
            futures[at].result(PATIENCE)
    run.let(1)
    assert batcher.ask(np.array([6.0])) == [12]


def test_a_thread_that_is_ended_takes_nobody_with_it_for_ever(pool):
    begun, go = threading.Event(), threading.Event()
    calls: list[int] = []

    def run(pictures: np.ndarray) -> list[float]:
        calls.append(len(pictures))
        if len(calls) == 1:
            begun.set()
            assert go.wait(PATIENCE)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return list(pictures)

    batcher = Batcher(run, most=2)
    futures = [pool.submit(batcher.ask, np.array([1.0]))]
    assert begun.wait(PATIENCE)
    for count in (1, 2, 3):
        futures.append(pool.submit(batcher.ask, np.array([float(count)])))
        waiting(batcher, count)
    go.set()
    assert futures[0].result(PATIENCE) == [1]
    with pytest.raises(KeyboardInterrupt):
        futures[1].result(PATIENCE)
    with pytest.raises(RuntimeError, match="KeyboardInterrupt"):
        futures[2].result(PATIENCE)
    assert futures[3].result(PATIENCE) == [3]


def test_who_is_alone_has_everything_and_who_comes_meanwhile_a_lane(pool):
    run, lanes = Gated(), [Gated(), Gated()]
    batcher = Batcher(run, lanes)
    first = pool.submit(batcher.ask, np.array([1.0]))
    assert run.begun.acquire(timeout=PATIENCE)
    second = pool.submit(batcher.ask, np.array([2.0]))
    assert lanes[0].begun.acquire(timeout=PATIENCE)
    others = []
    for count in (1, 2):  # as many are with the model as there are lanes
        others.append(pool.submit(batcher.ask, np.array([2.0 + count])))
        waiting(batcher, count)
    run.let(1)
    assert first.result(PATIENCE) == [2]
    assert lanes[1].begun.acquire(timeout=PATIENCE)
    lanes[0].let(1)
    lanes[1].let(1)
    assert [future.result(PATIENCE) for future in (second, *others)] == [[4], [6], [8]]
    assert (run.batches, lanes[0].batches, lanes[1].batches) == ([[1]], [[2]], [[3, 4]])
    run.let(1)
    assert batcher.ask(np.array([5.0])) == [10]
    assert run.batches == [[1], [5]]


def test_work_beside_other_work_takes_a_lane_though_it_is_alone():
    lanes = [Gated(), Gated()]
    batcher = Batcher(Gated(), lanes)
    lanes[1].let(2)
    assert batcher.ask(np.array([1.0, 2.0]), beside=True) == [2, 4]
    assert batcher.ask(np.array([3.0]), beside=True) == [6]
    assert lanes[1].batches == [[1, 2], [3]], "a lane is given back"


@pytest.mark.parametrize("lanes", [0, 3])
def test_many_threads_get_their_own_answers_and_only_one_asks_at_a_time(pool, lanes):
    most = []

    def one() -> Callable[[np.ndarray], list[float]]:
        inside = threading.Lock()

        def run(pictures: np.ndarray) -> list[float]:
            assert inside.acquire(blocking=False)
            most.append(len(pictures))
            inside.release()
            return [value + 0.5 for value in pictures]

        return run

    batcher = Batcher(one(), [one() for _ in range(lanes)], most=8, longest=100)
    ask: Callable[[int], list[float]] = lambda value: batcher.ask(np.array([float(value)]))  # noqa: E731
    assert list(pool.map(ask, range(2000))) == [[value + 0.5] for value in range(2000)]
    assert max(most) <= 8
    assert len(batcher._free) == (lanes or 1)


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_a_batch_gives_what_each_gets_alone(toy_weights, thorax, spec):
    loaded = Engine(toy_weights)._model(spec)
    pictures = [
        to_input(Anatomy(Slice(np.roll(thorax.pixels, shift, axis=1), "HU")), spec) for shift in range(0, 60, 10)
    ]
    alone = [loaded.run(picture) for picture in pictures]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(loaded.run, pictures))
    for one, other in zip(alone, together, strict=True):
        for part, same in zip(one, other, strict=True):
            assert np.allclose(part, same, rtol=1e-4, atol=1e-4)
