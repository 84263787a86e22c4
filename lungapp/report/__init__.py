"""What an analysis says, in forms that leave the program: JSON, CSV, PNG, PDF and DICOM; of a series JSON, CSV, ZIP.

``to_pdf`` and ``to_overlay_png`` are imported when they are first asked for: they draw, which the page's start need not
wait for. ``to_secondary_capture`` and ``to_structured_report`` live in `lungapp.report.dicom`, a second's import.
No form carries a name, an identifier, a date or a UID of what was handed in; the time is the report's own. A slice that
the gate rejected has no probabilities in any form, unless that was overridden, and then every form says so.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lungapp.report.csv_report import to_csv
from lungapp.report.facts import NOTICE
from lungapp.report.ids import Ids
from lungapp.report.json_report import SCHEMA, to_json
from lungapp.report.series_report import series_to_csv, series_to_json, series_to_zip

if TYPE_CHECKING:
    from lungapp.report.pdf import to_pdf
    from lungapp.report.picture import to_overlay_png

__all__ = [
    "NOTICE", "SCHEMA", "Ids", "series_to_csv", "series_to_json", "series_to_zip", "to_csv", "to_json",
    "to_overlay_png", "to_pdf",
]  # fmt: skip

_DRAWN = {"to_pdf": "lungapp.report.pdf", "to_overlay_png": "lungapp.report.picture"}


def __getattr__(name: str) -> Any:
    if name in _DRAWN:
        return getattr(import_module(_DRAWN[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
