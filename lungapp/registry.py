"""The three models, as a literal tuple. Nothing is registered at run time."""

from __future__ import annotations

from dataclasses import dataclass

from lungapp.errors import UnknownModel
from lungapp.texts import mark

LABELS: tuple[str, ...] = (mark("normal"), mark("benign"), mark("malignant"))
"""Class labels in the order of every score vector; each card stores them beside its scores."""


@dataclass(frozen=True)
class ModelSpec:
    """What must be known about a model before its weights are loaded.

    ``size`` is the side of the square input in pixels; inputs are (size, size, 1) float32 in [0, 1].
    ``target_layer`` names the layer whose feature maps the activation map is made of.
    """

    name: str
    title: str
    summary: str
    size: int = 224
    target_layer: str = "features"
    labels: tuple[str, ...] = LABELS

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return (self.size, self.size, 1)


MODELS: tuple[ModelSpec, ...] = (
    ModelSpec("basic_cnn", "Basic CNN", mark("Three convolution layers: a small, quick reference.")),
    ModelSpec("resnet50", "ResNet-50", mark("The standard 50-layer residual network.")),
    ModelSpec("advanced_cnn", "Advanced CNN", mark("Inverted residual blocks that start from ImageNet, quick.")),
)

DEFAULT_MODEL = "advanced_cnn"


def get_spec(name: str) -> ModelSpec:
    """The spec called ``name``. Raises `UnknownModel`."""
    for spec in MODELS:
        if spec.name == name:
            return spec
    known = ", ".join(spec.name for spec in MODELS)
    raise UnknownModel(
        "Expected a model name out of: {known}. Received: {name}", known=known, name=repr(str(name)[:40])
    )
