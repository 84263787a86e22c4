"""The explanations that ask the model more than once, by tf-keras-vis, each for one class and one picture.

All of them explain the logit and not the probability, whose gradient vanishes where a model is sure. tf-keras-vis 0.8.7
works with Keras 3 on a flat functional model; four things of it are adapted here and nowhere else:

- Grad-CAM++ multiplies by the exponential of the score, which overflows for a large logit. The logit less its own value
  has the same gradient and gives the same map up to a positive scale.
- Score-CAM predicts with Keras' ``predict``, which prints and cannot report; `_Reporting` answers in its place. The
  softmax that Score-CAM then takes is that of the logits, so the weights are the model's uncalibrated probabilities.
- SmoothGrad takes its noise from NumPy's global state, which no server can seed for one request; the noise is ours and
  tf-keras-vis takes the gradient of each noisy copy.
- Its scaling to [0, 1] subtracts the minimum; maps come back unscaled, so that nothing stays nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
from tf_keras_vis.layercam import Layercam
from tf_keras_vis.saliency import Saliency
from tf_keras_vis.scorecam import Scorecam

from lungapp.errors import UnknownMethod

Forward = Callable[[np.ndarray], np.ndarray]
Progress = Callable[[float], None]

SCORECAM_CHANNELS = 64
"""Feature maps that Score-CAM tries, those that vary most over the picture (Faster Score-CAM). All 2048 of ResNet-50
would take over a minute."""

SCORECAM_BATCH = 8

SMOOTHGRAD_SAMPLES, SMOOTHGRAD_NOISE, SMOOTHGRAD_SEED = 16, 0.2, 0
"""Noisy copies, the noise's standard deviation as a share of the picture's range, and where its draw starts: the same
slice gives the same map."""

SMOOTHGRAD_CEILING = 99
"""Per cent. What is above that percentile is cut to it, as in the paper: a few pixels would leave the rest black."""


def explain(
    model: keras.Model,
    target_layer: str,
    forward: Forward,
    picture: np.ndarray,
    index: int,
    method: str,
    progress: Progress | None = None,
) -> np.ndarray:
    """The map of one class by one of the methods.

    Parameters
    ----------
    model : flat, with a layer ``logits``.
    target_layer : the layer whose feature maps the CAM methods weigh.
    forward : pictures (n, size, size, 1) float32 → logits (n, labels); the fast way to the same model.
    picture : (size, size, 1) float32 in [0, 1], the model's input.
    index : of the class, in the order of the logits.
    method : "gradcam_plus_plus" (Chattopadhyay et al. 2018), "scorecam" (Wang et al. 2020), "layercam" (Jiang et al.
        2021) or "smoothgrad" (Smilkov et al. 2017).
    progress : is told the share done, in (0, 1], by the slow methods.

    Returns
    -------
    (rows, columns) float32, finite and at least 0, not scaled: the feature maps' size, or the picture's for SmoothGrad.

    Raises
    ------
    UnknownMethod
    """
    view = _Reporting([model.input], [model.get_layer("logits").output])
    view.answer_with(forward, progress or (lambda share: None))
    if method == "smoothgrad":
        return _smoothgrad(view, picture, index, progress or (lambda share: None))
    layer = {"penultimate_layer": target_layer, "seek_penultimate_conv_layer": False}
    plain = {"expand_cam": False, "normalize_cam": False}
    if method == "gradcam_plus_plus":
        values = GradcamPlusPlus(view, clone=False)(_logit_less_its_value(index), picture[None], **layer, **plain)
    elif method == "layercam":
        values = Layercam(view, clone=False)(_logit(index), picture[None], **layer, **plain)
    elif method == "scorecam":
        most = min(SCORECAM_CHANNELS, model.get_layer(target_layer).output.shape[-1])
        values = Scorecam(view, clone=False)(
            _logit(index), picture[None], batch_size=SCORECAM_BATCH, max_N=most, **layer, **plain
        )
    else:
        raise UnknownMethod(f"Expected a method of tf-keras-vis. Received: {str(method)[:40]!r}")
    return np.asarray(values, np.float32)[0]


class _Reporting(keras.Model):
    """A view of a model whose ``predict`` goes through a function of ours and tells how far it is."""

    def answer_with(self, forward: Forward, progress: Progress) -> None:
        self._answer = (forward, progress)

    def predict(self, pictures: list[np.ndarray], batch_size: int) -> np.ndarray:  # as Score-CAM calls it
        forward, progress = self._answer
        (batch,) = pictures
        answers = []
        for start in range(0, len(batch), batch_size):
            answers.append(forward(batch[start : start + batch_size].astype(np.float32)))
            progress(min(1.0, (start + batch_size) / len(batch)))
        return np.concatenate(answers)


def _logit(index: int) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda logits: logits[..., index]


def _logit_less_its_value(index: int) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda logits: logits[..., index] - tf.stop_gradient(logits[..., index])


def _smoothgrad(view: keras.Model, picture: np.ndarray, index: int, progress: Progress) -> np.ndarray:
    saliency = Saliency(view, clone=False)
    random = np.random.default_rng(SMOOTHGRAD_SEED)
    spread = SMOOTHGRAD_NOISE * float(np.ptp(picture))
    total = np.zeros(picture.shape[:2], np.float32)
    for number in range(1, SMOOTHGRAD_SAMPLES + 1):
        noisy = picture + random.normal(0.0, spread, picture.shape).astype(np.float32)
        total += saliency(_logit(index), noisy[None], normalize_map=False)[0]
        progress(number / SMOOTHGRAD_SAMPLES)
    mean = total / SMOOTHGRAD_SAMPLES
    return np.minimum(mean, np.percentile(mean, SMOOTHGRAD_CEILING))
