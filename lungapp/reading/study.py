"""Everything that is handed in at once → `Study`: series in their order, and what was set aside with its reason."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from lungapp.errors import LungAppError, UnsupportedInput
from lungapp.reading.containers import Leaf, unpack
from lungapp.reading.formats import EXPECTED, KINDS, Found, find
from lungapp.reading.limits import Limits
from lungapp.slices import Entry, Series, SetAside, Slice, Study
from lungapp.texts import Text, plural


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
    limits = limits or Limits()
    return _in_order(item for leaf in unpack(sources, limits) for item in _found(leaf, limits))


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
    limits = limits or Limits()
    leaves = list(unpack([source], limits, strict=True))
    if len(leaves) == 1 and isinstance(leaves[0], Leaf):  # one file: what is wrong with it is the answer
        found = find(leaves[0], limits)
    else:
        found = [item for leaf in leaves for item in _found(leaf, limits)]
    study = _in_order(found)
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


def _found(leaf: Leaf | SetAside, limits: Limits) -> list[Found | SetAside]:
    if isinstance(leaf, SetAside):
        return [leaf]
    try:
        return find(leaf, limits)
    except LungAppError as error:
        return [SetAside(leaf.source, str(error))]


def _in_order(items: Iterable[Found | SetAside]) -> Study:
    aside: list[SetAside] = []
    groups: dict[Hashable, list[Found]] = {}
    seen: dict[str, str] = {}
    for item in items:
        if isinstance(item, SetAside):
            aside.append(item)
        elif item.identity in seen:
            aside.append(SetAside(item.entry.source, Text("The same image as {file}.", file=seen[item.identity])))
        else:
            if item.identity:
                seen[item.identity] = item.entry.source
            groups.setdefault((item.kind, item.series), []).append(item)
    series = [_series(group) for group in groups.values()]
    return Study(tuple(sorted(series, key=lambda item: -len(item.entries))), tuple(aside))


def _series(group: list[Found]) -> Series:
    entries = tuple(item.entry for item in sorted(group, key=lambda item: item.order))
    count = len(entries)
    kind = KINDS[group[0].kind]
    title = plural("{kind}: {n} slice", "{kind}: {n} slices", count, kind=kind)
    positions = [entry.position for entry in entries if entry.position is not None]
    if len(positions) > 1 and positions[-1] > positions[0]:
        length = positions[-1] - positions[0]
        title = Text("{kind}: {count} slices over {length:.0f} mm", kind=kind, count=count, length=length)
    return Series(title, entries)
