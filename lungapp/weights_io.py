"""Weights on disk: one safetensors file a model, kernels in 16 bit, no pickle anywhere."""

from __future__ import annotations

import hashlib
from pathlib import Path

import keras
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from lungapp.errors import WeightsMismatch


def digest_of(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_weights(model: keras.Model, path: Path) -> None:
    """Write every variable of ``model`` under its Keras path.

    Kernels are stored as float16. Vectors (biases, batch-normalisation statistics) stay float32: they are few, and a
    running variance can exceed float16's 65,504.
    """
    tensors = {}
    for variable in _variables(model):
        value = keras.ops.convert_to_numpy(variable).astype(np.float32)
        if variable.ndim > 1:
            if np.abs(value).max() > np.finfo(np.float16).max:
                raise ValueError(f"Expected kernels within float16's range. Received: {variable.path}")
            value = value.astype(np.float16)
        tensors[variable.path] = np.ascontiguousarray(value)
    save_file(tensors, path)


def read_weights(model: keras.Model, path: Path) -> None:
    """Fill ``model`` from ``path``. Raises `WeightsMismatch` unless names and shapes are exactly the model's."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsMismatch(
            "Expected {file} to be a safetensors file. Received: a damaged one.", file=path.name
        ) from error
    variables = _variables(model)
    expected = {variable.path: tuple(variable.shape) for variable in variables}
    received = {name: value.shape for name, value in tensors.items()}
    if expected != received:
        odd = sorted(name for name in expected.keys() | received.keys() if expected.get(name) != received.get(name))
        raise WeightsMismatch(
            "Expected the {expected} tensors of {model}. Received: {received}, {different} of them different, first "
            "{first}",
            expected=len(expected),
            model=model.name,
            received=len(received),
            different=len(odd),
            first=odd[0],
        )
    for variable in variables:
        variable.assign(tensors[variable.path].astype(np.float32))


def _variables(model: keras.Model) -> list[keras.Variable]:
    # Dropout's random state is no weight.
    return [variable for variable in model.weights if "seed_generator" not in variable.path]
