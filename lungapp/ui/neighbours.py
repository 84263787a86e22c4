"""How a slice compares with the training slices, as HTML. Everything that is not literally here is escaped."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np

from lungapp.registry import LABELS
from lungapp.rendering import render_grey, shrink
from lungapp.similar import MEASURES, Compared, Neighbour, Neighbours, compare, reference
from lungapp.slices import Slice
from lungapp.texts import plural
from lungapp.ui import words
from lungapp.ui.language import say, say_html
from lungapp.ui.tables import row, table
from lungapp.ui.viewer import image

PICTURE_SIDE = 256


def comparison(item: Slice, neighbours: Neighbours | None = None) -> str:
    """Measures beside every class's, and the nearest training slices where the dataset is there; folded."""
    found = compare(item)
    said = escape(words.nearest_class(found.nearest, reference().get("held_out", {})))
    typical = say_html(words.TYPICAL)
    return (
        f'<details class="la-background"><summary>{say_html(words.COMPARES)}</summary><p>{typical}.</p>'
        f'<div class="la-typical" tabindex="0" role="region" aria-label="{typical}">{_measures(found)}</div>'
        f"<p>{said}</p>{_neighbours(item, neighbours)}</details>"
    )


def _measures(found: Compared) -> str:
    heads = [say_html(words.THIS), *(_head(label, found.counts[label]) for label in LABELS)]
    rows = []
    for entry in MEASURES:
        own = found.own[entry.name]
        cells = [f"{own:.0f}" if np.isfinite(own) else say_html("not found")]
        for label in LABELS:
            mean, spread = found.classes[label][entry.name]
            cells.append(f"{mean:.0f} <small>\N{PLUS-MINUS SIGN} {spread:.0f}</small>")
        rows.append(row(f"{say_html(entry.title)} ({entry.unit})", cells))
    return table(heads, rows, say_html(words.TYPICAL))


def _head(label: str, count: int) -> str:
    slices = say(plural("{n} slice", "{n} slices", count))
    return f"{escape(words.capital(label))}<small>{escape(slices)}</small>"


def _neighbours(item: Slice, neighbours: Neighbours | None) -> str:
    if neighbours is None:
        return f'<p class="la-caption">{say_html(words.NO_DATASET)}</p>'
    found = neighbours.nearest(item)
    if not found:
        return f'<p class="la-caption">{say_html(words.BEING_READ if found is None else words.UNREADABLE)}</p>'
    same = f'<p class="la-caveat" role="note">{say_html(words.SAME_SLICE)}</p>' if found[0].nearly_the_same else ""
    shown = "".join(map(_neighbour, found))
    return (
        f'<h3>{say_html(words.NEIGHBOURS)}</h3>{same}<div class="la-neighbours">{shown}</div>'
        f'<p class="la-caption">{say_html(words.LIKENESS)}</p>'
    )


def _neighbour(found: Neighbour) -> str:
    label = escape(words.capital(found.label))
    picture = image(
        shrink(render_grey(found.slice), PICTURE_SIDE), say("A training slice of the class {label}", label=found.label)
    )
    said = say_html("{file}, likeness {likeness:.2f}", file=Path(found.file).stem, likeness=found.likeness)
    return f"<figure>{picture}<figcaption><strong>{label}</strong> {said}</figcaption></figure>"
