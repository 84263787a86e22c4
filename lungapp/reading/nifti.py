"""NIfTI volumes → Hounsfield units, by nibabel; axial slices from feet to head."""

from __future__ import annotations

import logging
import math
from functools import cached_property
from typing import Any

import nibabel as nib
import numpy as np

from lungapp.errors import UnreadableInput, UnsupportedInput
from lungapp.reading import hounsfield
from lungapp.reading.limits import Limits
from lungapp.reading.room import need_room
from lungapp.slices import Slice, SliceInfo
from lungapp.texts import mark

# nibabel's warnings quote values of the file.
logging.getLogger("nibabel").setLevel(logging.CRITICAL)

EXPECTED = mark("Expected one CT volume as NIfTI")

AXIAL_COSINE = 0.8
"""As for DICOM: a volume turned further than a tilted gantry has no axial slices without resampling."""

FREE_TEXT = ("descrip", "aux_file", "intent_name", "db_name")
"""Header fields that writers fill with names and dates."""


def looks_like_nifti(data: bytes) -> bool:
    """Whether ``data`` begins like a single-file NIfTI-1 or NIfTI-2 volume."""
    return data[344:348] == b"n+1\0" or data[4:8] == b"n+2\0"


class NiftiVolume:
    """A parsed and checked volume with CT in it.

    Parameters
    ----------
    data : the file's bytes, unpacked.
    limits : checked on the header.

    Raises
    ------
    UnreadableInput
        Damaged, or without an orientation.
    UnsupportedInput
        More or fewer than three dimensions, colour or complex values, or an orientation that is not axial.
    InputTooLarge
        More pixels or slices than the limits.
    """

    def __init__(self, data: bytes, limits: Limits) -> None:
        # The header alone: of the extensions that may follow it, there may be millions.
        kind = nib.Nifti1Header if data[344:348] == b"n+1\0" else nib.Nifti2Header
        header: Any = kind(data[: kind.template_dtype.itemsize])
        dtype, offset = header.get_data_dtype(), int(header.get_data_offset())
        shape = tuple(int(length) for length in header.get_data_shape())
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        if len(shape) != 3 or min(shape) < 1:
            raise UnsupportedInput("{expected}. Received: {count} dimensions.", expected=EXPECTED, count=len(shape))
        if dtype.kind not in "iuf":
            raise UnsupportedInput("{expected}. Received: colour or complex values.", expected=EXPECTED)
        affine = header.get_best_affine()
        if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise UnreadableInput("{expected}. Received: a volume without a usable orientation.", expected=EXPECTED)
        cosines = np.abs(affine[:3, :3]) / np.linalg.norm(affine[:3, :3], axis=0)
        if cosines.max(axis=0).min() < AXIAL_COSINE or set(map(int, cosines.argmax(axis=0))) != {0, 1, 2}:
            raise UnsupportedInput(
                "{expected} along the patient's axes. Received: an oblique volume.", expected=EXPECTED
            )
        if offset < 0 or offset + math.prod(shape) * dtype.itemsize > len(data):
            raise UnreadableInput("{expected}. Received: fewer values than the header tells of.", expected=EXPECTED)
        self.dropped = tuple(f"NIfTI {name}" for name in FREE_TEXT if bytes(header[name]).strip(b"\0 "))
        # Views on the bytes, so that a volume takes no more memory than its file.
        turns = nib.io_orientation(affine)
        stored = np.frombuffer(data, dtype, math.prod(shape), offset)
        turned = nib.apply_orientation(stored.reshape(shape, order="F"), turns)
        self._stored = turned.transpose(2, 1, 0)[:, ::-1, ::-1]
        self._affine = affine @ nib.orientations.inv_ornt_aff(turns, shape)
        slope, intercept = header.get_slope_inter()  # None where the header leaves them open
        self._slope, self._inter = (1 if slope is None else slope), intercept or 0
        self.slices, rows, columns = self._stored.shape
        limits.check_pixels(rows, columns)
        limits.check_frames(self.slices)
        need_room(pixels=rows * columns)

    def _values(self, numbers: int | slice, step: int = 1) -> np.ndarray:
        """Slices as float32, in HU or as stored: from feet to head, front to back, the patient's right to left."""
        stored = self._stored[numbers, ..., ::step, ::step]
        if stored.dtype.kind == "f" and not np.isfinite(stored).all():
            raise UnreadableInput("{expected}. Received: values that are no numbers.", expected=EXPECTED)
        if (self._slope, self._inter) == (1, 0):
            return stored.astype(np.float32)
        return (stored.astype(np.float64) * self._slope + self._inter).astype(np.float32)

    @cached_property
    def _intercept(self) -> float:
        middle = slice(self.slices // 3, self.slices - self.slices // 3)
        return hounsfield.intercept_of(self._values(middle, step=4))

    def position(self, number: int) -> float:
        """mm along the patient's axis of slice ``number`` (from 0)."""
        return float(self._affine[2, 3] + number * self._affine[2, 2])

    def read(self, number: int) -> Slice:
        """Slice ``number`` (from 0): (rows, columns) float32 in HU. Raises `UnsupportedInput` where values are not."""
        values = self._values(number) + np.float32(self._intercept)
        columns, rows, thickness = (float(size) for size in nib.affines.voxel_sizes(self._affine))
        info = SliceInfo(
            "NIfTI",
            bits=8 * self._stored.itemsize,
            spacing=(rows, columns),
            thickness=thickness,
            notes=(hounsfield.assumed(self._intercept),),
            dropped=self.dropped,
        )
        return Slice(hounsfield.without_filling(values), "HU", info)
