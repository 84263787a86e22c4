"""The page's languages: their names, and what a text is in one of them.

A catalog, ``<language>/LC_MESSAGES/lungapp.po``, maps the English of the code to its translation; what it lacks stays
English. ``python -m lungapp.locale`` brings all catalogs up to the code and says what is wrong with them.
"""

from __future__ import annotations

import functools
import gettext
import io
import logging
from pathlib import Path
from typing import Any

from lungapp.texts import Text

ENGLISH = "en"

LANGUAGES = {ENGLISH: "English", "ar": "العربية", "fr": "Français", "es": "Español"}
"""Every language's code and its own name, in the order in which they are offered."""

RIGHT_TO_LEFT = frozenset({"ar"})

FOLDER = Path(__file__).parent

logger = logging.getLogger(__name__)


def catalog_file(language: str) -> Path:
    return FOLDER / language / "LC_MESSAGES" / "lungapp.po"


def translate(text: str, language: str, /, **values: Any) -> str:
    """``text`` in ``language`` with ``values`` put into its braces; a `Text` brings its own."""
    if isinstance(text, Text):
        values = {**text.values, **values}
        words = _find(text.template, text.many, language, values)
    else:
        words = _find(text, "", language, values)
    if not values:
        return words
    said = {name: translate(value, language) if isinstance(value, str) else value for name, value in values.items()}
    try:
        return words.format(**said)
    except (KeyError, IndexError, ValueError):  # a translation with other braces than the English
        return translate(text, ENGLISH, **values)


def _find(one: str, many: str, language: str, values: dict[str, Any]) -> str:
    if language == ENGLISH or not one:
        return many if many and values["n"] != 1 else str.__str__(one)
    known = _read(language)
    return known.ngettext(one, many, values["n"]) if many else known.gettext(one)


@functools.cache
def _read(language: str) -> gettext.NullTranslations:
    """The catalog of ``language``, an empty one where it is damaged; Babel is imported with the first asked for."""
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    try:
        with catalog_file(language).open("rb") as file:
            catalog = read_po(file, locale=language, abort_invalid=True)
        compiled = io.BytesIO()
        write_mo(compiled, catalog)
        compiled.seek(0)
        return gettext.GNUTranslations(compiled)
    except Exception as error:  # a page in English is better than none
        logger.warning("No texts in %s: its catalog is damaged (%s).", language, type(error).__name__)
        return gettext.NullTranslations()
