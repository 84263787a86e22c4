"""The slice and its maps as HTML. Everything else about looking at them happens in the browser (``viewer.js``).

Pictures are inside the page: none is written to the server's disk, and neither zoom nor window, layout, opacity or
contour asks the server again. Everything that is not literally here is escaped.
"""

from __future__ import annotations

import base64
import uuid
import zlib
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from lungapp.faithfulness import TENTH
from lungapp.greys import MODEL_WINDOW
from lungapp.methods import get_method
from lungapp.registry import get_spec
from lungapp.rendering import outline_hottest, render_colour_bar, render_grey, render_heat, shrink, to_png
from lungapp.results import ActivationMap
from lungapp.slices import PRESETS, Slice, Window
from lungapp.ui import words
from lungapp.ui.language import say, say_html

SCRIPT = Path(__file__).with_suffix(".js")
STYLE = Path(__file__).with_suffix(".css")

LONGEST_SIDE = 1024
"""Pictures on the page are scaled down to this, in pixels; scores and maps are made from the whole slice."""


SHOW_MAP = """element.addEventListener('click', (event) => {
    const button = event.target.closest('[data-map]');
    if (button) trigger('click', { model: button.dataset.map });
});"""
"""Tells which model's map someone wants to see although it failed its test, or not to see any more."""


def pictures(item: Slice, maps: Sequence[ActivationMap] = (), testing: bool = False) -> str:
    """The slice, and beside it the slice with each model's attention laid over it, or why there is none.

    ``testing`` says that the maps are still being tested: none is shown before.
    """
    grey = shrink(render_grey(item), LONGEST_SIDE)
    size = say("{rows} rows, {columns} columns", rows=item.rows, columns=item.columns)
    title, caption = say(words.SLICE), say("{size}, {format}", size=size, format=item.info.format)
    plain = _figure(_base(grey, say("The uploaded CT slice, {size}", size=size)), "", title, caption, "la-original")
    beside = [_beside(grey, found, len(maps) > 1, testing) for found in maps]
    drawn = not testing and any(found.drawn for found in maps)
    kind = "la-single" if not maps else "la-several" if len(maps) > 1 else ""
    divider = (
        f'<label class="la-divider">{say_html(words.DIVIDER)} '
        '<input type="range" data-do="split" min="0" max="100" value="50">'
        "</label>"
        if drawn
        else ""
    )
    held = f' data-hu="{_packed(item)}"' if item.unit == "HU" else ""
    return (
        f'<la-viewer data-stamp="{uuid.uuid4().hex}" data-key="{zlib.crc32(grey.tobytes()):08x}" '
        f'data-rows="{grey.shape[0]}" data-columns="{grey.shape[1]}" data-layout="side"{held}>'
        f"{_tools(drawn, bool(held))}"
        f'<div class="la-pictures {kind}">{plain}{"".join(beside)}</div>{divider}'
        f'<p class="la-keys" id="la-keys">{say_html(words.KEYS)}</p></la-viewer>{_legend() if drawn else ""}'
    )


def tested(maps: Sequence[ActivationMap]) -> str:
    """Whether each map can be relied on, with the figures; empty where that was not measured."""
    said = []
    for found in maps:
        text = words.faithfulness(found)
        kind = "" if found.holds is None else " la-supported" if found.holds else " la-unsupported"
        name = f"<strong>{escape(get_spec(found.model).title)}.</strong> " if len(maps) > 1 else ""
        said.append(f'<p class="la-tested{kind}">{name}{escape(text)}</p>' if text else "")
    return "".join(said)


def image(picture: np.ndarray, text: str, kind: str = "") -> str:
    """An RGB or RGBA picture as an element that holds it; ``text`` is for readers who do not see it."""
    data = base64.b64encode(to_png(picture)).decode("ascii")
    return f'<img class="{kind}" alt="{escape(text)}" src="data:image/png;base64,{data}">'


def _beside(grey: np.ndarray, found: ActivationMap, named: bool, testing: bool) -> str:
    """What stands beside the slice for one map: its overlay, or a sentence where there is none to show."""
    if found.blank:
        return _slot(grey, found, named, f"<p>{escape(words.attention(found))}</p>")
    if testing:
        return _slot(grey, found, named, f'<p role="status">{say_html(words.TESTING)}</p>')
    if found.drawn:
        return _overlay(grey, found, named)
    failed = say(words.FAILED, label=found.target, method=get_method(found.method).title)
    text = f"<p><strong>{say_html(words.NO_MAP)}</strong></p><p>{escape(failed)}</p>"
    return _slot(grey, found, named, text + _switch(found, words.SHOW_FAILED))


def _slot(grey: np.ndarray, found: ActivationMap, named: bool, html: str) -> str:
    """The room of a picture, with ``html`` in it."""
    shape = f"--la-shape:{grey.shape[1]}/{grey.shape[0]}"
    caption = f"<figcaption><strong>{escape(_heading(found, named))}</strong></figcaption>"
    return f'<figure><div class="la-slot" style="{shape}">{html}</div>{caption}</figure>'


def _switch(found: ActivationMap, text: str) -> str:
    name = say("{name}: {said}", name=say(text), said=get_spec(found.model).title)
    return f'<button type="button" data-map="{found.model}" aria-label="{escape(name)}">{say_html(text)}</button>'


def _heading(found: ActivationMap, named: bool) -> str:
    title, method = get_spec(found.model).title, get_method(found.method).title
    if named:
        return say("{model}: attention for {label}, {method}", model=title, label=found.target, method=method)
    return say("Attention for {label}, {method}", label=found.target, method=method)


def _overlay(grey: np.ndarray, found: ActivationMap, named: bool) -> str:
    title = get_spec(found.model).title
    values = shrink(found.values, LONGEST_SIDE)
    where = say("highest in the {place} of the picture", place=words.place_of_peak(found.values))
    text = say(
        "The slice with the attention of {model} for {label} laid over it, {where}",
        model=title,
        label=found.target,
        where=where,
    )
    veil = image(render_heat(values), "", "la-heat") + _contour(values, found.region)
    failed = ""
    if found.holds is False:
        failed = f'<p class="la-failed">{say_html(words.INSISTED)} {_switch(found, words.HIDE_FAILED)}</p>'
    return _figure(_base(grey, text), veil, _heading(found, named), words.attention(found), more=failed)


def _base(grey: np.ndarray, text: str) -> str:
    """The slice in the models' window, and a canvas above it on which the browser draws it in another."""
    rows, columns = grey.shape[:2]
    return f'{image(grey, text)}<canvas width="{columns}" height="{rows}" aria-hidden="true"></canvas>'


def _contour(values: np.ndarray, region: np.ndarray | None) -> str:
    where = np.ones_like(values, bool)
    if region is not None:
        where = shrink(region.view(np.uint8), LONGEST_SIDE) > 0
    outlines = outline_hottest(values, where, TENTH)
    drawn = "".join(f"M{'L'.join(f'{x + 0.5} {y + 0.5}' for x, y in outline)}Z" for outline in outlines)
    box = f'viewBox="0 0 {values.shape[1]} {values.shape[0]}" preserveAspectRatio="none" aria-hidden="true"'
    return f'<svg {box}><path class="la-halo" d="{drawn}"/><path d="{drawn}"/></svg>' if drawn else ""


def _figure(base: str, veil: str, title: str, caption: str, kind: str = "", more: str = "") -> str:
    above = f'<div class="la-veil"><div class="la-layers">{veil}</div></div>' if veil else ""
    stack = (
        f'<div class="la-stack" tabindex="0" role="group" aria-label="{escape(title)}" aria-describedby="la-keys">'
        f'<div class="la-layers">{base}</div>{above}</div>'
    )
    return (
        f'<figure class="{kind}">{stack}<figcaption><strong>{escape(title)}</strong> {escape(caption)}</figcaption>'
        f"{more}</figure>"
    )


def _tools(overlay: bool, windows: bool) -> str:
    zoomed = say(words.ZOOMED)
    zoom = (
        f'<fieldset><legend class="la-unseen">{say_html(words.ZOOM)}</legend>'
        f'<button type="button" data-do="farther" aria-label="{say_html(words.FARTHER)}">&minus;</button>'
        f'<button type="button" data-do="nearer" aria-label="{say_html(words.NEARER)}">+</button>'
        f'<button type="button" data-do="whole">{say_html(words.WHOLE)}</button>'
        f'<output data-text="{escape(zoomed)}">{escape(zoomed.format(100))}</output></fieldset>'
    )
    tools = _layouts() if overlay else ""
    return f'<div class="la-tools">{tools}{_windows() if windows else ""}{zoom}</div>'


def _layouts() -> str:
    radios = "".join(
        f'<label><input type="radio" name="la-layout" data-do="layout" value="{value}"'
        f"{' checked' if value == 'side' else ''}>{say_html(title)}</label>"
        for value, title in words.LAYOUTS.items()
    )
    boxes = "".join(
        f'<label><input type="checkbox" data-do="{name}"{" checked" if name == "heat" else ""}>'
        f"{say_html(title)}</label>"
        for name, title in words.LAYERS.items()
    )
    legend = f'<legend class="la-unseen">{say_html(words.LAYOUT)}</legend>'
    return f'<fieldset class="la-layouts">{legend}{radios}</fieldset>{boxes}'


def _windows() -> str:
    def option(name: str, title: str, window: Window) -> str:
        return (
            f'<option value="{name}" data-centre="{window.centre:.0f}" data-width="{window.width:.0f}">'
            f"{say_html(title)}</option>"
        )

    presets = option("model", words.WINDOWS["model"], MODEL_WINDOW)
    presets += "".join(option(name, words.WINDOWS[name], window) for name, window in PRESETS.items())
    fields = "".join(
        f'<label>{say_html(title)} <input type="number" data-do="{name}" step="10" min="{least}" max="4000" '
        f'value="{value:.0f}">'
        " HU</label>"
        for name, title, least, value in (
            ("centre", words.CENTRE, -2000, MODEL_WINDOW.centre),
            ("width", words.WIDTH, 1, MODEL_WINDOW.width),
        )
    )
    return (
        f'<span><label for="la-window">{say_html(words.WINDOW)}</label> '
        f'<select id="la-window" data-do="preset">{presets}'
        f'<option value="free">{say_html(words.WINDOWS["free"])}</option></select></span>{fields}'
    )


def _packed(item: Slice) -> str:
    """The slice's HU for the browser: zlib, little-endian int16, each pixel as the difference from the one before."""
    pixels = np.clip(np.rint(shrink(item.pixels, LONGEST_SIDE)), -32768, 32767).astype(np.int16).ravel()
    steps = pixels.copy()
    steps[1:] -= pixels[:-1]
    return base64.b64encode(zlib.compress(steps.astype("<i2").tobytes(), 3)).decode("ascii")


def _legend() -> str:
    bar = image(render_colour_bar(), say(words.SCALE))
    low, high, relative = (say_html(text) for text in (words.LOW, words.HIGH, words.RELATIVE))
    scale = f'<div class="la-scale"><span>{low}</span>{bar}<span>{high}</span></div>'
    return f'<div class="la-legend">{scale}<p>{relative}</p></div>'
