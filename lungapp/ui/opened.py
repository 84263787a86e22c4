"""What is open in the analysis view: the slices of an upload, or the problem with it."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lungapp.errors import UnreadableInput
from lungapp.reading import Limits, read_study
from lungapp.slices import Entry, Slice, Study
from lungapp.texts import joined, plural
from lungapp.ui.language import say
from lungapp.ui.messages import explain
from lungapp.ui.uploads import Upload

MOST_LISTED = 5
"""More files set aside than these are counted by their reason, not listed."""


@dataclass(frozen=True, eq=False)
class Opened:
    """Slices to look at one by one, or a problem in words. Compared by identity, so each one is news.

    Attributes
    ----------
    entries : in their order along the patient; empty where there is a problem, or nothing.
    title : what they are.
    notes : what else was in the upload, in words.
    problem : why there are none.
    first : which is shown first, from 1.
    upload : the files, which are deleted when it is closed; None where there are none.
    study : all that was found in them.
    lent : whether it was uploaded somewhere else on the page.
    name : tells one upload from any other.
    """

    entries: tuple[Entry, ...] = ()
    title: str = ""
    notes: tuple[str, ...] = ()
    problem: str = ""
    first: int = 1
    upload: Upload | None = None
    study: Study | None = None
    lent: bool = False
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    def pick(self, place: int) -> Opened:
        """The same upload with its series number ``place``, from 0, to look at; one not there becomes the first."""
        assert self.study is not None
        place = place if 0 <= place < len(self.study.series) else 0
        return _opened(self.study, self.upload, place)

    def lend(self, number: int) -> Opened:
        """The same slices for another part of the page, opened at ``number``; to be closed on its own."""
        upload = self.upload and self.upload.share()
        notes = (say("Opened from the tab Series."), *self.notes)
        return replace(self, first=number, upload=upload, lent=True, notes=notes, name=uuid.uuid4().hex)

    def key(self, number: int) -> str:
        """Tells this slice of this upload from any other."""
        return f"{self.name} {number}"

    def read(self, number: int) -> Slice:
        """Slice ``number``, from 1; one that is not there becomes the nearest."""
        if self.upload:
            self.upload.use()
        return self.entries[min(max(1, int(number)), len(self.entries)) - 1].read()


def open_upload(files: Sequence[str | Path] | None, limits: Limits, old: Opened | None = None) -> Opened:
    """Open uploaded files, and close what was open before; whatever is wrong with them becomes words."""
    close(old)
    if not files:
        return Opened()
    try:
        upload = Upload(files)
    except Exception as error:  # no room for it
        return Opened(problem=explain(error))
    try:
        study = read_study(upload.files, limits)
        if not study.series:
            raise UnreadableInput(joined([*dict.fromkeys(item.reason for item in study.set_aside)]))
        return _opened(study, upload)
    except Exception as error:  # the page must live on, whatever a file does to a decoder
        upload.close()
        return Opened(problem=explain(error))


def _opened(study: Study, upload: Upload | None, place: int = 0) -> Opened:
    count, chosen = len(study.series), study.series[place]
    notes = []
    if count > 1 and place == 0:
        notes.append(say("The upload holds {count} series; the longest is shown.", count=count))
    elif count > 1:
        notes.append(
            say("The upload holds {count} series; number {number} by length is shown.", count=count, number=place + 1)
        )
    if len(study.set_aside) > MOST_LISTED:  # by reason then: a reason may hold for hundreds
        reasons = Counter(item.reason for item in study.set_aside)
        for reason, count in reasons.most_common():
            told = plural("Set aside: {n} file. {reason}", "Set aside: {n} files. {reason}", count, reason=reason)
            notes.append(say(told))
    else:
        for item in study.set_aside:
            source = say(item.source)
            file = source[:1].upper() + source[1:]
            notes.append(say("{file} was set aside. {reason}", file=file, reason=item.reason))
    first = (len(chosen.entries) + 1) // 2
    return Opened(chosen.entries, chosen.title, tuple(notes), first=first, upload=upload, study=study)


def close(opened: Opened | None) -> None:
    """Delete the files of what was open."""
    if opened and opened.upload:
        opened.upload.close()
