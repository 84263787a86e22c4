"""The catalogs as files: brought up to the code, and looked over."""

from __future__ import annotations

import io
import string
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po

from lungapp.locale import ENGLISH, LANGUAGES, catalog_file
from lungapp.locale.extract import find_texts

OTHERS = tuple(language for language in LANGUAGES if language != ENGLISH)

MARKUP = '<>&"`'
"""What means something to HTML or to Markdown: translations hold as much of it as the English does."""


def template() -> Catalog:
    """All texts of the code, untranslated."""
    catalog = Catalog(project="LungApp", charset="utf-8", fuzzy=False)
    for found in find_texts():
        catalog.add((found.one, found.many) if found.many else found.one, locations=[(found.file, 0)])
    return catalog


def load(language: str) -> Catalog:
    """The catalog of ``language``, empty where there is no file yet."""
    path = catalog_file(language)
    if not path.exists():
        return Catalog(locale=language, project="LungApp", charset="utf-8", fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def update(language: str) -> None:
    """Add what is new in the code to the catalog's file, and drop what is gone; translations stay."""
    catalog = load(language)
    # No guesses: a translation of another sentence is worse than none.
    catalog.update(template(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    path = catalog_file(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_written(catalog))


def _written(catalog: Catalog) -> bytes:
    stream = io.BytesIO()
    write_po(stream, catalog, width=100, omit_header=True, include_lineno=False)
    header = (
        f'msgid ""\nmsgstr ""\n"Project-Id-Version: LungApp\\n"\n"Language: {catalog.locale_identifier}\\n"\n'
        f'"Plural-Forms: {catalog.plural_forms}\\n"\n"MIME-Version: 1.0\\n"\n'
        '"Content-Type: text/plain; charset=utf-8\\n"\n"Content-Transfer-Encoding: 8bit\\n"\n\n'
    )
    return header.encode() + stream.getvalue()


def missing(language: str) -> list[str]:
    """Texts of the code that the catalog does not list: it is older than the code."""
    known = load(language)
    return [_first(message.id) for message in template() if message.id and known.get(_first(message.id)) is None]


def untranslated(language: str) -> list[str]:
    """Texts that have no translation, or one that is marked as doubtful."""
    return [_first(message.id) for message in load(language) if message.id and (message.fuzzy or not _whole(message))]


def faults(language: str) -> list[str]:
    """What is wrong with the translations that are there, in words."""
    return [
        f"{_first(message.id)!r}: {fault}" for message in load(language) if message.id for fault in _faults(message)
    ]


def _faults(message: Message) -> Iterator[str]:
    english = message.id if isinstance(message.id, list | tuple) else (message.id,)
    allowed = [_placeholders(text) for text in english]
    for said in filter(None, message.string if isinstance(message.string, list | tuple) else (message.string,)):
        try:
            found = _placeholders(said)
        except ValueError as error:
            yield f"{said!r} has a brace too many or too few ({error})"
            continue
        # A form for one or two things may say the number in a word, or leave it out.
        alike = found in allowed if len(english) == 1 else any(found <= each for each in allowed)
        if not alike:
            yield f"{said!r} has other braces than the English"
        if {sign: said.count(sign) for sign in MARKUP} not in [{s: text.count(s) for s in MARKUP} for text in english]:
            yield f"{said!r} has other markup than the English"
        if said != said.strip() and english[0] == english[0].strip():
            yield f"{said!r} begins or ends with a space"


def _placeholders(text: str) -> Counter[tuple[str, str]]:
    return Counter((name, spec or "") for _, name, spec, _ in string.Formatter().parse(text) if name is not None)


def _whole(message: Message) -> bool:
    said = message.string if isinstance(message.string, list | tuple) else (message.string,)
    return bool(said) and all(said)


def _first(text: str | list[str] | tuple[str, ...]) -> str:
    return text if isinstance(text, str) else text[0]


def files() -> list[Path]:
    return [catalog_file(language) for language in OTHERS]
