"""The overlay as a picture: the slice's pixels as they were, a band that says what must be said, no metadata."""

from __future__ import annotations

import io
import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lungapp import report
from lungapp.rendering import render_grey
from lungapp.report import facts
from lungapp.report.letters import width_of, wrap
from lungapp.report.picture import NARROWEST, caption, labelled_overlay, overlay
from lungapp.results import ActivationMap, Analysis, Faithfulness
from lungapp.slices import Slice
from tests.report.samples import REJECTED


def chunks(data: bytes) -> list[bytes]:
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append(data[at + 4 : at + 8])
        at += 12 + length
    return found


def test_the_png_has_pixels_and_nothing_else(analyses: dict[str, Analysis]) -> None:
    data = report.to_overlay_png(analyses["one"])
    assert set(chunks(data)) == {b"IHDR", b"IDAT", b"IEND"}
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), labelled_overlay(analyses["one"]))


def test_the_slice_is_as_it_was_where_there_is_no_attention(analyses: dict[str, Analysis]) -> None:
    analysis = analyses["blank"]
    picture, (rows, columns) = labelled_overlay(analysis), analysis.slice.pixels.shape
    left = (NARROWEST - columns) // 2
    assert np.array_equal(picture[:rows, left : left + columns], render_grey(analysis.slice))
    assert not np.array_equal(labelled_overlay(analyses["one"])[:rows], picture[:rows])


def test_an_overridden_slice_says_so_in_the_picture(analyses: dict[str, Analysis]) -> None:
    plain, overridden = labelled_overlay(analyses["one"]), labelled_overlay(analyses["overridden"])
    assert overridden.shape[0] > plain.shape[0], "the warning takes lines of its own"
    red = (overridden[..., 0].astype(int) - overridden[..., 2] > 60)[256:]
    assert red.sum() > 500


def test_captions(analyses: dict[str, Analysis]) -> None:
    assert "Advanced CNN for malignant" in caption(analyses["one"])
    assert "all models for the class each model predicts" in caption(analyses["all"])
    assert "Nothing in it speaks for benign" in caption(analyses["blank"])
    assert "There is no map." in caption(replace(analyses["one"], maps=()))
    assert "No model was asked" in caption(analyses["rejected"])


def judged(map_: ActivationMap, holds: bool) -> ActivationMap:
    return replace(map_, faithfulness=Faithfulness(0.1, 0.9, 0.5 if holds else 0.0, (0.1,)))


@pytest.mark.parametrize(
    ("holds", "insisted", "drawn", "said"),
    [
        (None, False, True, "It was not tested"),
        (True, False, True, "It passed its test"),
        (False, False, False, "no map that holds"),
        (False, True, True, "It failed its test"),
    ],
)
def test_a_map_that_failed_its_test_is_drawn_on_demand_alone(
    analyses: dict[str, Analysis], holds: bool | None, insisted: bool, drawn: bool, said: str
) -> None:
    maps = tuple(map_ if holds is None else judged(map_, holds) for map_ in analyses["one"].maps)
    analysis = replace(analyses["one"], maps=maps).insist(wish=insisted)
    assert [map_.holds for map_ in analysis.maps] == [holds]
    assert (not np.array_equal(overlay(analysis), render_grey(analysis.slice))) is drawn
    assert said in caption(analysis)


def test_of_several_maps_only_those_that_hold_are_drawn(analyses: dict[str, Analysis]) -> None:
    first, *others = analyses["all"].maps
    analysis = replace(analyses["all"], maps=(judged(first, True), *(judged(map_, False) for map_ in others)))
    assert analysis.drawn_maps == (analysis.maps[0],)
    assert np.array_equal(overlay(analysis), overlay(replace(analysis, maps=analysis.maps[:1])))
    assert "of Basic CNN for" in caption(analysis)
    both = analysis.insist(others[0].model)
    assert [map_.model for map_ in both.drawn_maps] == [first.model, others[0].model]
    assert "Failed its test, drawn because someone asked for it, not to be relied on: ResNet-50." in caption(both)


@pytest.mark.parametrize("shape", [(1, 1), (130, 3000), (3000, 130)])
def test_any_shape_gives_a_picture(shape: tuple[int, int]) -> None:
    picture = labelled_overlay(Analysis(Slice(np.zeros(shape), "HU"), REJECTED, "all"))
    assert picture.dtype == np.uint8
    assert NARROWEST <= picture.shape[1] <= 2048


def test_the_warning_is_of_the_gravest(analyses: dict[str, Analysis]) -> None:
    assert facts.warning_of(analyses["one"]) == ""
    assert facts.warning_of(analyses["rejected"]) == facts.REJECTED
    assert facts.warning_of(replace(analyses["one"], overridden=True)) == facts.OVERRIDDEN


def test_lines_fit_and_nothing_is_lost() -> None:
    text = "Expected grey. Received: colour " * 5 + "y" * 200
    lines = wrap(text, 8, 150)
    assert all(width_of(line, 8) <= 150 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    cut = wrap(text, 8, 150, most=2)
    assert len(cut) == 2
    assert cut[1].endswith("...")
    assert width_of(cut[1], 8) <= 150
