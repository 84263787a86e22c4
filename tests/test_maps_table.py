"""The table that the default explanation is chosen by, on an engine whose maps are known to hold or not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import maps
from lungapp.methods import DEFAULT_METHOD, METHODS, get_method
from lungapp.registry import MODELS
from lungapp.slices import Slice
from tests.fakes import FakeEngine


class TimedEngine(FakeEngine):
    def analyse(self, *args, **options):
        analysis = super().analyse(*args, **options)
        analysis.timings_ms["maps"] = 2.0
        return analysis


@pytest.fixture(scope="module")
def tallies(thorax: Slice) -> list[maps.Tally]:
    return [maps.tally(TimedEngine(), spec.name, method, [thorax] * 3) for spec in MODELS for method in METHODS]


def test_a_tally_says_which_maps_hold(tallies: list[maps.Tally]) -> None:
    assert {one.method for one in tallies if one.holds.all()} == {DEFAULT_METHOD}
    assert not [one for one in tallies if one.method != DEFAULT_METHOD and one.holds.any()]
    assert all(one.inside.all() for one in tallies)


def test_the_table_has_a_row_a_model_and_method_and_their_means(tallies: list[maps.Tally]) -> None:
    head, rule, *rows = maps.table(tallies, np.arange(3))
    assert len(rows) == (len(MODELS) + 1) * len(METHODS)
    assert all(line.count("|") == head.count("|") for line in (rule, *rows))
    default = [line for line in rows if get_method(DEFAULT_METHOD).title in line.split(" | ")]
    assert len(default) == len(MODELS) + 1
    assert all("100 % (100 % to 100 %) | 100 % | 2 |" in line for line in default)


def test_the_interval_draws_groups_whole() -> None:
    values = np.array([True] * 50 + [False] * 50)
    alone, together = maps.interval(values, np.arange(100)), maps.interval(values, np.arange(100) // 50)
    assert alone[0] == pytest.approx(0.4, abs=0.03)
    assert together == (0.0, 1.0), "two groups know little"


def test_only_what_stands_between_the_marks_is_written() -> None:
    document = maps.DOCUMENT.read_text(encoding="utf-8")
    once = maps.written(document, "| a |")
    assert "\n| a |\n" in once
    assert maps.written(once, "| b |") == maps.written(document, "| b |")
    assert once.split(maps.START)[0] == document.split(maps.START)[0]
