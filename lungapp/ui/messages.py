"""What a caller of the API is told of an error; `lungapp.errors.explain` finds the words."""

from __future__ import annotations

import html

import gradio as gr

from lungapp.errors import UNEXPECTED, explain

__all__ = ["UNEXPECTED", "explain", "to_gradio_error"]


def to_gradio_error(error: Exception) -> gr.Error:
    """The same words for callers of the API. Gradio shows errors as HTML, so markup in them is escaped."""
    return gr.Error(html.escape(explain(error), quote=False), print_exception=False)
