"""What a DICOM file holds that could identify someone, so that a receipt can say that it was left behind.

Nothing is removed from a file here: reading takes over a short list of facts (`dicom_facts.FACTS`) and leaves all else.
The yardstick is DICOM PS3.15 table E.1-1 (basic profile). Whole kinds of values are counted as identifying, which takes
in more than that table: names, dates and times, unique identifiers, free text, the patient group, private attributes.
"""

from __future__ import annotations

from pydicom.datadict import dictionary_description, dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from lungapp.texts import plural

IDENTIFYING_VR = {"PN", "DA", "DT", "TM", "AS", "AE", "UI", "LO", "LT", "SH", "ST", "UC", "UR", "UT"}
PATIENT_GROUP = 0x0010
FRAMES_GROUP = 0x5200
"""Holds what an enhanced object tells of every frame: geometry, exposure, and hundreds of times the same names."""

OVERLAYS = range(0x6000, 0x6100)

HARMLESS = {"SOPClassUID", "SpecificCharacterSet", "RescaleType"}
"""Codes that are the same for everyone."""


def identifying(dataset: Dataset) -> tuple[str, ...]:
    """The standard's names of the identifying attributes that have a value, in the file's order.

    Private attributes and overlay planes, which have no names, are counted. Values are not looked at but for being
    there. A sequence counts by its own name where anything nested in it does.
    """
    found, private, overlays = [], 0, 0
    for tag in map(BaseTag, dataset.keys()):  # iterating over the dataset itself would decode every value
        if tag.is_private:
            private += 1
        elif tag.group in OVERLAYS:
            overlays += 1
        elif dictionary_has_tag(tag) and _has_value(dataset, tag) and _identifies(dataset, tag):
            found.append(dictionary_description(tag))
    if private:
        found.append(plural("{n} private attribute", "{n} private attributes", private))
    if overlays:
        found.append(plural("{n} overlay attribute", "{n} overlay attributes", overlays))
    return tuple(found)


def _has_value(dataset: Dataset, tag: BaseTag) -> bool:
    raw = dataset.get_item(tag)
    return raw is not None and raw.value not in (None, b"", "", [])


def _identifies(dataset: Dataset, tag: BaseTag) -> bool:
    if keyword_for_tag(tag) in HARMLESS:
        return False
    kind = dictionary_VR(tag)
    if kind == "SQ" and tag.group != FRAMES_GROUP:
        return any(identifying(item) for item in dataset[tag].value)
    return tag.group == PATIENT_GROUP or kind in IDENTIFYING_VR
