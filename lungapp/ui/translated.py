"""The page in the visitor's language: Gradio builds it once, in English, and hands it out through here.

Texts of the page itself (labels, buttons, tabs, the About text) stand in its configuration, of which every visit gets a
copy: `Page` translates them in it. What is said later, a result or an error, is said by `lungapp.ui.language.say`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import gradio as gr
from gradio.context import Context

from lungapp.locale import ENGLISH
from lungapp.ui.language import current, say, speaking

SHOWN = ("label", "info", "placeholder")
"""Properties that are words in every component."""

VALUES = ("button", "html", "markdown")
"""Components whose value is words."""


class Page(gr.Blocks):
    """Blocks whose configuration speaks the language of whoever asks for it."""

    def __init__(self, *rest: Any, **options: Any) -> None:
        self.composed: dict[str, Callable[[], str]] = {}
        self._translated: dict[tuple[str, str], str] = {}
        super().__init__(*rest, **options)

    @property
    def config(self) -> Any:
        english = self.__dict__["config"]
        return english if current() == ENGLISH or not english.get("components") else self._in_language(english)

    @config.setter
    def config(self, english: Any) -> None:
        self.__dict__["config"] = english

    def get_api_info(self, *rest: Any, **options: Any) -> Any:
        """Of the endpoints for programs, which are described in English."""
        return speaking(ENGLISH, lambda: super(Page, self).get_api_info(*rest, **options))

    def _in_language(self, english: Any) -> Any:
        changed = [{**entry, "props": self._props(entry["type"], entry["props"])} for entry in english["components"]]
        return {**english, "components": changed}

    def _props(self, kind: str, english: dict[str, Any]) -> dict[str, Any]:
        props = deepcopy(english)
        for name in (*SHOWN, *(("value",) if kind in VALUES else ())):
            if isinstance(props.get(name), str):
                props[name] = self._say(props[name])
        if isinstance(props.get("choices"), list | tuple):
            props["choices"] = [(self._say(title), value) for title, value in props["choices"]]
        return props

    def _say(self, english: str) -> str:
        key = (current(), english)
        if key not in self._translated:
            compose = self.composed.get(english)
            self._translated[key] = compose() if compose else say(english)
        return self._translated[key]


def composed(compose: Callable[[], str]) -> str:
    """What ``compose`` says in English, for a component of the page being built, which remembers how it was made."""
    english: str = speaking(ENGLISH, compose)
    page = Context.root_block
    if isinstance(page, Page):
        page.composed |= {english: compose, inspect.cleandoc(english): compose}
    return english
