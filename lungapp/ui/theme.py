"""How the page looks and what it serves. In Gradio 6 this belongs to who serves it, not to the Blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes.utils import colors, sizes

from lungapp.settings import Settings
from lungapp.ui import viewer
from lungapp.ui.demo import EXAMPLES

STYLE = Path(__file__).with_name("style.css")

# Fonts of the reader's system: no font is fetched from anywhere.
SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

TEAL = colors.Color(
    "#eef7f8", "#d5ebee", "#aed8de", "#7dbec8", "#4a9dab", "#2b7f8f", "#1f6877", "#1b5461", "#18444f", "#123540",
    "#0b222a", name="lungapp",
)  # fmt: skip

HEAD = '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'


def build_theme() -> gr.themes.Base:
    """A quiet page: grey surfaces, one accent, the colours left to the pictures."""
    theme = gr.themes.Base(
        primary_hue=TEAL, secondary_hue=TEAL, neutral_hue=colors.slate, radius_size=sizes.radius_md,
        font=SANS, font_mono=MONO,
    )  # fmt: skip
    return theme.set(
        body_background_fill="#f4f7f9",
        body_background_fill_dark="#0d151b",
        body_text_color="#17242d",
        body_text_color_dark="#e3ebf0",
        body_text_color_subdued="#4d5f6b",
        body_text_color_subdued_dark="#a5b6c1",
        block_background_fill="#ffffff",
        block_background_fill_dark="#152029",
        block_border_color="#d3dde4",
        block_border_color_dark="#2b3a45",
        block_label_text_color="#33444f",
        block_label_text_color_dark="#c6d3db",
        block_title_text_color="#17242d",
        block_title_text_color_dark="#e3ebf0",
        block_title_text_weight="600",
        input_background_fill_dark="#0f1921",
        checkbox_label_background_fill="transparent",
        checkbox_label_background_fill_dark="transparent",
        checkbox_label_background_fill_hover="*primary_50",
        checkbox_label_background_fill_hover_dark="#1d2c37",
        checkbox_label_background_fill_selected="*primary_100",
        checkbox_label_background_fill_selected_dark="#1f3b45",
        checkbox_label_border_color="*neutral_300",
        checkbox_label_border_color_dark="#3b4d59",
        checkbox_label_border_width="1px",
        checkbox_label_border_width_dark="1px",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        block_label_background_fill_dark="#152029",
        table_even_background_fill_dark="#0f1921",
        table_odd_background_fill_dark="#0f1921",
        link_text_color_dark="*primary_300",
        link_text_color_hover_dark="*primary_200",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
    )


def page_options(settings: Settings, examples: Path = EXAMPLES) -> dict[str, Any]:
    """Arguments for ``mount_gradio_app()``: looks, limits, and nothing that lets a patient's picture leave the page."""
    return {
        "theme": build_theme(),
        "css_paths": [STYLE, viewer.STYLE],
        "head": f"{HEAD}<script>{viewer.SCRIPT.read_text(encoding='utf-8')}</script>",
        "footer_links": ["api"],
        "max_file_size": settings.limits.max_bytes,
        "allowed_paths": [str(examples.resolve())],
        "show_error": False,
        "enable_monitoring": False,
        "run_history": False,
        "pwa": False,
        "ssr_mode": False,
        "mcp_server": settings.mcp,
        "app_kwargs": {"openapi_url": None},
    }
