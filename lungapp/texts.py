"""Sentences for a reader, which are English and can be said in another language later.

The code that finds something out says it in English and knows nothing of languages. What it says is a `Text`: a string
like any other, for a report, a log or a program, that still knows its template and its values, so that the page can
translate it (`lungapp.locale`). `mark` does the same for words that stand in a table or beside a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any


class Text(str):
    """The English of ``template`` with ``values`` put into its braces (`str.format`); plain where there are none.

    ``many`` is the template for more than one, where ``n`` among the values counts something. Values that are texts, or
    words that are in the catalogs, are translated with it.
    """

    template: str
    many: str
    values: dict[str, Any]

    def __new__(cls, template: str, /, many: str = "", **values: Any) -> Text:
        chosen = many if many and values["n"] != 1 else template
        text = super().__new__(cls, chosen.format(**values) if values else chosen)
        text.template, text.many, text.values = str.__str__(template), many, values
        return text

    def __str__(self) -> str:
        """Itself, so that ``str(error)`` does not forget how it was made."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Text, self.template, self.many, **self.values), ()


def mark(words: str) -> str:
    """``words``, noted for the translators."""
    return words


def plural(one: str, many: str, /, n: int, **values: Any) -> Text:
    """``one`` or ``many`` after the count ``n``; other languages have more forms than these two."""
    return Text(one, many, n=n, **values)


def joined(texts: Sequence[str]) -> Text:
    """``texts`` after one another."""
    values = {f"part{place}": text for place, text in enumerate(texts)}
    return Text(" ".join(f"{{{name}}}" for name in values), **values)


def listed(texts: Sequence[str]) -> Text:
    """One or more ``texts`` with a comma between them, as the language has it."""
    first, *rest = texts
    if rest:
        return Text("{first}, {rest}", first=first, rest=listed(rest))
    return first if isinstance(first, Text) else Text(first)
