"""Small tables of figures as HTML. Heads, cells and captions are HTML, and translated: callers see to both."""

from __future__ import annotations

from typing import Any

from lungapp.ui.figures import DECIMAL, Figure, is_number
from lungapp.ui.language import say_html


def table(heads: list[str], rows: list[str], caption: str, shown: bool = False) -> str:
    """A table with a head row; ``rows`` are made by `row`. The caption is for screen readers only unless ``shown``."""
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    kind = "" if shown else ' class="la-unseen"'
    return (
        f"<table><caption{kind}>{caption}</caption><thead><tr><td></td>{columns}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def scrolling_table(heads: list[str], rows: list[str], caption: str) -> str:
    """A `table` of many columns, which scrolls sideways where it has no room."""
    return (
        f'<div class="la-scroll" tabindex="0" role="region" aria-label="{caption}">{table(heads, rows, caption)}</div>'
    )


def row(head: str, cells: list[str], kind: str = "") -> str:
    """A row with its head; ``kind`` is a CSS class."""
    marked = f' class="{kind}"' if kind else ""
    return f'<tr{marked}><th scope="row">{head}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def figure_cell(figure: Figure | None, metric: str) -> str:
    """A figure with its interval in small type below."""
    if figure is None:
        return say_html("not measured")
    interval = figure.show_interval(metric in DECIMAL, short=True)
    small = f"<small>{interval}</small>" if interval else ""
    return figure.show(metric in DECIMAL) + small


def count_cell(value: Any) -> str:
    """A whole number with its thousands set apart."""
    return f"{value:,.0f}" if is_number(value) else say_html("not stated")


def facts(said: dict[str, str]) -> str:
    """Names and what is said of them as a list; empty where there are none. Both are HTML."""
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in said.items())
    return f"<dl>{rows}</dl>" if rows else ""


def card(title: str, body: str, note: str = "", kind: str = "") -> str:
    """A titled box; ``note`` is a sentence below its title."""
    said = f"<p>{note}</p>" if note else ""
    return f'<section class="la-card{" " + kind if kind else ""}"><div><h3>{title}</h3>{said}</div>{body}</section>'
