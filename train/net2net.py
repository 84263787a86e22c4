"""A ResNet-50 that starts as a trained Advanced CNN: the way to train it where no pretrained weights can be had.

Fifty layers learn next to nothing from a few hundred slices. Here the smaller network's convolutions are written into
the blocks of the larger one, and the rest of it is left random or silent, so that the larger one begins with the
smaller one's feature maps instead of noise, and is trained on from there (Chen et al. 2016, "Net2Net: Accelerating
Learning via Knowledge Transfer"). The smaller one has seen the same training slices and no others.

A block holds one 3 x 3 convolution with ReLU: one convolution of the teacher, or one half of its max pooling, since
max(a, b) = a + ReLU(b - a) and the block's shortcut brings the a. Only the outermost pixels differ: the teacher's
normalisation is folded into the convolution behind it, which pads.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from lungapp.errors import WeightsMissing
from lungapp.models import GREY_MEAN, GREY_SPREAD, IMAGENET_MEAN_BGR, build_model
from lungapp.registry import get_spec
from lungapp.weights_io import read_weights

TEACHER = "advanced_cnn"

PLAN = {
    "conv2_block1": "stage2_conv1",
    "conv2_block2": "max to the right",
    "conv2_block3": "max downwards",
    "conv3_block1": "stage3_conv1",
    "conv3_block2": "stage3_conv2",
    "conv3_block3": "max to the right",
    "conv3_block4": "max downwards",
    "conv4_block1": "stage4_conv1",
    "conv4_block2": "stage4_conv2",
    "conv4_block3": "features",
    "conv4_block4": "max to the right",
    "conv4_block5": "max downwards",
}
"""Which block of ResNet-50 does the work of which layer of the teacher. The blocks not named start silent."""

FOLDED = {
    "stage2_conv1": "stage1_bn",
    "stage3_conv1": "stage2_bn",
    "stage4_conv1": "stage3_bn",
    "features": "stage4_bn",
}
"""The teacher's normalisation in front of a convolution."""

PICTURES = 48
"""How many training slices the normalisations are set by."""


def grow(model: keras.Model, weights: Path, pictures: np.ndarray) -> None:
    """Make ``model``, a fresh ResNet-50, start with the feature maps of the teacher in the file ``weights``.

    The first 256 of its 2,048 features are then the teacher's, max-pooled by 2. ``pictures`` (n, size, size, 1) float32
    in [0, 1] are training slices, of the size both networks take. Raises `WeightsMissing` where there is no such file.
    """
    if not weights.is_file():
        raise WeightsMissing(
            f"Expected a trained {TEACHER} to start from, of the same protocol and seed. Received: no {weights}"
        )
    teacher = build_model(replace(get_spec(TEACHER), size=model.input.shape[1]))
    read_weights(teacher, weights)
    _Growth(model, teacher).run()
    _set_normalisation(model, pictures[:: max(1, len(pictures) // PICTURES)])


class _Growth:
    """Writes a teacher's convolutions into a student's blocks; keeps count of which channels hold its maps."""

    def __init__(self, student: keras.Model, teacher: keras.Model):
        self.student, self.teacher = student, teacher

    def run(self) -> None:
        for layer in self.student.layers:
            if layer.name.endswith("_3_bn"):
                layer.gamma.assign(ops.zeros_like(layer.gamma))
        here = self._stem()
        for block, work in PLAN.items():
            kernel, bias = _maximum(len(here), work) if work.startswith("max") else self._folded(work)
            if block.endswith("block1"):
                there = np.arange(kernel.shape[-1])
            else:
                there = here if work.startswith("max") else here[-1] + 1 + np.arange(kernel.shape[-1])
            inside, outside = np.arange(kernel.shape[-2]), np.arange(kernel.shape[-1])
            self._write(f"{block}_1", here, inside, _identity(len(here)))
            self._write(f"{block}_2", inside, outside, kernel, bias)
            self._write(f"{block}_3", outside, there, _identity(len(there)))
            if not work.startswith("max"):
                self._silence(f"{block[:5]}_block1_0_bn", there)
            here = there
        self._write("conv5_block1_0", here, np.arange(len(here)), _identity(len(here)))

    def _stem(self) -> np.ndarray:
        """The first convolution: 5 x 5 in the lower right of 7 x 7, from one grey to three scaled channels."""
        kernel, bias = self.teacher.get_layer("stage1_conv1").get_weights()
        scale = GREY_SPREAD * 255 * len(IMAGENET_MEAN_BGR)
        wide = np.pad(np.repeat(kernel / scale, 3, axis=2), ((2, 0), (2, 0), (0, 0), (0, 0)))
        shift = (np.mean(IMAGENET_MEAN_BGR) / 255 - GREY_MEAN) / GREY_SPREAD
        channels = np.arange(kernel.shape[-1])
        self._write("conv1", np.arange(3), channels, wide, bias + shift * kernel.sum(axis=(0, 1, 2)))
        return channels

    def _folded(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        kernel, bias = self.teacher.get_layer(name).get_weights()
        if name in FOLDED:
            layer = self.teacher.get_layer(FOLDED[name])
            gamma, beta, mean, variance = layer.get_weights()
            scale = gamma / np.sqrt(variance + layer.epsilon)
            bias = bias + np.einsum("hwio,i->o", kernel, beta - mean * scale)
            kernel = kernel * scale[:, None]
        return kernel, bias

    def _write(self, name: str, reads: np.ndarray, writes: np.ndarray, kernel: np.ndarray, bias: object = 0.0) -> None:
        """Let the channels ``writes`` of a convolution depend on its inputs ``reads`` alone, and mark them as kept."""
        convolution, normalisation = self.student.get_layer(f"{name}_conv"), self.student.get_layer(f"{name}_bn")
        all_kernel, all_bias = convolution.get_weights()
        all_kernel[..., writes] = 0
        all_kernel[:, :, reads[:, None], writes] = kernel
        all_bias[writes] = bias
        convolution.set_weights([all_kernel, all_bias])
        gamma, *others = normalisation.get_weights()
        gamma[writes] = KEPT
        normalisation.set_weights([gamma, *others])

    def _silence(self, name: str, channels: np.ndarray) -> None:
        layer = self.student.get_layer(name)
        gamma, *others = layer.get_weights()
        gamma[channels] = 0
        layer.set_weights([gamma, *others])


KEPT = -1.0
"""Mark, in place of a normalisation's scale, of a channel that is to pass it unchanged."""


def _identity(channels: int) -> np.ndarray:
    return np.eye(channels, dtype=np.float32)[None, None]


def _maximum(channels: int, direction: str) -> tuple[np.ndarray, float]:
    """The 3 x 3 kernel of (neighbour - itself), channel by channel."""
    kernel = np.zeros((3, 3, channels, channels), np.float32)
    kernel[1, 1] = -np.eye(channels)
    kernel[(1, 2) if direction == "max to the right" else (2, 1)] = np.eye(channels)
    return kernel, 0.0


class _Measuring(layers.BatchNormalization):
    """Normalises by the batch, but for kept channels, and takes over what the batch shows."""

    def call(self, inputs, training=None, mask=None):
        mean, variance = ops.moments(inputs, axes=(0, 1, 2))
        deviation = ops.sqrt(variance + self.epsilon)
        kept = ops.equal(self.gamma, KEPT)
        self.beta.assign(ops.where(kept, mean, self.beta))
        self.gamma.assign(ops.where(kept, deviation, self.gamma))
        self.moving_mean.assign(mean)
        self.moving_variance.assign(variance)
        return (inputs - mean) / deviation * self.gamma + self.beta


def _set_normalisation(model: keras.Model, pictures: np.ndarray) -> None:
    """One pass of ``pictures`` (n, 224, 224, 1) sets the statistics of every normalisation, in float32."""

    def clone(layer: layers.Layer) -> layers.Layer:
        kind = _Measuring if isinstance(layer, layers.BatchNormalization) else type(layer)
        return kind.from_config(layer.get_config() | {"dtype": "float32"})

    measuring = keras.models.clone_model(model, clone_function=clone)
    measuring.set_weights(model.get_weights())
    measuring(pictures)
    model.set_weights(measuring.get_weights())
