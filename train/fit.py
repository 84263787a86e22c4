"""Teach the head of one model on one fold, from cached features of its frozen backbone; a minute on two cores.

Two things are taught at once: what tells the classes, by the labels of the cases, and where a lesion is, by lesions
that were drawn into slices (`train.lesions`), densely, at the places of the last feature maps. The first feature map is
the lesion map. On slices of normal cases every place without a drawn lesion is known to have none; on those of other
cases only the drawn lesions are known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from lungapp.models import build_model
from lungapp.registry import LABELS, ModelSpec
from train.backbone import assign, compiled
from train.features import Features
from train.pictures import NORMAL
from train.recipes import Recipe

LESION = np.array([-0.5, -0.5, 1.0], np.float32)
"""What a lesion says of the labels, before `Recipe.lesion_weight`."""

MARKED, UNMARKED = 0.25, 0.03
"""Share of a place from which on it counts as lesion, and up to which as free of it; between them nothing is known."""

CUT = 6.0
"""Value of the lesion map at which a place is as likely lesion as not. Well above 0, so that the rectifier lets
everything through that is not clearly free."""

RARE = 3.0
"""How much more a place with a lesion weighs in the lesion map's loss than one without."""

THAWED = {"basic_cnn": "slice", "resnet50": "conv4_block6_out", "advanced_cnn": "stage3_block2_add"}
"""The layer behind which a whole network is taught; what stands before it is asked once."""

PAIRS = 24
"""Slices a step that are shown twice, as served and from a crop that begins one pixel later."""


def weights_of_slices(labels: np.ndarray, groups: np.ndarray, recipe: Recipe) -> np.ndarray:
    """(n,) float32, of mean 1: what each slice weighs in the loss of the labels."""
    classes = np.unique(np.stack([groups, labels], axis=1), axis=0, return_inverse=True)[1].ravel()
    weights = np.bincount(classes)[classes] ** -float(recipe.group_power)
    totals = np.bincount(labels, weights, minlength=len(LABELS))
    weights *= (totals / len(labels))[labels] ** -float(recipe.class_power)
    return (weights / weights.mean()).astype(np.float32)


class Head:
    """The layers behind a backbone, taken from a whole network, so that what is taught is what is served."""

    def __init__(self, model: keras.Model, recipe: Recipe) -> None:
        self._layers = {layer.name: layer for layer in model.layers}
        self._basic = "neck" not in self._layers
        self._dropout = keras.layers.Dropout(recipe.dropout)
        self._lesion = tf.constant(recipe.lesion_weight * LESION[None])
        names = ("neck_bn", "features", "logits") if self._basic else ("neck_bn", "neck", "features", "logits")
        self.variables = [variable for name in names for variable in self._layers[name].trainable_variables]
        kernel, bias = self._layers["features"].get_weights()
        bias[0] = CUT / 2
        self._layers["features"].set_weights([kernel, bias])

    def __call__(self, maps: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Logits (n, labels) whose lesion part does not teach the lesion map; the same with it; the lesion map
        (n, rows, columns) before its rectifier.
        """
        x = self._layers["neck_bn"](maps, training=training)
        if not self._basic:
            x = self._layers["neck"](x)
        last = self._layers["features"]
        x = ops.conv(x, last.kernel, strides=last.strides, padding=last.padding) + last.bias
        pooled = self._layers["pooled"](ops.relu(x))
        dense = self._layers["logits"]
        others = ops.matmul(self._dropout(pooled[:, 1:], training=training), dense.kernel[1:]) + dense.bias
        centred = pooled[:, :1] - CUT / 2
        taught = others + ops.stop_gradient(centred) * self._lesion
        return taught, ops.matmul(pooled[:, 1:], dense.kernel[1:]) + centred * self._lesion, x[..., 0]

    def finish(self) -> None:
        """Write the lesion map's share into the dense layer, as it is served."""
        dense = self._layers["logits"]
        kernel, bias = dense.get_weights()
        kernel[0] = self._lesion[0]
        dense.set_weights([kernel, bias - CUT / 2 * self._lesion[0]])


def fit(
    spec: ModelSpec,
    backbone: dict[str, np.ndarray],
    features: Features,
    labels: np.ndarray,
    groups: np.ndarray,
    chosen: np.ndarray,
    recipe: Recipe,
    seed: int = 0,
) -> keras.Model:
    """The whole network of ``spec``, its head taught on the slices ``chosen``.

    Parameters
    ----------
    backbone : arrays by their Keras paths, those that made ``features``.
    labels, groups : (slices,) int, of all slices.
    chosen : (m,) int, the places of the slices to learn from.
    """
    keras.utils.set_random_seed(seed)
    model = build_model(spec)
    assign(model, backbone)
    head = Head(model, recipe)
    random = np.random.default_rng(seed)
    own = np.isin(features.kinds, ("as served", "noised", "varied"))
    shown = features.kinds != "moved"
    rows = np.flatnonzero(np.isin(features.slices, chosen) & shown)
    steps = recipe.epochs * (len(rows) // recipe.batch)
    step = _step(head, recipe, steps)
    weights = np.zeros(len(labels), np.float32)
    weights[chosen] = weights_of_slices(labels[chosen], groups[chosen], recipe)
    truth = np.eye(len(LABELS), dtype=np.float32)[labels]
    truth = truth * (1 - recipe.label_smoothing) + recipe.label_smoothing / len(LABELS)
    served = features.rows(np.arange(len(labels)), "as served")
    alike = np.flatnonzero(features.kinds == "moved")
    same = alike[np.argsort(features.slices[alike], kind="stable")].reshape(len(labels), -1)
    for _ in range(recipe.epochs):
        order = random.permutation(rows)
        for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
            batch = order[start : start + recipe.batch]
            some = random.choice(chosen, PAIRS)
            pair = np.concatenate([served[some], same[some, random.integers(same.shape[1], size=PAIRS)]])
            slices = features.slices[batch]
            maps = features.maps[np.concatenate([batch, pair])].astype(np.float32)
            cover = features.lesions[batch].astype(np.float32)
            free = ((labels[slices] == NORMAL)[:, None, None]) & (cover <= UNMARKED)
            known = (free | (cover > MARKED)).astype(np.float32)
            step(*map(tf.constant, (maps, truth[slices], weights[slices] * own[batch], cover > MARKED, known)))
    head.finish()
    return model


def fit_thawed(
    spec: ModelSpec,
    backbone: Mapping[str, np.ndarray],
    inputs: np.ndarray,
    labels: np.ndarray,
    recipe: Recipe,
    seed: int = 0,
) -> keras.Model:
    """The whole network of ``spec``, taught by labels alone from `THAWED` on; what stands before it stays as it is.

    Parameters
    ----------
    inputs : (n, size, size, 1) float32, slices as served.
    labels : (n,) int.
    """
    keras.utils.set_random_seed(seed)
    model = build_model(spec)
    assign(model, backbone)
    first = model.get_layer(THAWED[spec.name]).output
    ask = compiled(keras.Model(model.input, first))
    maps = np.concatenate(
        [ask(inputs[start : start + recipe.batch])[0] for start in range(0, len(inputs), recipe.batch)]
    )
    thawed = keras.Model(first, model.get_layer("logits").output)
    for layer in thawed.layers:  # batches are too small to normalise a body by
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization) or layer.name == "neck_bn"
    model.get_layer("neck_bn").momentum = 0.9  # its averages follow a body that changes
    steps = recipe.epochs * math.ceil(len(inputs) / recipe.batch)
    thawed.compile(
        keras.optimizers.AdamW(_rate(recipe, steps), weight_decay=recipe.weight_decay),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    weights = weights_of_slices(labels, np.arange(len(labels)), recipe)
    thawed.fit(maps, labels, batch_size=recipe.batch, epochs=recipe.epochs, sample_weight=weights, verbose=0)
    return model


def _rate(recipe: Recipe, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Rises for a fifth of the steps and falls as a cosine."""
    return keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / 20,
        max(1, steps - steps // 5),
        warmup_target=recipe.learning_rate,
        warmup_steps=max(1, steps // 5),
    )


def _step(head: Head, recipe: Recipe, steps: int) -> Callable[..., None]:
    optimiser = keras.optimizers.AdamW(_rate(recipe, steps), weight_decay=recipe.weight_decay)
    optimiser.build(head.variables)

    @tf.function(reduce_retracing=True)
    def step(maps: tf.Tensor, truth: tf.Tensor, weights: tf.Tensor, marked: tf.Tensor, known: tf.Tensor) -> None:
        count = tf.shape(truth)[0]
        with tf.GradientTape() as tape:
            taught, whole, lesion = head(maps, training=True)
            loss = 2 * tf.reduce_mean(
                weights * tf.nn.softmax_cross_entropy_with_logits(labels=truth, logits=taught[:count])
            )
            places = tf.nn.weighted_cross_entropy_with_logits(
                labels=tf.cast(marked, tf.float32), logits=lesion[:count] - CUT, pos_weight=RARE
            )
            loss += recipe.lesion_loss * tf.reduce_sum(places * known) / tf.maximum(tf.reduce_sum(known), 1)
            pairs = tf.reshape(whole[count:], (2, PAIRS, -1))
            loss += recipe.steadiness * tf.reduce_mean(tf.square(pairs[0] - pairs[1]))
        gradients = tape.gradient(loss, head.variables)
        optimiser.apply_gradients(zip(gradients, head.variables, strict=True))

    return step
