"""Hints from a trained Advanced CNN for a ResNet-50 that starts from nothing.

Fifty layers learn next to nothing from three labels on a few hundred slices. A smaller network that has learnt them has
an opinion about every position of every picture, at every scale: matching its feature maps gives each stage of the
student something to learn from the first step on (Romero et al. 2015, "FitNets: Hints for Thin Deep Nets"). The teacher
saw the same training slices and no others. Figures: docs/trials.md.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from lungapp.errors import WeightsMissing
from lungapp.models import build_model
from lungapp.registry import get_spec
from lungapp.weights_io import read_weights

TEACHER = "advanced_cnn"

HINT_LOSS = 3.0
"""Weight of the mean distance from the hints against the labels' loss."""

HINTS = {
    "conv2_block3_out": "stage1_bn",
    "conv3_block4_out": "stage2_bn",
    "conv4_block6_out": "stage4_bn",
    "features": "features",
}
"""Layers of ResNet-50, and the layers of the teacher whose maps they are to foretell."""


class HintDistance(layers.Layer):
    """How far a student's maps are from a teacher's, as a mean over the hints: (batch,) float32.

    Called with the picture and the student's maps. A 1 x 1 convolution of its own brings each map to the teacher's
    channels; the teacher's maps are brought to mean 0 and variance 1 over all channels, and averaged where the
    student's are coarser, so that 1 is what a constant would reach. The teacher is not a part of the layer: its
    weights are neither trained nor saved.
    """

    def __init__(self, weights: Path, pictures: np.ndarray, **options):
        """``pictures`` (n, 224, 224, 1) serve to measure the teacher's maps. Raises `WeightsMissing`."""
        super().__init__(**options)
        if not weights.is_file():
            raise WeightsMissing(
                f"Expected a trained {TEACHER} as teacher, of the same protocol and seed. Received: no {weights}"
            )
        model = build_model(get_spec(TEACHER))
        read_weights(model, weights)
        teacher = keras.Model(model.input, [model.get_layer(name).output for name in HINTS.values()])
        maps = [found.astype(np.float32) for found in teacher.predict(pictures, verbose=0)]
        means = [found.mean(axis=(0, 1, 2)) for found in maps]
        spreads = [np.sqrt(found.var(axis=(0, 1, 2)).mean()) for found in maps]  # a channel's own may be 0

        def taught(picture):
            found = (ops.cast(x, "float32") for x in teacher(picture, training=False))
            return [(x - mean) / spread for x, mean, spread in zip(found, means, spreads, strict=True)]

        self._taught = taught
        self._channels = [len(mean) for mean in means]

    def build(self, shapes):
        self.adapters = [layers.Conv2D(channels, 1, dtype="float32") for channels in self._channels]
        for adapter, shape in zip(self.adapters, shapes[1:], strict=True):
            adapter.build(shape)

    def call(self, inputs):
        picture, *maps = inputs
        distances = []
        for adapter, x, taught in zip(self.adapters, maps, self._taught(picture), strict=True):
            step = taught.shape[1] // x.shape[1]
            if step > 1:
                taught = ops.average_pool(taught, step, step)
            distances.append(ops.mean(ops.square(adapter(x) - taught), axis=(1, 2, 3)))
        return sum(distances) / len(distances)


def with_hints(model: keras.Model, weights: Path, pictures: np.ndarray) -> keras.Model:
    """``model`` (outputs a dict), sharing its layers, with the further output "hints": (batch,), to be brought to 0."""
    distance = HintDistance(weights, pictures, name="hints", dtype="float32")
    maps = [model.get_layer(name).output for name in HINTS]
    return keras.Model(model.input, model.output | {"hints": distance([model.input, *maps])}, name=model.name)
