"""Where ResNet-50's backbone starts from."""

from __future__ import annotations

from pathlib import Path

import keras

from lungapp.errors import WeightsMismatch, WeightsMissing


def load_backbone(model: keras.Model, source: str) -> None:
    """Fill ``model``'s backbone from ``source``: "imagenet" (downloaded by Keras) or a Keras ``.h5`` weights file.

    Raises
    ------
    WeightsMissing : the download failed or there is no such file; says what to do.
    WeightsMismatch : the file does not hold a ResNet-50 backbone.
    """
    if source != "imagenet":
        path = Path(source)
        if not path.is_file():
            raise WeightsMissing(f"Expected --pretrained to be imagenet, none or a file. Received: {source!r}")
        try:
            backbone = keras.applications.ResNet50(include_top=False, weights=str(path), input_shape=(224, 224, 3))
        except (ValueError, OSError, KeyError) as error:
            raise WeightsMismatch(f"Expected the weights of a ResNet-50 without top in {path.name}.") from error
    else:
        try:
            backbone = keras.applications.ResNet50(include_top=False, weights="imagenet", input_shape=(224, 224, 3))
        except Exception as error:  # urllib, sockets and Keras' own download raise many kinds
            raise WeightsMissing(
                "The ImageNet weights could not be downloaded. Give a file with --pretrained FILE "
                "(resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5 from the Keras project), or train "
                "from scratch with --pretrained none."
            ) from error
    for layer in backbone.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())
