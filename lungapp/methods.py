"""The ways to explain a score: what the engine accepts, the page offers and the documents name."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from lungapp.errors import UnknownMethod
from lungapp.texts import mark


@dataclass(frozen=True)
class Method:
    """One way to explain: its code ``name``, its ``title``, and a ``sentence`` for clinicians.

    ``slow`` ones take seconds; ``gradients`` says that it needs those, and with them Keras' own model and TensorFlow.
    """

    name: str
    title: str
    sentence: str
    slow: bool = False
    gradients: bool = False


METHODS: tuple[Method, ...] = (
    Method(
        "gradcam",
        "Grad-CAM",
        mark("Colours the areas whose features speak for the class; it comes with the score, at no cost."),
    ),
    Method(
        "gradcam_plus_plus",
        mark("Grad-CAM++"),
        mark(
            "Like Grad-CAM, without what speaks against the class; in these models it comes to the same as Layer-CAM."
        ),
    ),
    Method(
        "scorecam",
        "Score-CAM",
        mark("Weighs features by the probability they get when shown alone; here it hardly differs between classes."),
        slow=True,
    ),
    Method(
        "layercam",
        "Layer-CAM",
        mark("Colours whatever speaks for the class, even where more speaks against it; it comes with the score too."),
    ),
    Method(
        "smoothgrad",
        "SmoothGrad",
        mark("Marks the pixels that the score reacts to most, for or against the class, averaged over noisy copies."),
        slow=True,
        gradients=True,
    ),
)

DEFAULT_METHOD = "gradcam"
"""The explanation that page, API and command line give unless another is asked for: the one whose maps pass their test
most often on held-out slices, by the table in docs/maps.md (`benchmarks.maps`)."""

GRADIENT_LIBRARIES = ("tensorflow", "keras", "tf_keras_vis")

WITHOUT_TENSORFLOW = mark("SmoothGrad is absent: it needs TensorFlow, which this server was set up without.")


def has_tensorflow() -> bool:
    """Whether the libraries for gradients are installed (requirements-serve.txt leaves them out); imports none."""
    return all(find_spec(name) for name in GRADIENT_LIBRARIES)


def available_methods() -> tuple[Method, ...]:
    """The methods that this installation can carry out."""
    present = has_tensorflow()
    return tuple(method for method in METHODS if present or not method.gradients)


def get_method(name: str) -> Method:
    """The method called ``name``. Raises `UnknownMethod` where there is none, or none of it here."""
    available = available_methods()
    for method in available:
        if method.name == name:
            return method
    known = ", ".join(method.name for method in available)
    if name in {method.name for method in METHODS}:
        raise UnknownMethod(
            "Expected an explanation method out of: {known}. Received: {name}. It needs TensorFlow, which this "
            "server was set up without.",
            known=known,
            name=repr(name),
        )
    raise UnknownMethod(
        "Expected an explanation method out of: {known}. Received: {name}", known=known, name=repr(str(name)[:40])
    )
