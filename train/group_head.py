"""A second head, for training only, that names the similarity group of a slice.

Three labels on a few hundred slices say little about what a picture shows; the hundred groups behind them say more, and
networks taught finer classes than they are asked for learn the coarse ones sooner and better (Chen et al. 2018,
"Understanding the Impact of Label Granularity on CNN-Based Image Classification"). Figures: docs/trials.md. It also
teaches them to tell patients apart, which the image-level protocol rewards and the grouped one does not.
"""

from __future__ import annotations

import keras
from keras import layers

from lungapp.models import FLATTENED_SCALE

GROUP_LOSS = 0.5
"""Weight of the group output's loss against that of the labels."""


def with_group_head(model: keras.Model, groups: int) -> keras.Model:
    """``model``, sharing its layers, with the outputs "probabilities" (its own) and "groups" (batch, groups).

    The head reads the feature maps position by position; averaged maps hardly learn the groups.
    """
    x = layers.Rescaling(FLATTENED_SCALE, name="group_scaling")(model.get_layer("features").output)
    x = layers.Dropout(0.3, name="group_dropout")(layers.Flatten(name="group_vector")(x))
    x = layers.Dense(groups, name="group_logits")(x)
    outputs = layers.Softmax(name="groups", dtype="float32")(x)
    return keras.Model(model.input, {"probabilities": model.output, "groups": outputs}, name=model.name)
