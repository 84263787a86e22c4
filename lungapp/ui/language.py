"""The language in which a request is answered, and what the page says in it.

The address (``?lang=fr``) counts for more than the last choice, which a cookie keeps, and that for more than what the
browser asks for. A program that names none of them is answered in English. Gradio's own words follow what the page says
its browser's language is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from html import escape
from typing import Any
from urllib.parse import parse_qs

from gradio.context import LocalContext

from lungapp.locale import ENGLISH, LANGUAGES, RIGHT_TO_LEFT, translate

COOKIE = "lungapp-language"
PARAMETER = "lang"

_current: ContextVar[str] = ContextVar("lungapp-language", default=ENGLISH)
"""Of the HTTP request being answered. An event's handler runs elsewhere, after it: Gradio hands its request on."""


def current() -> str:
    """The language in which to speak now."""
    asked = LocalContext.request.get(None)
    scope = getattr(getattr(asked, "request", None), "scope", None)
    return scope.get("lungapp.language", ENGLISH) if scope else _current.get()


def say(text: str, /, **values: Any) -> str:
    """``text`` in the current language as plain text, with ``values`` put into its braces."""
    return translate(text, current(), **values)


def say_html(text: str, /, **values: Any) -> str:
    """The same for HTML, in an element or between double quotes."""
    return escape(say(text, **values), quote=False).replace('"', "&quot;")


def unbroken(html: str) -> str:
    """``html`` in which no line ends between a number and its per cent sign; Arabic has no space there."""
    return html.replace(" %", "%" if current() in RIGHT_TO_LEFT else "\N{NO-BREAK SPACE}%")


def speaking(language: str, work: Callable[[], Any]) -> Any:
    """What ``work`` returns when it speaks ``language``."""
    token = _current.set(language)
    try:
        return work()
    finally:
        _current.reset(token)


def negotiate(query: str, cookies: Mapping[str, str], accepted: str) -> str:
    """The language for a request, by its query, its cookies, and its header ``Accept-Language``."""
    asked = [*parse_qs(query).get(PARAMETER, []), cookies.get(COOKIE, ""), *_ranked(accepted)]
    return next((found for found in map(_known, asked) if found), ENGLISH)


def _known(tag: str) -> str:
    """Our code for a tag such as ``fr-CA``; empty for a language that the page does not speak."""
    code = tag.strip().lower().replace("_", "-").partition("-")[0]
    return code if code in LANGUAGES else ""


def _ranked(accepted: str) -> list[str]:
    """The tags of an ``Accept-Language``, the most wanted first (RFC 9110, 12.5.4)."""
    wanted: list[tuple[float, int, str]] = []
    for part in accepted[:1000].split(","):
        tag, _, rest = part.partition(";")
        name, _, quality = rest.strip().partition("=")
        try:
            weight = float(quality) if name == "q" else 1.0
        except ValueError:
            weight = 0.0
        if weight > 0:
            wanted.append((-weight, len(wanted), tag))
    return [tag for _, _, tag in sorted(wanted)]
