"""What can be read, in words, and what is found in a file; light, so that asking for it loads no decoder."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from lungapp.reading.containers import Leaf
from lungapp.texts import Text, mark

FORMATS = mark("DICOM, NIfTI, PNG, JPEG, TIFF, BMP or WebP")
"""What can be read, for every place that tells a user."""

EXPECTED = Text("an image in {formats}", formats=FORMATS)

KINDS = {"DICOM": mark("DICOM CT"), "NIfTI": mark("NIfTI volume"), "raster": mark("Pictures")}


@dataclass(frozen=True, eq=False)
class Found:
    """A slice found in a file: image ``number``, from 0, of the ``parts`` images in ``leaf``.

    ``source`` and ``position`` as in `lungapp.slices.Entry`. ``kind`` is a key of `KINDS`; slices of equal ``series``
    belong together and are ordered by ``order``; an image with an ``identity`` that was seen before is the same image
    again. Neither leaves this package.
    """

    leaf: Leaf
    number: int
    parts: int
    source: str
    position: float | None
    kind: str
    series: Hashable
    order: tuple[float, ...]
    identity: str = ""
