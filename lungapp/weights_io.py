"""Weights on disk: one safetensors file a model, kernels in 16 bit, no pickle anywhere. Imports no Keras."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from lungapp.errors import WeightsMismatch

if TYPE_CHECKING:
    import keras


def digest_of(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def variables_of(model: keras.Model) -> dict[str, keras.Variable]:
    """The weights of ``model`` by their Keras paths; dropout's random state is no weight."""
    return {variable.path: variable for variable in model.weights if "seed_generator" not in variable.path}


def tensors_of(model: keras.Model) -> dict[str, np.ndarray]:
    """The weights of ``model`` as they are stored.

    Kernels are float16. Vectors (biases, batch-normalisation statistics) stay float32: they are few, and a running
    variance can exceed float16's 65,504.
    """
    tensors = {}
    for path, variable in variables_of(model).items():
        value = np.asarray(variable).astype(np.float32)
        if value.ndim > 1:
            if np.abs(value).max() > np.finfo(np.float16).max:
                raise ValueError(f"Expected kernels within float16's range. Received: {path}")
            value = value.astype(np.float16)
        tensors[path] = np.ascontiguousarray(value)
    return tensors


def write_weights(model: keras.Model, path: Path) -> None:
    """Write every weight of ``model`` under its Keras path."""
    save_file(tensors_of(model), path)


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays in ``path`` by their Keras paths. Raises `WeightsMismatch` where it is no safetensors file."""
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsMismatch(
            "Expected {file} to be a safetensors file. Received: a damaged one.", file=path.name
        ) from error


def read_weights(model: keras.Model, path: Path) -> None:
    """Fill ``model`` from ``path``. Raises `WeightsMismatch` unless names and shapes are exactly the model's."""
    tensors, variables = read_tensors(path), variables_of(model)
    check_tensors(model.name, {name: tuple(variable.shape) for name, variable in variables.items()}, tensors)
    for name, variable in variables.items():
        variable.assign(tensors[name].astype(np.float32))


def check_tensors(model: str, expected: Mapping[str, tuple[int, ...]], tensors: Mapping[str, np.ndarray]) -> None:
    """Raise `WeightsMismatch` unless ``tensors`` have exactly the ``expected`` names and shapes."""
    received = {name: value.shape for name, value in tensors.items()}
    if expected != received:
        odd = sorted(name for name in expected.keys() | received.keys() if expected.get(name) != received.get(name))
        raise WeightsMismatch(
            "Expected the {expected} tensors of {model}. Received: {received}, {different} of them different, first "
            "{first}",
            expected=len(expected),
            model=model,
            received=len(received),
            different=len(odd),
            first=odd[0],
        )
