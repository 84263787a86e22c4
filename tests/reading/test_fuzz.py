"""A short fuzz run; `make fuzz` does the long one."""

from __future__ import annotations

from collections import Counter

import numpy as np

from lungapp.reading import read_study
from tests.fuzz import mutate, run, seeds


def test_every_seed_is_sound():
    for name, data in seeds().items():
        study = read_study([data])
        assert study.series, name
        assert not study.set_aside, name
        for series in study.series:
            for entry in series.entries:
                assert np.isfinite(entry.read().pixels).all()


def test_mutations_change_files_and_repeat_with_their_seed():
    data = seeds()["PNG"]
    first, again = (mutate(data, np.random.default_rng(5)) for _ in range(2))
    assert first == again != data


def test_damaged_files_are_read_or_refused():
    outcomes = Counter(result for _, _, result, _, _ in run(400, seed=1))
    assert set(outcomes) <= {"read", "refused"}
    assert min(outcomes["read"], outcomes["refused"]) > 20, outcomes
