"""Pictures that are no axial slice of a chest, to try the gate on: drawn, computed, or shipped by installed packages.

`families` yields them; none was made to fit the gate's thresholds, and none is a patient's.
"""

from __future__ import annotations

from collections.abc import Iterator

from lungapp.slices import Slice
from tests.strangers import altered, bodies, modalities, packages, pages

FAMILIES = {**bodies.FAMILIES, **modalities.FAMILIES, **altered.FAMILIES, **pages.FAMILIES, **packages.FAMILIES}
"""Name → function of a seed that yields some slices."""


def families() -> Iterator[tuple[str, list[Slice]]]:
    """Name and slices of every family, the same on every run."""
    for name, make in FAMILIES.items():
        yield name, list(make())
