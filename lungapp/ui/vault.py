"""Whose upload, result and session is whose: each belongs to the visitor it came from, and to nobody else.

A visitor is who logged in; where nobody has to, a browser by a random cookie that the page sets; and all programs that
keep no cookie are one (`lungapp.ui.guard`). What is theirs is still under a name of 128 random bits.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import threading
from collections import OrderedDict
from pathlib import Path

from lungapp.ui.uploads import OWN, cache_folder, tidy

CAPACITY = 100_000
"""How many folders and sessions are remembered; the oldest are forgotten, and a folder nobody owns is closed to all."""

EACH = 2_000
"""How many of each are remembered of one visitor, whose own oldest are forgotten first."""

TIDY_EVERY = 256
"""After so many new folders, what was left empty is removed, and who owned what is gone is forgotten."""


class Vault:
    """Folders for single uploads and results inside Gradio's cache, and sessions, with their owners."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._owners: OrderedDict[str, str] = OrderedDict()
        self._sessions: OrderedDict[str, str] = OrderedDict()
        self._events: OrderedDict[str, str] = OrderedDict()
        self._capacity, self._made = capacity, 0
        self._lock = threading.Lock()

    def folder(self, visitor: str) -> Path:
        """A new folder of ``visitor``'s own, under a name that cannot be guessed."""
        folder = cache_folder() / (OWN + secrets.token_hex(16))
        folder.mkdir(mode=0o700, parents=True)
        with self._lock:
            _remember(self._owners, folder.name, sys.intern(visitor), self._capacity)
            self._made += 1
            due = self._made % TIDY_EVERY == 0
        if due:
            tidy()
            self._forget_gone()
        return folder

    def forget(self, folder: Path) -> None:
        """Remove ``folder``, where it is empty, and whose it was."""
        with self._lock:
            self._owners.pop(folder.name, None)
        with contextlib.suppress(OSError):
            folder.rmdir()

    def _forget_gone(self) -> None:
        """Forget the folders that are no more: their names are never given again."""
        with self._lock:
            there = {folder.name for folder in cache_folder().iterdir()}
            for name in self._owners.keys() - there:
                del self._owners[name]

    def allows(self, path: str, visitor: str) -> bool:
        """Whether ``visitor`` may have the file at ``path``: one in a folder of theirs, or one that the page offers.

        Files beside such folders in the cache are the application's own (examples), never an upload.
        """
        try:
            inside = Path(path).resolve().relative_to(cache_folder())
        except (ValueError, OSError):  # elsewhere, or no path at all
            return False
        first = inside.parts[0] if inside.parts else ""
        if not Path(path).is_absolute() or len(inside.parts) < 2:
            return False
        return not first.startswith(OWN) or self._owners.get(first) == visitor

    def owns(self, session: str, visitor: str) -> bool:
        """Whether ``session`` is ``visitor``'s; a session is theirs who first used it."""
        with self._lock:
            if session not in self._sessions:
                _remember(self._sessions, session, visitor, self._capacity)
            return self._sessions[session] == visitor

    def note_event(self, event: str, visitor: str) -> None:
        """``event``, which Gradio has just named, is ``visitor``'s; the empty text is none."""
        if event:
            with self._lock:
                _remember(self._events, event, visitor, self._capacity)

    def owns_event(self, event: str, visitor: str) -> bool:
        """Whether ``event`` is ``visitor``'s. One that nobody was told of is nobody's, a session's name included."""
        return self._events.get(event) == visitor


def _remember(entries: OrderedDict[str, str], key: str, value: str, capacity: int) -> None:
    entries[key] = value
    own = [one for one, owner in entries.items() if owner == value] if len(entries) > EACH else []
    for one in own[: max(0, len(own) - EACH)]:
        del entries[one]
    while len(entries) > capacity:
        entries.popitem(last=False)


vault = Vault()
"""The process's own; Gradio's cache is one a process as well."""
