"""Everything that is handed in at once → `Study`: series in their order, and what was set aside with its reason."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from lungapp.errors import InputTooLarge, LungAppError, UnsupportedInput
from lungapp.reading.containers import Leaf
from lungapp.reading.kinds import EXPECTED, KINDS, Found
from lungapp.reading.limits import Limits
from lungapp.reading.room import NeedsRoom
from lungapp.reading.workers import workers
from lungapp.slices import Entry, Series, SetAside, Slice, Study
from lungapp.texts import Text, plural

FREE_SECONDS = 0.1
"""Of each reading that succeeds: they do not count towards what all files together may take."""

_tokens = count()


def read_study(sources: Sequence[str | Path | bytes], limits: Limits | None = None) -> Study:
    """Find the slices in ``sources`` and put them in order; pixels are decoded later, when an entry is read.

    DICOM images are grouped by Series Instance UID, and apart where orientation or size changes; they are ordered by
    their position along the patient. A NIfTI volume and a TIFF of several pages are a series each, all other pictures
    one together, in the order they came in. Whatever is no axial CT slice is set aside with its reason.

    Parameters
    ----------
    sources : paths of files, or their bytes; archives of either are looked into. Paths must stay as long as the entries
        are used.
    limits : `Limits()` if left out.

    Raises
    ------
    InputTooLarge
        More files, or more bytes together, than the limits.
    """
    reader = _Reader(limits or Limits())
    return _in_order(reader.find(sources), reader)


def read_slice(source: str | Path | bytes, limits: Limits | None = None, number: int | None = None) -> Slice:
    """Read one slice from a file or from its bytes.

    Parameters
    ----------
    source : path of a file, or its content.
    limits : upper limits; `Limits()` if left out.
    number : which slice, from 1, of the largest series where there are several; the middle one if left out.

    Returns
    -------
    Slice
        (rows, columns) float32: Hounsfield units from DICOM and NIfTI, grey levels from any other format. Where one of
        several slices was read, ``info.notes`` says which.

    Raises
    ------
    UnreadableInput
        The bytes are damaged, truncated, empty, or no image at all.
    UnsupportedInput
        The format is known, but this kind of image is not handled, or there is no slice of that number.
    InputTooLarge
        A limit is exceeded; found on the header, before pixels are decoded.
    """
    reader = _Reader(limits or Limits())
    study = _in_order(reader.find([source], strict=True), reader)
    if not study.series:
        reasons = {item.reason for item in study.set_aside}
        if len(reasons) == 1:
            raise UnsupportedInput(reasons.pop())
        raise UnsupportedInput("Expected {expected}. Received: no slice.", expected=EXPECTED)
    return _pick(study.series[0].entries, number)


def _pick(entries: Sequence[Entry], number: int | None = None) -> Slice:
    """Read slice ``number`` (from 1) of ``entries``, the middle one if left out; a note says which of how many.

    Raises `UnsupportedInput` for a number that is not there, and whatever reading raises.
    """
    count = len(entries)
    if number is not None and not 1 <= number <= count:
        raise UnsupportedInput(
            "Expected a slice number from 1 to {count}. Received: {number}.", count=count, number=number
        )
    chosen = number or (count + 1) // 2
    item = entries[chosen - 1].read()
    if count == 1:
        return item
    if number:
        which = Text("Slice {number} of {count} was read.", number=chosen, count=count)
    else:
        which = Text("Slice {number} of {count}, the middle one, was read.", number=chosen, count=count)
    return replace(item, info=replace(item.info, notes=(which, *item.info.notes)))


class _Reader:
    """Asks the workers about the files that were handed in at once, within the limits on all of them together."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._files = self._bytes = 0
        self._seconds = float(limits.max_total_seconds)
        self._large: set[Leaf] = set()
        self._turns: defaultdict[Leaf, threading.Lock] = defaultdict(threading.Lock)

    def find(self, sources: Sequence[str | Path | bytes], strict: bool = False) -> Iterator[Found | SetAside]:
        """The slices in ``sources``, with archives opened; what cannot be opened is set aside.

        Raises
        ------
        InputTooLarge
            More files, or more bytes together, than the limits.
        LungAppError
            With ``strict`` also whatever is wrong with one of ``sources`` itself.
        """
        self._limits.check_files(len(sources))
        for number, source in enumerate(sources, start=1):
            origin = source if isinstance(source, bytes) else Path(source)
            yield from self._examine(Leaf(Text("file {number}", number=number), origin, next(_tokens)), 1, strict)

    def _examine(self, leaf: Leaf, depth: int, strict: bool = False) -> Iterator[Found | SetAside]:
        try:
            examined = self._run("examine", leaf, self._limits, depth)
        except LungAppError as error:
            if strict:
                raise
            yield SetAside(leaf.source, str(error))
            self._spend(0)
            return
        if not examined.is_archive:
            self._spend(examined.size)
        yield from examined.slices
        for member in examined.inside:
            yield from [member] if isinstance(member, SetAside) else self._examine(member, depth + 1)

    def _spend(self, size: int) -> None:
        self._files, self._bytes = self._files + 1, self._bytes + size
        self._limits.check_files(self._files)
        self._limits.check_total(self._bytes)

    def entry(self, item: Found) -> Entry:
        return Entry(item.source, item.position, lambda: self._read(item))

    def _read(self, item: Found) -> Slice:
        part = partial(self._run, "read_part", item.leaf, item.number, self._limits)
        if item.parts == 1:
            return part()
        with self._turns[item.leaf]:  # so that one worker opens the file, not each of them
            return part()

    def _run(self, work: str, leaf: Leaf, *arguments: Any) -> Any:
        if self._seconds <= 0:
            raise InputTooLarge(
                "Expected files that can be read in {seconds} seconds together. Received: some that take longer.",
                seconds=self._limits.max_total_seconds,
            )
        try:
            done = workers.run(work, leaf, *arguments, limits=self._limits, large=leaf in self._large)
            if isinstance(done.error, NeedsRoom):
                self._large.add(leaf)
                done = workers.run(work, leaf, *arguments, limits=self._limits, large=True)
        except InputTooLarge:
            self._seconds -= self._limits.max_seconds
            raise
        if done.error:
            self._seconds -= done.seconds
            raise done.error
        self._seconds -= max(0.0, done.seconds - FREE_SECONDS)
        return done.value


def _in_order(items: Iterable[Found | SetAside], reader: _Reader) -> Study:
    aside: list[SetAside] = []
    groups: dict[Hashable, list[Found]] = {}
    seen: dict[str, str] = {}
    for item in items:
        if isinstance(item, SetAside):
            aside.append(item)
        elif item.identity in seen:
            aside.append(SetAside(item.source, Text("The same image as {file}.", file=seen[item.identity])))
        else:
            if item.identity:
                seen[item.identity] = item.source
            groups.setdefault((item.kind, item.series), []).append(item)
    series = [_series(group, reader) for group in groups.values()]
    return Study(tuple(sorted(series, key=lambda item: -len(item.entries))), tuple(aside))


def _series(group: list[Found], reader: _Reader) -> Series:
    entries = tuple(reader.entry(item) for item in sorted(group, key=lambda item: item.order))
    count = len(entries)
    kind = KINDS[group[0].kind]
    title = plural("{kind}: {n} slice", "{kind}: {n} slices", count, kind=kind)
    positions = [entry.position for entry in entries if entry.position is not None]
    if len(positions) > 1 and positions[-1] > positions[0]:
        length = positions[-1] - positions[0]
        title = Text("{kind}: {count} slices over {length:.0f} mm", kind=kind, count=count, length=length)
    return Series(title, entries)
