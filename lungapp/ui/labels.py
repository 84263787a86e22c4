"""Gradio's own names for screen readers, which it has in English only, in the visitor's language."""

from __future__ import annotations

import json
from pathlib import Path

from lungapp.locale import ENGLISH, translate
from lungapp.texts import mark

NAMES = (
    mark("Click to upload or drop files"),
    mark("File upload"),
    mark("{label} icon"),
    mark("Remove this file"),
    mark("Reset to default value"),
    mark("range slider for {label}"),
    mark("number input for {label}"),
    mark("Code input container"),
    mark("Fold line"),
    mark("Unfold line"),
    mark("Download"),
    mark("Copy"),
    mark("Copied"),
    mark("More tabs"),
    mark("Gradio footer navigation"),
)
"""What Gradio says. ``{label}`` is the label of the component, which is in the language already."""

SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def script(language: str) -> str:
    """What puts them into ``language`` on the page, as a text for a ``<script>``; empty for English."""
    if language == ENGLISH:
        return ""
    words = json.dumps([(name, translate(name, language)) for name in NAMES]).replace("<", "\\u003c")
    return SCRIPT.replace("(WORDS)", f"({words})")
