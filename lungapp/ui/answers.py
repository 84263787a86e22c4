"""What a program is given of an analysis, whichever way it asked: the report and the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lungapp import report
from lungapp.engine import cards_of
from lungapp.rendering import to_png
from lungapp.slices import Slice
from lungapp.turns import in_turn

if TYPE_CHECKING:
    from lungapp.engine import Engine


def analysed(
    engine: Engine, item: Slice, model: str, target: str, method: str, override: bool, faithfulness: bool
) -> tuple[dict[str, Any], bytes]:
    """The report of one slice in plain JSON types, and its overlay as a PNG file. Raises what the engine raises."""
    from lungapp.report.picture import shown_overlay  # it draws; the page's start need not wait for that

    with in_turn(item.pixels.size):
        analysis = engine.analyse(item, model, target, method, override)
        if faithfulness:
            analysis = engine.measure_faithfulness(analysis)
        return report.to_json(analysis, cards=cards_of(engine)), to_png(shown_overlay(analysis))
