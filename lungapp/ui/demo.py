"""The whole page: a header with the notice, and one tab a module."""

from __future__ import annotations

import logging
import os
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from lungapp.errors import LungAppError
from lungapp.locale import LANGUAGES
from lungapp.report import NOTICE
from lungapp.settings import Settings
from lungapp.texts import mark
from lungapp.ui import shelf
from lungapp.ui.about import build_about_tab
from lungapp.ui.analyse import build_analyse_tab
from lungapp.ui.api import build_api
from lungapp.ui.fair_queue import FairQueue
from lungapp.ui.language import PARAMETER, current, say, say_html
from lungapp.ui.models import Records, all_models, build_models_tab
from lungapp.ui.performance import build_performance_tab, overview
from lungapp.ui.series import ANALYSIS_TAB, build_series_tab
from lungapp.ui.translated import Page, composed

if TYPE_CHECKING:
    from lungapp.engine import Engine

EXAMPLES = Path(__file__).parents[2] / "examples"

SWEEP_SECONDS, KEEP_SECONDS = 60, 600
"""How often Gradio's cache of uploads and results is swept, and how old its files may grow."""

CONCURRENCY = 4
"""How many calls of a quick function run at a time. Who may wait, and whose turn it is: `lungapp.ui.fair_queue`."""

ONE_DATASET = mark("The models learnt from one small dataset.")

DEFAULTS = Settings()

logger = logging.getLogger(__name__)


def build_demo(engine: Engine, settings: Settings = DEFAULTS, examples: Path = EXAMPLES) -> gr.Blocks:
    """The page, ready to launch.

    Parameters
    ----------
    engine : does the work; ``analyse``, ``analyse_series``, ``cards``, ``ensemble_card`` and ``states`` are called.
    settings : limits on uploads, and the model picked at first.
    examples : folder with slices to click on.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")  # of its record of requests, which nobody looks at
    shelf.results.budget, shelf.files.budget = settings.max_kept_memory, settings.max_kept_files
    records = _read_records(engine)
    with Page(title="LungApp", analytics_enabled=False, delete_cache=(SWEEP_SECONDS, KEEP_SECONDS)) as demo:
        gr.HTML(composed(partial(header, login=bool(settings.users))), elem_id="la-header")
        gr.HTML(composed(notice), elem_id="la-notice")
        with gr.Tabs() as tabs:
            with gr.Tab(mark("Analysis"), id=ANALYSIS_TAB):
                desk = build_analyse_tab(engine, settings, examples, records)
            with gr.Tab(mark("Series")):
                build_series_tab(engine, settings, records, desk, tabs)
            with gr.Tab(mark("Performance")) as performance:
                build_performance_tab(records, settings.default_model, performance)
            with gr.Tab(mark("Models")):
                build_models_tab(records)
            with gr.Tab(mark("About")):
                build_about_tab(demo)
        build_api(engine, settings)
    # Gradio's direct way would go past the queue, and past everybody in it.
    demo.queue(api_open=False, default_concurrency_limit=CONCURRENCY)
    FairQueue.take_over(demo)
    return demo


def header(login: bool = False) -> str:
    """The page's name, what it does, the switch between its languages, and the way out where there is a ``login``."""
    links = "".join(
        f'<li><a href="?{PARAMETER}={code}" lang="{code}" hreflang="{code}"'
        f"{' aria-current=true' if code == current() else ''}>{name}</a></li>"
        for code, name in LANGUAGES.items()
    )
    told = say("Scores a chest CT slice as normal, benign or malignant, and shows where the model looked.")
    warning = say_html("Choosing a language loads the page anew: a file that is open is closed.")
    log_out = f'<form method="post" action="./logout"><button>{say_html("Log out")}</button></form>' if login else ""
    return (
        f'<header class="la-header"><div><h1>LungApp</h1><p>{escape(told)}</p></div>{log_out}'
        f'<nav class="la-languages" aria-label="{say_html("Language")}" title="{warning}">'
        f"<ul>{links}</ul></nav></header>"
    )


def notice() -> str:
    """The standing warning, said here alone."""
    return f'<p class="la-notice" role="note">{say_html(NOTICE)} {say_html(ONE_DATASET)}</p>'


def _read_records(engine: Engine) -> Records:
    """The cards' data by model name, the ensemble's among them; a page without figures is better than no page."""
    try:
        ensemble = engine.ensemble_card()
        cards = [*engine.cards(), *([ensemble] if ensemble else [])]
    except LungAppError as error:
        logger.warning("No model cards: %s", error)
        return {}
    return {card.name: card.data for card in cards if _can_be_shown(card.name, card.data)}


def _can_be_shown(name: str, card: dict[str, Any]) -> bool:
    """Whether the page can be built with a card; one that is damaged is left out alone."""
    try:
        all_models({name: card})
        overview({name: card})
    except Exception as error:
        logger.warning("The card of %s is damaged: %s", name, type(error).__name__)
        return False
    return True
