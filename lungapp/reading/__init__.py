"""Bytes to slices: the only user of Pillow, pydicom and nibabel for input.

    read_study(sources, limits)          study.py        files in, series of slices out
    └── workers.run(…)                   workers.py      ──▶ a process of its own (worker.py), within limits:
        ├── examine(leaf, limits)        formats.py      which family do the bytes belong to, which slices are there?
        │   └── members                  containers.py   ZIP and gzip → the files in them
        └── read_part(leaf, number)      formats.py      one of these slices
            ├── RasterFile.read          raster.py       PNG, JPEG, TIFF, BMP, WebP  → grey levels
            ├── DicomFile.read           dicom.py        CT images, enhanced ones too → Hounsfield units
            └── NiftiVolume.read         nifti.py        volumes                     → Hounsfield units

`read_slice` is the same way for one file of which one slice is wanted. Whatever is wrong with the bytes ends as a
`lungapp.errors.LungAppError`. No name out of a file or of a file goes further than this package.
"""

from lungapp.reading.kinds import FORMATS
from lungapp.reading.limits import Limits
from lungapp.reading.study import read_slice, read_study

__all__ = ["FORMATS", "Limits", "read_slice", "read_study"]
