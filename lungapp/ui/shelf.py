"""What all open pages keep together: within a budget, and the oldest idle thing goes where a new one needs room."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from typing import Protocol

MIB = 2**20


class Kept(Protocol):
    """Something that a page keeps."""

    def let_go(self) -> None:
        """Give up what it holds; whoever comes back to it is told so."""


class Shelf:
    """Holds things of at most ``budget`` bytes together; the newest stays in any case."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._kept: OrderedDict[int, tuple[weakref.ref[Kept], int]] = OrderedDict()  # by identity, the oldest first
        self._lock = threading.RLock()  # a thing may be collected, and so removed, while another is put

    @property
    def used(self) -> int:
        """Bytes of all that is kept."""
        with self._lock:
            return sum(size for _, size in self._kept.values())

    def put(self, item: Kept, size: int) -> None:
        """Keep ``item``, of ``size`` bytes, as the newest; those used longest ago are let go as far as is needed."""
        key = id(item)
        gone = []
        with self._lock:
            self._kept[key] = weakref.ref(item, lambda _: self._remove(key)), size
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and self.used > self.budget:
                gone.append(self._kept.popitem(last=False)[1][0]())
        for old in gone:
            if old is not None:
                old.let_go()

    def use(self, item: Kept) -> None:
        """Make ``item`` the newest."""
        with self._lock:
            if id(item) in self._kept:
                self._kept.move_to_end(id(item))

    def remove(self, item: Kept) -> None:
        """Count ``item`` no more."""
        self._remove(id(item))

    def _remove(self, key: int) -> None:
        with self._lock:
            self._kept.pop(key, None)


results = Shelf(1024 * MIB)
"""Slices and maps in memory. Its budget, like the other's, comes from the settings."""

files = Shelf(8192 * MIB)
"""Uploaded files on the disk."""
