"""How each model is trained: the stages of its recipe, literally.

Costs are for two CPU cores with bfloat16 (AMX), about 840 training slices; they scale with cores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Stage:
    """One run of the optimiser.

    ``trainable`` is what may change: everything, the head alone (frozen backbone), or the ``conv5`` stage and head.
    ``size`` is the side of the input: early stages may be small, the last one is the model's own.
    """

    epochs: int
    learning_rate: float
    size: int = 224
    trainable: Literal["all", "head", "conv5"] = "all"
    batch: int = 32


RECIPES: dict[str, tuple[Stage, ...]] = {
    "basic_cnn": (Stage(60, 1e-3, batch=16),),
    "advanced_cnn": (Stage(80, 7e-4, batch=16),),
}
"""basic_cnn and advanced_cnn: about 5 minutes each."""

RESNET50_FROM_WEIGHTS = (Stage(4, 1e-3, trainable="head"), Stage(12, 1e-4, trainable="conv5"))
"""Transfer learning from ImageNet or another weights file: frozen backbone, then its last stage.

Not run yet: no pretrained weights could be had, so neither its cost nor its figures are known."""

RESNET50_FROM_SCRATCH = (
    Stage(30, 5e-4, size=112, batch=16),
    Stage(6, 3e-4, size=160, batch=16),
    Stage(8, 3e-4, batch=16),
)
"""The route without pretrained weights: everything is trained, first on small pictures, which it learns sooner.

Not run to its end yet: measured were 26 s an epoch at 112 pixels and 63 s at 224, so about half an hour."""


def recipe(name: str, pretrained: str) -> tuple[Stage, ...]:
    """The stages of model ``name``; only resnet50's depend on ``pretrained`` ("none", "imagenet" or a path)."""
    if name == "resnet50":
        return RESNET50_FROM_SCRATCH if pretrained == "none" else RESNET50_FROM_WEIGHTS
    return RECIPES[name]
