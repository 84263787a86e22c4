"""The arithmetic of docs/scale.md: against sums done by hand, and the document's tables against the arithmetic."""

from __future__ import annotations

import math
import re
import shlex
import sys
from pathlib import Path

import pytest

from benchmarks.cost import SLICES, Worker, cores_for, cost, gpu_bound, hours, main

DOCUMENT = (Path(__file__).resolve().parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")


def test_cost_is_time_times_price() -> None:
    worker = Worker("two cores", 2, price=0.10, rate=100.0, bound=False)
    assert hours(SLICES, 1, 100.0, start=0) == pytest.approx(1000 / 3600)
    assert cost(SLICES, 1, worker, start=0, head=0.0) == pytest.approx(0.10 * 1000 / 3600)
    assert cost(SLICES, 10, worker, start=0, head=0.0) == pytest.approx(cost(SLICES, 1, worker, start=0, head=0.0))
    assert cost(SLICES, 10, worker, start=100, head=0.2) == pytest.approx((100 + 100) / 3600 * (10 * 0.10 + 0.2))


def test_the_source_is_a_ceiling() -> None:
    assert hours(SLICES, 100, 100.0, start=0, ceiling=500.0) == hours(SLICES, 5, 100.0, start=0)


def test_a_gpu_is_no_faster_than_the_cores_beside_it() -> None:
    assert gpu_bound(4, around=10.0) == 400
    assert gpu_bound(4, around=10.0, gpu_rate=150.0) == 150
    assert gpu_bound(cores_for(1000, 12.9), 12.9) >= 1000 > gpu_bound(cores_for(1000, 12.9) - 1, 12.9)
    assert math.isinf(gpu_bound(4, 10.0, math.inf)) is False


COMMANDS = re.findall(r"```sh\npython -m benchmarks\.cost (--(?:rate|whole).*)\n```\n\n((?:\|.*\n)+)", DOCUMENT)


@pytest.mark.parametrize(("arguments", "table"), COMMANDS)
def test_the_documents_tables_are_what_their_commands_print(arguments: str, table: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["cost", *shlex.split(arguments)])
    main()
    assert capsys.readouterr().out == table


def test_the_document_has_tables() -> None:
    assert len(COMMANDS) >= 2
