"""A phantom as a series of DICOM files: a mass that comes and goes along the patient, with what goes wrong in one."""

from __future__ import annotations

import numpy as np

from examples.phantoms import phantom
from tests.reading.files import write_chest, write_zip

STEP_MM = 5.0


def phantom_series(count: int = 12, size: int = 256) -> bytes:
    """A ZIP of ``count`` slices, ``STEP_MM`` apart: the first shows no lungs, the fourth is cut off, in two more files.

    One of these is a note, which is no slice, the other a second series of a single slice.
    """
    clear, mass = phantom(None, seed=5, size=size), phantom("mass", seed=5, size=size)
    files = {}
    for place in range(count):
        share = np.exp(-(((place - 0.6 * count) / (0.15 * count)) ** 2))
        hu = np.full_like(clear, -1000) if place == 0 else clear + share * (mass - clear)
        noise = np.random.default_rng(place).normal(0, 8, hu.shape)
        data = write_slice(np.rint(hu + noise).astype(np.int16), place)
        files[f"Mustermann/{place:03}"] = data[: len(data) // 2] if place == 3 else data
    files["Mustermann/other"] = write_slice(np.rint(mass).astype(np.int16), 900, "1.2.3.9")
    files["Mustermann/note.txt"] = b"Mustermann"
    return write_zip(files)


def write_slice(pixels: np.ndarray, place: int, series: str = "1.2.3.8") -> bytes:
    """A DICOM file of ``pixels`` (rows, columns) int16 in HU, number ``place`` of its series."""
    return write_chest(
        pixels,
        SOPInstanceUID=f"{series}.{place + 1}",
        SeriesInstanceUID=series,
        InstanceNumber=place + 1,
        ImagePositionPatient=[0, 0, STEP_MM * place - 120],
        PixelSpacing=[1.4, 1.4],
    )
