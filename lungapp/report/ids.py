"""New identifiers for the DICOM objects of one report; none comes from what was read."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import uuid4


def _new_uid() -> str:
    """A UID out of a random UUID (PS3.5 section B.2)."""
    return f"2.25.{uuid4().int}"


@dataclass(frozen=True)
class Ids:
    """UIDs of a report's two objects: the overlay and the numbers, each a series of its own in one study.

    ``patient`` is new for each report too, lest an archive take several patients' reports for those of one.
    """

    study: str = field(default_factory=_new_uid)
    overlay_series: str = field(default_factory=_new_uid)
    overlay: str = field(default_factory=_new_uid)
    numbers_series: str = field(default_factory=_new_uid)
    numbers: str = field(default_factory=_new_uid)
    patient: str = field(default_factory=lambda: f"LUNGAPP-{uuid4().hex[:12].upper()}")
