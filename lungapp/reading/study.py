"""Everything that is handed in at once → `Study`: series in order, and what was set aside with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lungapp.errors import LungAppError
from lungapp.reading.formats import read_slice
from lungapp.reading.limits import Limits
from lungapp.slices import Entry, Series, SetAside, Study


def read_study(sources: Sequence[str | Path | bytes], limits: Limits | None = None) -> Study:
    """Find the slices in ``sources`` (files or their bytes) and put them in order; pixels are decoded later."""
    entries, aside = [], []
    for number, source in enumerate(sources, start=1):
        name = f"file {number}"
        try:
            item = read_slice(source, limits)
            entries.append(Entry(name, None, lambda item=item: item))  # type: ignore[misc]
        except LungAppError as error:
            aside.append(SetAside(name, str(error)))
    return Study((Series(f"{len(entries)} slices", tuple(entries)),) if entries else (), tuple(aside))
