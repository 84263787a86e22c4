"""Every kind of analysis, by name."""

from __future__ import annotations

import pytest

from lungapp.results import Analysis
from lungapp.slices import Slice
from tests.report.samples import kinds


@pytest.fixture(scope="session")
def analyses(thorax: Slice) -> dict[str, Analysis]:
    return kinds(thorax)
