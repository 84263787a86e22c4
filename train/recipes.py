"""How each model is trained: the stages of its recipe, literally.

Costs are for two CPU cores with bfloat16 (AMX), about 840 training slices; they scale with cores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Stage:
    """One run of the optimiser.

    ``trainable`` is what may change: everything, ResNet-50 from ``conv5`` on, or the head alone. An ``averaged`` stage
    goes on at a constant rate and ends with the average of its weights, which does better than any one of them
    (Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization").
    """

    epochs: int
    learning_rate: float
    trainable: Literal["all", "conv5", "head"] = "all"
    batch: int = 32
    averaged: bool = False


RECIPES: dict[str, tuple[Stage, ...]] = {
    "basic_cnn": (Stage(80, 1e-3, batch=16),),
    "advanced_cnn": (Stage(70, 7e-4, batch=16), Stage(24, 3e-4, batch=16, averaged=True)),
}
"""Seven and nine minutes a run."""

RESNET50_FROM_WEIGHTS = (Stage(4, 1e-3, trainable="head"), Stage(12, 1e-4, trainable="conv5"))
"""Transfer learning from ImageNet or another weights file: frozen backbone, then its last stage.

Not run yet: no pretrained weights could be had, so neither its cost nor its figures are known."""

RESNET50_FROM_SCRATCH = (Stage(2, 1e-3, trainable="head", batch=16), Stage(13, 2e-4, batch=16))
"""The route without pretrained weights: started as an Advanced CNN (`train.net2net`), with a frozen backbone at first,
then trained as a whole. A quarter of an hour a run."""


def recipe(name: str, pretrained: str) -> tuple[Stage, ...]:
    """The stages of model ``name``; only resnet50's depend on ``pretrained`` ("none", "imagenet" or a path)."""
    if name == "resnet50":
        return RESNET50_FROM_SCRATCH if pretrained == "none" else RESNET50_FROM_WEIGHTS
    return RECIPES[name]
