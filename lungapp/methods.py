"""The ways to explain a score: what the engine accepts, the page offers and the documents name. Free of TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

from lungapp.errors import UnknownMethod


@dataclass(frozen=True)
class Method:
    """One way to explain: its code ``name``, its ``title``, a ``sentence`` for clinicians, whether it takes seconds."""

    name: str
    title: str
    sentence: str
    slow: bool = False


METHODS: tuple[Method, ...] = (
    Method(
        "gradcam",
        "Grad-CAM",
        "Colours the areas whose features speak for the class; comes with the score, at no cost.",
    ),
    Method(
        "gradcam_plus_plus",
        "Grad-CAM++",
        "Like Grad-CAM, but gives each of several separate areas its own weight; leaves out what speaks against.",
    ),
    Method(
        "scorecam",
        "Score-CAM",
        "Shows the model one part of the slice at a time and weighs each by the probability it gives alone.",
        slow=True,
    ),
    Method(
        "layercam",
        "Layer-CAM",
        "Weighs every position on its own and colours only what speaks for the class; marks places more closely.",
    ),
    Method(
        "smoothgrad",
        "SmoothGrad",
        "Marks single pixels to which the score is most sensitive, for or against the class, averaged over noisy copies.",
        slow=True,
    ),
)

DEFAULT_METHOD = METHODS[0].name


def get_method(name: str) -> Method:
    """The method called ``name``. Raises `UnknownMethod`."""
    for method in METHODS:
        if method.name == name:
            return method
    known = ", ".join(method.name for method in METHODS)
    raise UnknownMethod(f"Expected an explanation method out of: {known}. Received: {str(name)[:40]!r}")
