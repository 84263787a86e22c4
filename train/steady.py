"""Teach a body to say the same of a picture wherever its grid begins and however noisy it is; no label is told.

Convolutions that skip every second row and column fold fine detail into what comes after, by where the first row
happens to be (Zhang 2019); so does noise. A copy of the body is taught to say what the body itself says of a picture
moved by some pixels. It cannot know by how many, and so learns the average over all of them, as one learns from noisy
aims what is true of them on average (Noise2Noise, Lehtinen et al. 2018). And it is taught to say the same of that
picture with noise and a pixel or two to the side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice

import keras
import numpy as np
import tensorflow as tf

from train.pictures import Crop, Picture, drawn
from train.style import noised

BATCH, RATE = 8, 5e-4
SAID = 50
"""Steps after which what is left unexplained is said."""

REACH = 4
"""Pixels by which the body's picture is moved at most. Nothing of the cavity is lost, since the edge of an input is
empty (`lungapp.preprocessing.EDGE`)."""

ASIDE = 2
"""Pixels by which the second picture of a pair lies aside at most."""

SAMENESS = 16.0
"""How much more the difference within a pair counts than that from the aim."""

Ask = Callable[[np.ndarray], Sequence[np.ndarray]]
"""Pictures (n, size, size, 1) → a list that begins with the maps (n, rows, columns, channels)."""


def moved(picture: np.ndarray, reach: int, random: np.random.Generator) -> np.ndarray:
    """``picture`` (size, size), moved by up to ``reach`` whole pixels each way."""
    return np.roll(picture, random.integers(-reach, reach + 1, 2), (0, 1))


def steady(
    body: keras.Model, ask: Ask, pictures: Sequence[Picture], crops: Sequence[Crop], steps: int, seed: int = 0
) -> None:
    """Teach ``body`` in place; ``ask`` is what it said before. A second and a quarter a step on two cores.

    ``pictures`` are drawn from ``crops``. Normalisations keep their means and variances. What is printed are shares of
    the aims' variance: what is left unexplained, a part of which, that of not knowing by how much a picture was moved,
    stays; and the difference within pairs.
    """
    random = np.random.default_rng(seed)
    losses: list[list[float]] = []
    step, began = _step(body, steps), time.monotonic()
    for greys, _ in drawn(list(islice(cycle(pictures), steps * BATCH)), crops, BATCH):
        squares = greys[..., 0]
        aims = ask(np.stack([moved(square, REACH, random) for square in squares])[..., None])[0]
        if not losses:
            spread = aims.std(axis=(0, 1, 2)) + 1e-3
        aside = [noised(moved(square, ASIDE, random), random) for square in squares]
        pairs = np.stack([*squares, *aside])[..., None]
        losses.append([float(part) for part in step(*map(tf.constant, (pairs, aims, spread)))])
        if len(losses) % SAID == 0:
            unexplained, differing = np.mean(losses[-SAID:], axis=0)
            print(
                f"{len(losses)} of {steps} steps, {time.monotonic() - began:.0f} s, unexplained {unexplained:.3f}, "
                f"pairs differ by {differing:.4f}",
                flush=True,
            )


def _step(body: keras.Model, steps: int) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    for layer in body.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    variables = body.trainable_variables
    rate = keras.optimizers.schedules.CosineDecay(
        RATE / 50, max(1, steps - steps // 10), warmup_target=RATE, warmup_steps=max(1, steps // 10)
    )
    optimiser = keras.optimizers.Adam(rate, global_clipnorm=1.0)
    optimiser.build(variables)

    @tf.function
    def step(pairs: tf.Tensor, aims: tf.Tensor, spread: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            first, second = tf.split(body(pairs, training=True), 2)
            unexplained = tf.reduce_mean(tf.square((first - aims) / spread))
            differing = tf.reduce_mean(tf.square((first - second) / spread))
            loss = unexplained + SAMENESS * differing
        optimiser.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return unexplained, differing

    return step
