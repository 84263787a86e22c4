"""How much a worker may take in at once: what is ordinary is read beside others, what is large in a turn of its own."""

from __future__ import annotations

from collections.abc import Callable

from lungapp.reading.limits import MIB, Limits
from lungapp.turns import LARGE

LARGE_BYTES = 192 * MIB
"""A file of more bytes, unpacked, is large; a volume of 300 slices of 512 x 512 is not."""

ORDINARY_MEMORY = 640 * MIB
"""What reading anything that is not large may take: a file three times over, and some copies of a picture."""


class NeedsRoom(Exception):
    """The file is large, and its turn has not come; raised before its pixels are decoded."""


class _Room:
    """Whether what is read just now has a turn of its own; without workers everything has."""

    own_turn = True


_room = _Room()


def set_own_turn(own_turn: bool) -> None:
    """Tell whether the next file is read in a turn of its own, where there is room for what is large."""
    _room.own_turn = own_turn


def need_room(size: int = 0, pixels: int = 0) -> None:
    """To be called before so many bytes or pixels are held. Raises `NeedsRoom`."""
    if not _room.own_turn and (size > LARGE_BYTES or pixels > LARGE):
        raise NeedsRoom


def unpacked(read: Callable[[int], bytes], packed: int, limits: Limits) -> bytes:
    """All that ``read`` yields, unpacked from ``packed`` bytes; given up as soon as it is too much.

    Raises `InputTooLarge` and `NeedsRoom`.
    """
    data = bytearray()
    while part := read(MIB):
        data += part
        limits.check_bytes(len(data))
        limits.check_ratio(len(data), packed)
        need_room(len(data))
    return bytes(data)
