"""How the heads are taught, literally: one recipe for all three models, and one variation for the image-level protocol.

Every setting can be changed for a trial, ``python -m train.crossval MODEL --set lesion_weight=4``; docs/trials.md lists
what that gave.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from lungapp.errors import InvalidSetting


@dataclass(frozen=True)
class Recipe:
    """All that decides how a head is taught, besides its slices.

    Attributes
    ----------
    epochs, batch, learning_rate, weight_decay : of AdamW, with a rate that rises for a fifth of the steps and falls as
        a cosine.
    lesion_weight : how much the lesion map's average counts in the logits, for malignant and half as much against the
        others. It is set, not learnt: the labels of this dataset are told as well by the scanner, and would leave
        lesions nothing to say.
    lesion_loss : weighs the loss of the lesion map against that of the labels.
    steadiness : weighs the mean square by which one pixel of the crop moves the logits.
    dropout : share of the averages left out.
    label_smoothing : share of a label spread over all.
    thawed : 1 teaches the network itself, from its middle on (`train.fit.THAWED`), labels and nothing else; 0 the head
        alone.
    class_power, group_power : a slice weighs the inverse of its class's frequency to the one, and of its similarity
        group's size to the other, so that neither common classes nor long series dominate.
    """

    epochs: int = 12
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    lesion_weight: float = 2.0
    lesion_loss: float = 4.0
    steadiness: float = 64.0
    dropout: float = 0.1
    label_smoothing: float = 0.02
    class_power: float = 0.5
    group_power: float = 0.5
    thawed: int = 0


GROUPED = Recipe()
"""For the grouped folds, and so for the weights that are shipped."""

IMAGE_LEVEL = Recipe(
    epochs=40,
    batch=32,
    learning_rate=1e-3,
    weight_decay=1e-3,
    lesion_weight=0.0,
    lesion_loss=0.0,
    steadiness=0.0,
    dropout=0.0,
    label_smoothing=0.0,
    group_power=0.0,
    thawed=1,
)
"""For the image-level folds, which reward memory: the network is thawed, and nothing that holds memory back is used."""


def recipe(protocol: str) -> Recipe:
    """The recipe of ``protocol``."""
    return IMAGE_LEVEL if protocol == "image_level" else GROUPED


def changed(base: Recipe, settings: Iterable[str]) -> Recipe:
    """``base`` with settings such as ``"lesion_weight=4"`` changed.

    Raises `InvalidSetting` for a name that no recipe has or a value that is no number.
    """
    kinds = {field.name: type(getattr(GROUPED, field.name)) for field in fields(Recipe)}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in kinds:
            raise InvalidSetting(f"Expected a setting of a recipe (see train/recipes.py). Received: {name!r}")
        try:
            base = replace(base, **{name: kinds[name](text)})
        except ValueError as error:
            raise InvalidSetting(f"Expected NAME=NUMBER. Received: {setting!r}") from error
    return base
