"""SmoothGrad (Smilkov et al. 2017) by tf-keras-vis: the one explanation that needs gradients through the whole network.

It explains the logit and not the probability, whose gradient vanishes where a model is sure. tf-keras-vis 0.8.7 works
with Keras 3 on a flat functional model; two things of it are adapted here and nowhere else:

- It takes its noise from NumPy's global state, which no server can seed for one request; the noise is ours and
  tf-keras-vis takes the gradient of each noisy copy.
- Its scaling to [0, 1] subtracts the minimum; maps come back unscaled, so that nothing stays nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from tf_keras_vis.saliency import Saliency

SAMPLES, NOISE, SEED = 16, 0.2, 0
"""Noisy copies, the noise's standard deviation as a share of the picture's range, and where its draw starts: the same
slice gives the same map."""

CEILING = 99
"""Per cent. What is above that percentile is cut to it, as in the paper: a few pixels would leave the rest black."""


def smoothgrad(
    model: keras.Model, picture: np.ndarray, index: int, progress: Callable[[float], None] | None = None
) -> np.ndarray:
    """The map of one class.

    Parameters
    ----------
    model : flat, with a layer ``logits``.
    picture : (size, size, 1) float32 in [0, 1], the model's input.
    index : of the class, in the order of the logits.
    progress : is told the share done, in (0, 1].

    Returns
    -------
    (size, size) float32, finite and at least 0, not scaled.
    """
    saliency = Saliency(keras.Model([model.input], [model.get_layer("logits").output]), clone=False)
    random = np.random.default_rng(SEED)
    spread = NOISE * float(np.ptp(picture))
    total = np.zeros(picture.shape[:2], np.float32)
    for number in range(1, SAMPLES + 1):
        noisy = picture + random.normal(0.0, spread, picture.shape).astype(np.float32)
        total += saliency(lambda logits: logits[..., index], noisy[None], normalize_map=False)[0]
        if progress:
            progress(number / SAMPLES)
    mean = total / SAMPLES
    return np.minimum(mean, np.percentile(mean, CEILING))
