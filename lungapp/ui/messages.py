"""The only place that turns an exception into words for a user."""

from __future__ import annotations

import html
import logging
import traceback
from pathlib import Path

import gradio as gr

from lungapp.errors import LungAppError
from lungapp.ui.uploads import NO_ROOM, is_full

UNEXPECTED = "Something went wrong on our side and the slice was not analysed. Please try again."

logger = logging.getLogger(__name__)


def explain(error: Exception) -> str:
    """What to tell the user, as plain text.

    Our own errors say what was expected and received. Anything else is a fault of the program: it gets a general
    sentence, and the log gets its type and place but not its message, which may quote a file name or a DICOM value.
    """
    if isinstance(error, LungAppError):
        return str(error)
    if isinstance(error, OSError) and is_full(error):
        return NO_ROOM
    frames = traceback.extract_tb(error.__traceback__)
    place = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    logger.error("Unexpected %s at %s", type(error).__name__, place or "an unknown place")
    return UNEXPECTED


def to_gradio_error(error: Exception) -> gr.Error:
    """The same words for callers of the API. Gradio shows errors as HTML, so markup in them is escaped."""
    return gr.Error(html.escape(explain(error), quote=False), print_exception=False)
