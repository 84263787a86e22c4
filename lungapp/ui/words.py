"""Numbers and codes of a result, said in words. Plain text: callers escape it.

Functions answer in the current language; the constants are English, for `say`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lungapp.greys import MODEL_WINDOW
from lungapp.registry import get_spec
from lungapp.report import answers
from lungapp.results import ActivationMap, Prediction
from lungapp.slices import SliceInfo, Unit
from lungapp.texts import mark
from lungapp.ui.language import say

ANSWER_OF = mark("What {model} says")
REJECTED = mark("This picture did not pass the input check, so no model was asked.")
OVERRIDDEN = mark(
    "The input check rejected this picture, and it was scored because you asked for it. No figure of this page applies "
    "to such a picture."
)
BACKGROUND = mark("About this file: how it was read, what was left behind, what the model was given")
NOT_FAITHFUL = mark("The map does not mark what this model relied on: do not rely on this map.")
TESTING = mark("Testing whether this map marks what the model relied on \u2026")
NO_MAP = mark("This answer has no map that holds.")
FAILED = mark("The map for {label} by {method} failed its test: it does not mark what this model relied on.")
SHOW_FAILED = mark("Show it all the same")
HIDE_FAILED = mark("Hide it again")
INSISTED = mark("This map failed its test: do not rely on it.")
UNTESTED = mark("The map could not be tested, so it is not shown. Press Analyse to try again.")

SLICE = mark("Slice")
NO_EXAMPLE = mark("The link names an example that is not here.")
LAYOUT = mark("Layout")
LAYOUTS = {"side": mark("Side by side"), "slider": mark("Slider"), "overlay": mark("Overlay alone")}
LAYERS = {"heat": mark("Overlay"), "outline": mark("Contour of the hottest region")}
DIVIDER = mark("Divider: overlay on its right (%)")
WINDOW, CENTRE, WIDTH = mark("Window"), mark("Centre"), mark("Width")
WINDOWS = {
    "model": mark("As the model saw it"),
    "lung": mark("Lung"),
    "mediastinum": mark("Mediastinum"),
    "bone": mark("Bone"),
    "free": mark("Your own"),
}
ZOOM, NEARER, FARTHER = mark("Zoom"), mark("Zoom in"), mark("Zoom out")
WHOLE, ZOOMED = mark("Whole slice"), mark("Zoom {} %")
KEYS = mark(
    "On a picture: + and - or two fingers zoom, arrows or dragging move, 0 shows all; once clicked, the wheel zooms."
)
LOW, HIGH = mark("Low"), mark("High")
SCALE = mark("Colour scale: dark is low, bright yellow is high attention")
RELATIVE = mark("Relative to the highest value in this slice; not the outline of a lesion.")
ALL_MODELS = mark("All models: each one's answer side by side, and their mean")
EACH_MODEL = mark("Each model on its own")
GIVEN = mark("What the model was given")
PROBABILITIES = mark("Probability of each class")


def agreement(predictions: Sequence[Prediction]) -> str:
    """Whether several models decide the same, and what that is worth."""
    named = [(get_spec(item.model).title, answers.DECISION_WORDS[item.decision]) for item in predictions]
    if len({answer for _, answer in named}) == 1:
        return say(
            "All {count} models give the same answer: {answer}. They learnt from the same slices: no second opinion.",
            count=len(named),
            answer=named[0][1],
        )
    said = say("; ").join(say("{name}: {said}", name=title, said=answer) for title, answer in named)
    return say("The models disagree. {answers}. Their mean hides that.", answers=said)


COMPARES = mark("How this slice compares with the training slices")
THIS = mark("This slice")
TYPICAL = mark("Plain measures of this slice beside their mean in each class, \u00b1 one standard deviation")
NO_OPINION = mark(
    "This is no second opinion: the classes overlap widely, and scanner settings differ between them too."
)
NO_DATASET = mark("Without the dataset on this server, the nearest training slices themselves cannot be shown.")
BEING_READ = mark(
    "The training slices are still being read. Analyse the slice again in a moment to see the nearest ones."
)
UNREADABLE = mark("The dataset's folder on this server holds none of the training slices.")
NEIGHBOURS = mark("The nearest training slices")
LIKENESS = mark(
    "Likeness is the correlation of the two pictures as a model gets them, from -1 to 1. A picture that looks alike "
    "need not show the same disease. Slices: IQ-OTH/NCCD dataset, CC BY 4.0."
)
SAME_SLICE = mark(
    "The first of these is nearly the same slice, and the models learnt from it: their answer on this one says nothing "
    "about how they do on new patients."
)


def nearest_class(nearest: str | None, held_out: Mapping[str, int]) -> str:
    """Which class's measures are nearest, and how often that is right."""
    if nearest is None:
        return f"{say('Not all could be measured in this slice.')} {say(NO_OPINION)}"
    said = [say("Taken together they are nearest to the mean of {label}.", label=nearest)]
    if held_out.get("n"):
        share = percent(held_out["right"] / held_out["n"])
        said.append(
            say(
                "On {count} held-out slices the class found this way was right for {share}.",
                count=held_out["n"],
                share=share,
            )
        )
    return " ".join([*said, say(NO_OPINION)])


def capital(label: str) -> str:
    """A class's name as it stands alone."""
    said = say(label)
    return said[:1].upper() + said[1:]


def percent(share: float) -> str:
    """A share in [0, 1] as whole per cent, never rounded up to certainty or down to impossibility."""
    return say(answers.percent(share))


def attention(item: ActivationMap) -> str:
    """How much of the attention lies inside the lungs."""
    if item.blank:
        return say(
            "The model found nothing in this slice that speaks for {label}, so nothing is coloured.", label=item.target
        )
    if item.inside_lungs is None:
        return say("No lungs were found in this slice, so it is not known how much of the attention lies inside them.")
    share = percent(item.inside_lungs)
    if item.inside_lungs >= 2 / 3:
        return say("Most of the attention ({share}) lies inside the lungs.", share=share)
    if item.inside_lungs >= 1 / 3:
        return say("Only part of the attention ({share}) lies inside the lungs.", share=share)
    return say(
        "Little of the attention ({share}) lies inside the lungs: the model looked mostly elsewhere.", share=share
    )


def faithfulness(item: ActivationMap) -> str:
    """What blurring did to the probability, and whether the map can be relied on; empty where it was not measured."""
    found = item.faithfulness
    if found is None:
        return ""
    before, after = found.probability, found.probability - found.hottest_fall
    elsewhere = found.probability - found.random_fall
    most = found.probability - max(found.random_falls)
    covered = say("hottest tenth of what the model saw")
    if found.share <= 0.095:
        covered = say("coloured {share} of what the model saw", share=percent(found.share))
    values = {"covered": covered, "label": item.target, "before": percent(before), "after": percent(after)}
    said = [
        say(HOTTEST[_way(before, after)], **values),
        say(ELSEWHERE[_way(before, elsewhere)], level=percent(elsewhere)),
    ]
    if not found.supported and most <= after < elsewhere:
        said[-1] = say("{sentence}, one of them to {level}", sentence=said[-1], level=percent(most))
    verdict = say("The map marks what this model relied on.") if found.supported else say(NOT_FAITHFUL)
    return f"{say('; ').join(said)}. {verdict}"


HOTTEST = {
    "leaves": mark("Blurring the {covered} leaves the {label} probability at {after}"),
    "lowers": mark("Blurring the {covered} lowers the {label} probability from {before} to {after}"),
    "raises": mark("Blurring the {covered} raises the {label} probability from {before} to {after}"),
}
ELSEWHERE = {
    "leaves": mark("blurring other parts of the same size leaves it at {level} on average"),
    "lowers": mark("blurring other parts of the same size lowers it to {level} on average"),
    "raises": mark("blurring other parts of the same size raises it to {level} on average"),
}


def _way(before: float, after: float) -> str:
    """How a probability went on from ``before`` to ``after``, as far as whole per cent tell."""
    if percent(before) == percent(after):
        return "leaves"
    return "lowers" if after < before else "raises"


PLACES = (
    (mark("upper left"), mark("upper centre"), mark("upper right")),
    (mark("middle left"), mark("centre"), mark("middle right")),
    (mark("lower left"), mark("lower centre"), mark("lower right")),
)
"""Parts of a picture, row by row."""


def place_of_peak(values: np.ndarray) -> str:
    """Where in the picture a map, (rows, columns), is highest, for readers who cannot see it."""
    row, column = np.unravel_index(int(np.argmax(values)), values.shape)
    place = PLACES[int(3 * row / values.shape[0])][int(3 * column / values.shape[1])]
    return say(place)


def receipt(info: SliceInfo) -> tuple[str, ...]:
    """What of a file was left behind, and what becomes of the rest."""
    kept = say("Only the pixels, their size and spacing, and the file's display window were read.")
    if info.dropped:
        names = say(", ").join(map(say, info.dropped))
        left = say("Left behind unread, as it could identify someone: {names}.", names=names)
    else:
        left = say("Nothing else was found in the file that could identify someone.")
    return left, kept, say("The upload is deleted when the page is closed or another file is opened.")


def model_input(shape: tuple[int, ...], unit: Unit) -> str:
    """How the picture that a model was given, (rows, columns), came about from a slice in ``unit``."""
    passed = say("the file's own greys")
    if unit == "HU":
        passed = say(
            "the window of the training pictures (centre {centre:.0f}, width {width:.0f} HU)",
            centre=MODEL_WINDOW.centre,
            width=MODEL_WINDOW.width,
        )
    return say(
        "{rows} x {columns} pixels, in {window}; everything outside the body is black.",
        rows=shape[0],
        columns=shape[1],
        window=passed,
    )
