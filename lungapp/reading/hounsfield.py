"""Values whose unit the file does not tell, and values that measure nothing."""

from __future__ import annotations

import numpy as np

from lungapp.errors import UnsupportedInput
from lungapp.texts import Text, mark

AIR_HU = -1000.0
LOWEST_HU = -1500.0
"""Below this lies no tissue and no noise, only filling outside the scan circle (GE's -2000 is often undeclared)."""

AIR_RANGE = (-1100.0, -850.0)
"""Where air lies in HU: the lowest values of a chest, filling aside."""

USUAL_INTERCEPT = -1024.0
"""Of scanners that store unsigned values with air near 0."""

TISSUE_RANGE = (-200.0, 700.0)
"""Where the 95th percentile of a chest lies in HU: soft tissue, perhaps bone or contrast, no metal."""

EXPECTED = mark("Expected Hounsfield units, or a rescale to them")


def without_filling(values: np.ndarray, padding: np.ndarray | None = None) -> np.ndarray:
    """``values`` in HU as float32, with ``padding`` (same shape, bool) and all below -1500 set to air at -1000."""
    filling = values < LOWEST_HU if padding is None else padding | (values < LOWEST_HU)
    return np.where(filling, np.float32(AIR_HU), values).astype(np.float32)


def intercept_of(values: np.ndarray) -> float:
    """What to add to ``values`` (any shape) of unknown unit to have HU: 0 or -1024.

    A chest in its surroundings has air as its lowest values and soft tissue 900 to 1100 above. Where these lie as HU
    lie, the values are HU; where they lie 1024 higher, they lack the usual intercept.

    Raises
    ------
    UnsupportedInput
        Neither; a guess would be worse than none.
    """
    measured = values[values >= LOWEST_HU]
    if measured.size:
        air, tissue = (float(value) for value in np.percentile(measured, (2, 95)))
        for intercept in (0.0, USUAL_INTERCEPT):
            if _within(air + intercept, AIR_RANGE) and _within(tissue + intercept, TISSUE_RANGE):
                return intercept
    raise UnsupportedInput("{expected}. Received: values of unknown unit.", expected=EXPECTED)


def assumed(intercept: float) -> str:
    """What `intercept_of` assumed, as a note for the user."""
    if intercept == 0:
        return mark("The file does not tell how its values become Hounsfield units; they were taken as they are.")
    return Text(
        "The file does not tell how its values become Hounsfield units; they were taken with the usual intercept of "
        "{intercept:.0f}.",
        intercept=intercept,
    )


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]
