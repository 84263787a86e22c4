"""What a program is given of an analysis, whichever way it asked: the report and the picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lungapp import report
from lungapp.engine import cards_of
from lungapp.rendering import to_png
from lungapp.results import Analysis
from lungapp.slices import Slice
from lungapp.turns import in_turn
from lungapp.ui.messages import explain

if TYPE_CHECKING:
    from lungapp.engine import Engine


def analysed(
    engine: Engine,
    item: Slice,
    model: str,
    target: str,
    method: str,
    override: bool,
    faithfulness: bool,
    failing_maps: bool,
) -> tuple[dict[str, Any], bytes]:
    """The report of one slice in plain JSON types, and its overlay as a PNG file: of the maps that are drawn
    (`lungapp.results.ActivationMap.drawn`), of those that failed their test too with ``failing_maps``.

    Raises what the engine raises.
    """
    from lungapp.report.picture import shown_overlay  # it draws; the page's start need not wait for that

    with in_turn(item.pixels.size):
        analysis = engine.analyse(item, model, target, method, override)
        if faithfulness:
            analysis = engine.measure_faithfulness(analysis)
        analysis = analysis.insist(wish=failing_maps)
        return report.to_json(analysis, cards=cards_of(engine)), to_png(shown_overlay(analysis))


def tested_or_without(engine: Engine, analysis: Analysis) -> Analysis:
    """``analysis`` with its maps tested, as the page shows them; without maps where the test itself fails, since none
    is shown untested and a fault of the test must not take the answer away.
    """
    try:
        return engine.measure_faithfulness(analysis)
    except Exception as error:
        explain(error)  # which logs it
        return replace(analysis, maps=())
