"""How each model is trained, literally: the stages of the optimiser and what is done to the pictures.

Every setting can be changed for a trial, ``--set masked=0 --set mixup=0``; docs/trials.md lists what that gave.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from lungapp.errors import InvalidSetting


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training slice; shares and probabilities in [0, 1].

    Attributes
    ----------
    rotation : largest rotation to either side, in degrees.
    zoom : largest relative change of scale; a third of it bounds the shift, as a share of the side.
    window : largest relative change of the window's width, and of its centre as a share of half the width.
    blur : largest standard deviation of a Gaussian blur, in pixels.
    noise : largest standard deviation of added Gaussian noise.
    interpolated : share of the slices drawn towards a neighbour of their group, by half of the way at most.
    masked : share of the slices of which only the lungs are shown, so that the rest is no support to lean on.
    equalised : share of the slices whose noise is brought to about one level, so that the level tells nothing.
    hollow : share of the slices emptied of all that could tell: the lungs filled with plain grey, a band at the body's
        edge, or the noise alone. They are taught to be any class alike.
    mixup : parameter of the Beta distribution two slices and their labels are mixed by (Zhang et al. 2018); 0: not.
    """

    rotation: float = 10.0
    zoom: float = 0.10
    window: float = 0.08
    blur: float = 0.5
    noise: float = 0.015
    interpolated: float = 0.6
    masked: float = 0.0
    equalised: float = 0.0
    hollow: float = 0.0
    mixup: float = 0.0


@dataclass(frozen=True)
class Stage:
    """One run of the optimiser: warm-up, then a rate that falls as a cosine.

    ``trainable`` is what may change: everything, ResNet-50 from ``conv5`` on, or the head alone. An ``averaged`` stage
    ends with the moving average of its weights instead of the epoch that did best on validation: averages do better
    than any one of them (Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization"),
    and a dozen validation groups choose badly. With ``group_head`` the network also learns to name the similarity group
    (`train.group_head`); without, it is trained as it is served.
    """

    epochs: int
    learning_rate: float
    trainable: Literal["all", "conv5", "head"] = "all"
    batch: int = 32
    averaged: bool = False
    group_head: bool = True
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class Recipe:
    """All that decides a run besides its slices.

    ``group_loss`` weighs the loss of the group head against that of the labels. ``class_power`` and ``group_power``: a
    slice weighs the inverse of its class's frequency to the one, and of its similarity group's size to the other, so
    that neither common classes nor long series dominate.
    """

    stages: tuple[Stage, ...]
    group_loss: float = 0.5
    class_power: float = 0.5
    group_power: float = 0.0
    label_smoothing: float = 0.05
    weight_decay: float = 1e-3


LESS_TO_LEAN_ON = Augmentation(rotation=15, window=0.15, blur=1.0, masked=0.5, equalised=0.5, mixup=0.4)
"""Half of the slices show the lungs alone, half have noise of one level: the shortcuts the audit found."""

NOTHING_TO_LEAN_ON = replace(LESS_TO_LEAN_ON, hollow=0.3)
"""The same, and three slices in ten are emptied of all that could tell and taught as such."""


def _weaning(
    epochs: int,
    learning_rate: float,
    trainable: Literal["all", "conv5", "head"] = "all",
    augmentation: Augmentation = LESS_TO_LEAN_ON,
) -> Stage:
    """The last stage: trained as served, on slices that give shortcuts less to stand on."""
    return Stage(epochs, learning_rate, trainable, 16, averaged=True, group_head=False, augmentation=augmentation)


RANDOM_SPLIT: dict[str, Recipe] = {
    "basic_cnn": Recipe((Stage(80, 1e-3, batch=16),)),
    "advanced_cnn": Recipe((Stage(70, 7e-4, batch=16), Stage(24, 3e-4, batch=16, averaged=True))),
    "resnet50": Recipe((Stage(2, 1e-3, trainable="head", batch=16), Stage(13, 2e-4, batch=16))),
}
"""For the image-level protocol, the published habit: no stage takes shortcuts away, as that protocol is there to show
what they give. In its committed runs an averaged stage still kept its rate constant and looked back over ten epochs
(momentum 0.998). ResNet-50's is the route without pretrained weights: it starts as that protocol's Advanced CNN."""

RECIPES: dict[str, Recipe] = {
    "basic_cnn": Recipe((_weaning(60, 1e-3), _weaning(16, 4e-4, augmentation=NOTHING_TO_LEAN_ON)), group_power=0.5),
    "advanced_cnn": Recipe(
        (
            *RANDOM_SPLIT["advanced_cnn"].stages,
            _weaning(8, 2e-4),
            _weaning(12, 3e-4, augmentation=NOTHING_TO_LEAN_ON),
        ),
        group_power=0.5,
    ),
}
"""For the weights that are shipped. What is said above of an averaged stage is true of Advanced CNN's second, too, and
its first three stages were run with a ``group_power`` of 0. The last stage of both was run in mixed bfloat16."""

RESNET50_FROM_WEIGHTS = Recipe(
    (Stage(4, 1e-3, trainable="head"), Stage(12, 1e-4, trainable="conv5"), _weaning(1, 2e-4, "conv5"))
)
"""Transfer learning from ImageNet or another weights file: frozen backbone, then its last stage.

Not run yet: no pretrained weights could be had, so neither its cost nor its figures are known."""

RESNET50_FROM_SCRATCH = Recipe(
    (
        _weaning(1, 1e-3, "head", NOTHING_TO_LEAN_ON),
        _weaning(5, 2e-4, "conv5", NOTHING_TO_LEAN_ON),
    ),
    group_power=0.5,
)
"""The route without pretrained weights: started as the weaned Advanced CNN (`train.net2net`), so that only the head and
the last stage are left to train."""

SHORT: dict[str, Recipe] = {
    "basic_cnn": Recipe((_weaning(20, 1e-3),), group_power=0.5),
    "advanced_cnn": Recipe((_weaning(20, 1e-3),), group_power=0.5),
    "resnet50": Recipe((_weaning(1, 1e-3, "head"), _weaning(2, 3e-4, "conv5")), group_power=0.5),
}
"""For the cross-validation (`train.crossval`): the last stage's pictures from the start, and so few epochs that thirty
runs can be had on two cores. ResNet-50 starts as the fold's Advanced CNN and changes from its fifth stage on alone."""


def recipe(name: str, pretrained: str, protocol: str) -> Recipe:
    """The recipe of model ``name`` under ``protocol``; only resnet50's depends on ``pretrained``.

    That is "none", "imagenet" or the path of a weights file.
    """
    random_split = protocol == "image_level"
    if name == "resnet50" and pretrained != "none":
        chosen = RESNET50_FROM_WEIGHTS
        return replace(chosen, stages=chosen.stages[:-1]) if random_split else chosen
    if random_split:
        return RANDOM_SPLIT[name]
    return RESNET50_FROM_SCRATCH if name == "resnet50" else RECIPES[name]


def changed(base: Recipe, settings: Iterable[str]) -> Recipe:
    """``base`` with settings such as ``"mixup=0.2"`` changed; ``epochs`` and ``learning_rate`` are the last stage's.

    Raises `InvalidSetting` for a name that no recipe has or a value that is no number.
    """
    for setting in settings:
        name, _, text = setting.partition("=")
        try:
            value = float(text)
        except ValueError as error:
            raise InvalidSetting(f"Expected NAME=NUMBER. Received: {setting!r}") from error
        stages = base.stages
        if name in ("epochs", "learning_rate"):
            change: dict[str, Any] = {name: int(value) if name == "epochs" else value}
            base = replace(base, stages=(*stages[:-1], replace(stages[-1], **change)))
        elif name == "group_head":
            base = replace(base, stages=tuple(replace(stage, group_head=value > 0) for stage in stages))
        elif name in {item.name for item in fields(Augmentation)}:
            pictures = [replace(stage.augmentation, **{name: value}) for stage in stages]
            pairs = zip(stages, pictures, strict=True)
            base = replace(base, stages=tuple(replace(stage, augmentation=own) for stage, own in pairs))
        elif name in {item.name for item in fields(Recipe)} - {"stages"}:
            weight: dict[str, Any] = {name: value}
            base = replace(base, **weight)
        else:
            raise InvalidSetting(f"Expected a setting of a recipe (see train/recipes.py). Received: {name!r}")
    return base
