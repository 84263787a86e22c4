"""What an analysis says, in forms that leave the program: JSON, CSV, PNG, PDF and DICOM.

``to_secondary_capture`` and ``to_structured_report`` live in `lungapp.report.dicom`, which takes a second to import.
No form carries a name, an identifier, a date or a UID of what was handed in; the time is the report's own. A slice that
the gate rejected has no probabilities in any form, unless that was overridden, and then every form says so.
"""

from lungapp.report.csv_report import to_csv
from lungapp.report.facts import NOTICE
from lungapp.report.ids import Ids
from lungapp.report.json_report import SCHEMA, to_json
from lungapp.report.pdf import to_pdf
from lungapp.report.picture import to_overlay_png

__all__ = ["NOTICE", "SCHEMA", "Ids", "to_csv", "to_json", "to_overlay_png", "to_pdf"]
