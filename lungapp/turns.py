"""Large pictures are worked on one after the other, so that many at once do not take all memory."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext

LARGE = 2**23
"""Pixels; a slice of 2896 x 2896. No scanner makes as many."""

_turn = threading.RLock()


def in_turn(pixels: int) -> AbstractContextManager[object]:
    """To be held while a picture of so many ``pixels`` is decoded, analysed or drawn; small ones wait for nothing."""
    return _turn if pixels > LARGE else nullcontext()
