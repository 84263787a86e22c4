"""What a slice and a series are: pixels with a unit, and the few facts about their origin that matter.

No names, no dates, no UIDs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Unit = Literal["HU", "grey"]


@dataclass(frozen=True)
class Window:
    """A linear display window, as DICOM PS3.3 C.11.2.1.2 defines centre and width.

    ``centre`` and ``width`` are in the unit of the pixels they are applied to; ``width`` is positive.
    """

    centre: float
    width: float

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ValueError(f"Expected a window width above 0. Received: {self.width}")

    @property
    def low(self) -> float:
        return self.centre - self.width / 2

    @property
    def high(self) -> float:
        return self.centre + self.width / 2

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Map ``pixels`` (any shape) to float32 in [0, 1]; the input is left as it was."""
        return np.clip((pixels - np.float32(self.low)) / np.float32(self.width), 0.0, 1.0, dtype=np.float32)


LUNG = Window(-600, 1500)
MEDIASTINUM = Window(40, 400)
BONE = Window(480, 2500)
PRESETS: dict[str, Window] = {"lung": LUNG, "mediastinum": MEDIASTINUM, "bone": BONE}


@dataclass(frozen=True)
class SliceInfo:
    """Facts about a slice that identify nobody.

    Attributes
    ----------
    format : name of the file format, such as ``"PNG"`` or ``"DICOM"``.
    bits : bits per sample as stored.
    white : grey level shown as white (255, 4095 or 65535); meaningless for HU.
    colour : share of pixels, 0 to 1, whose channels differ visibly; 0 for single-channel files.
    spacing : (row, column) pixel spacing in mm, or None.
    thickness : slice thickness in mm, or None.
    window : the window the file itself recommends, or None.
    notes : what reading had to assume, in words for the user.
    burned_in : whether the file says that text is part of its picture; such text may name the patient.
    dropped : what the file held that could identify someone and was left behind, as the standard's names of the
        attributes; never their values.
    """

    format: str
    bits: int = 8
    white: float = 255.0
    colour: float = 0.0
    spacing: tuple[float, float] | None = None
    thickness: float | None = None
    window: Window | None = None
    notes: tuple[str, ...] = ()
    burned_in: bool = False
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Slice:
    """One axial CT slice.

    ``pixels`` is (rows, columns) float32, read-only; ``unit`` says whether they are Hounsfield units or grey levels
    in [0, ``info.white``]. Row 0 is the patient's front.
    """

    pixels: np.ndarray
    unit: Unit
    info: SliceInfo = field(default_factory=lambda: SliceInfo("array"))

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.size == 0:
            raise ValueError(f"Expected pixels of shape (rows, columns). Received: {self.pixels.shape}")
        if self.unit not in ("HU", "grey"):
            raise ValueError(f"Expected unit 'HU' or 'grey'. Received: {self.unit!r}")
        pixels = np.array(self.pixels, dtype=np.float32)
        if not np.isfinite(pixels).all():
            raise ValueError("Expected finite pixels. Received NaN or infinity.")
        pixels.setflags(write=False)
        object.__setattr__(self, "pixels", pixels)

    def __reduce__(self) -> tuple[Any, ...]:
        return Slice, (self.pixels, self.unit, self.info)  # so that a copy in another process is read-only too

    @property
    def rows(self) -> int:
        return self.pixels.shape[0]

    @property
    def columns(self) -> int:
        return self.pixels.shape[1]

    def windowed(self, window: Window | None = None) -> np.ndarray:
        """Pixels as float32 (rows, columns) in [0, 1].

        HU go through ``window`` (default: the lung window); grey levels are divided by ``info.white``, since a
        window in HU has no meaning for them.
        """
        if self.unit == "HU":
            return (window or LUNG).apply(self.pixels)
        return np.clip(self.pixels / np.float32(self.info.white), 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Entry:
    """A slice that is there to be read, but is not in memory yet.

    Attributes
    ----------
    source : where it lies in what was handed in, such as ``"file 3"`` or ``"file 1, frame 12"``; never a file's name,
        which may be a patient's.
    position : mm along the patient's axis, feet to head; None where the file does not tell.
    read : decodes it; raises a `lungapp.errors.LungAppError`.
    """

    source: str
    position: float | None
    read: Callable[[], Slice]


@dataclass(frozen=True, eq=False)
class Series:
    """Slices of one acquisition in their order along the patient; ``title`` says what it is, in words."""

    title: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class SetAside:
    """Something that was handed in and is no slice to score: where it lies, and why."""

    source: str
    reason: str


@dataclass(frozen=True, eq=False)
class Study:
    """All that was handed in at once: series, the one with the most slices first, and what was set aside."""

    series: tuple[Series, ...]
    set_aside: tuple[SetAside, ...] = ()
