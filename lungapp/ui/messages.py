"""What a user is told of an error, in the language of the page; `lungapp.errors.explain` finds the words."""

from __future__ import annotations

import html

import gradio as gr

from lungapp import errors
from lungapp.errors import UNEXPECTED
from lungapp.ui.language import say

__all__ = ["UNEXPECTED", "explain", "to_gradio_error"]


def explain(error: Exception) -> str:
    """Plain text in the current language."""
    return say(errors.explain(error))


def to_gradio_error(error: Exception) -> gr.Error:
    """The same words for callers of the API. Gradio shows errors as HTML, so markup in them is escaped."""
    return gr.Error(html.escape(explain(error), quote=False), print_exception=False)
