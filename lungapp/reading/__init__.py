"""Bytes to `Slice`: the only user of Pillow and pydicom for input.

    read_slice(source, limits)          formats.py   which family do the bytes belong to?
    ├── read_raster(data, limits)       raster.py    PNG, JPEG, TIFF, BMP  → grey levels
    └── read_dicom(data, limits)        dicom.py     one CT image          → Hounsfield units

Whatever is wrong with the bytes ends as a `lungapp.errors.LungAppError`.
"""

from lungapp.reading.formats import read_slice
from lungapp.reading.limits import Limits
from lungapp.reading.study import read_study

__all__ = ["Limits", "read_slice", "read_study"]
