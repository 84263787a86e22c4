"""The three networks as ONNX graphs without weights, which the application serves.

    python -m train.graphs        (after a change of lungapp/models.py; needs no weights and no data)

A graph yields the feature maps and the logits in one pass. Its weights are inputs of it, named and laid out as in the
weights files, so that one graph fits every training of a network. It says what `lungapp.models` says and nothing else:
a test writes it anew and compares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import onnx
from onnx import TensorProto, helper

from lungapp.models import build_model
from lungapp.registry import MODELS, ModelSpec
from lungapp.runtime import GRAPHS, PICTURES
from lungapp.weights_io import variables_of

OPSET, IR_VERSION = 17, 8
"""Old enough for every reader in use."""

CHANNELS_LAST, KERNEL, DEPTHWISE_KERNEL = (0, 2, 3, 1), (3, 2, 0, 1), (2, 3, 0, 1)
"""ONNX has channels first: from there to Keras' order, and for kernels from Keras' (rows, columns, in, out)."""


def outputs_of(model: keras.Model, spec: ModelSpec) -> dict[str, Any]:
    """The tensors that a graph yields, by their names, in their order."""
    named = {"features": spec.target_layer, "logits": "logits"}
    return {name: model.get_layer(layer).output for name, layer in named.items()}


def to_onnx(model: keras.Model, spec: ModelSpec) -> onnx.ModelProto:
    """``model`` as an ONNX graph. Raises ValueError for a kind of layer that none of the networks has."""
    outputs = outputs_of(model, spec)
    view = keras.Model(model.input, list(outputs.values()))
    writer = _Writer()
    writer.names[id(view.input)] = PICTURES
    for depth in sorted(view._nodes_by_depth, reverse=True):
        for node in view._nodes_by_depth[depth]:
            if not node.is_input:
                writer.write(node)
    for name, tensor in outputs.items():
        own = writer.names[id(tensor)]
        spatial = len(tensor.shape) == 4
        writer.add("Transpose" if spatial else "Identity", [own], name, **({"perm": CHANNELS_LAST} if spatial else {}))
    variables = variables_of(view)
    graph = helper.make_graph(
        writer.nodes,
        spec.name,
        [
            _described(PICTURES, ("n", 1, spec.size, spec.size)),
            *(_described(path, v.shape) for path, v in variables.items()),
        ],
        [_described(name, ("n", *tensor.shape[1:])) for name, tensor in outputs.items()],
        writer.constants,
    )
    found = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(found, full_check=True)
    return found


def _described(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


class _Writer:
    """Nodes and constants so far; ``names`` gives each Keras tensor's name in the graph. Pictures and feature maps are
    (n, channels, rows, columns) there, all else as in Keras.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.names: dict[int, str] = {}

    def add(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """A node; the name of its output."""
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, values: Any, kind: type = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def write(self, node: Any) -> None:
        """The ONNX nodes of one Keras node."""
        layer, inputs = node.operation, node.arguments.keras_tensors
        kind = type(layer).__name__
        if kind not in WRITERS:
            raise ValueError(f"Expected a layer out of: {', '.join(WRITERS)}. Received: {kind}.")
        names = [self.names[id(tensor)] for tensor in inputs]
        self.names[id(node.outputs[0])] = WRITERS[kind](self, layer, names, len(inputs[0].shape))


def _rescaling(writer: _Writer, layer: Any, names: list[str], rank: int) -> str:
    scaled = writer.add("Mul", [names[0], writer.constant(layer.scale)])
    offset = np.asarray(layer.offset, np.float32)
    if not offset.any():
        return scaled
    return writer.add("Add", [scaled, writer.constant(offset.reshape(-1, 1, 1) if offset.ndim else offset)])


def _concatenate(writer: _Writer, layer: Any, names: list[str], rank: int) -> str:
    _expect(layer, axis=-1)
    return writer.add("Concat", names, axis=1 if rank == 4 else -1)


def _convolution(writer: _Writer, layer: Any, names: list[str], rank: int) -> str:
    _expect(layer, dilation_rate=(1, 1), groups=1)
    kernel = writer.add("Transpose", [layer.kernel.path], perm=KERNEL)
    bias = [layer.bias.path] if layer.use_bias else []
    found = writer.add(
        "Conv", [names[0], kernel, *bias], strides=layer.strides, kernel_shape=layer.kernel_size, auto_pad=_pad(layer)
    )
    return _activated(writer, layer, found)


def _depthwise_convolution(writer: _Writer, layer: Any, names: list[str], rank: int) -> str:
    _expect(layer, dilation_rate=(1, 1), depth_multiplier=1, use_bias=False)
    kernel = writer.add("Transpose", [layer.kernel.path], perm=DEPTHWISE_KERNEL)
    convolved = writer.add(
        "Conv",
        [names[0], kernel],
        strides=layer.strides,
        kernel_shape=layer.kernel_size,
        auto_pad=_pad(layer),
        group=layer.kernel.shape[2],
    )
    return _activated(writer, layer, convolved)


def _clipped(writer: _Writer, layer: Any, names: list[str], rank: int) -> str:
    _expect(layer, negative_slope=0, threshold=0)
    return writer.add("Clip", [names[0], writer.constant(0), writer.constant(layer.max_value)])


def _log_mean_exp(writer: _Writer, layer: Any, names: list[str], rank: int) -> str:
    highest = writer.add("ReduceMax", names, axes=[2, 3], keepdims=1)
    exponentials = writer.add("Exp", [writer.add("Sub", [names[0], highest])])
    mean = writer.add("Log", [writer.add("ReduceMean", [exponentials], axes=[2, 3], keepdims=1)])
    return writer.add("Squeeze", [writer.add("Add", [mean, highest]), writer.constant([2, 3], np.int64)])


def _max_pooling(writer: _Writer, layer: Any, names: list[str], rank: int) -> str:
    sizes = {"kernel_shape": layer.pool_size, "strides": layer.strides}
    *_, activated, padded = writer.nodes
    if (activated.op_type, padded.op_type) == ("Relu", "Pad") and [*activated.output] == [padded.input[0]]:
        # Zeros around what is nowhere below 0 change no maximum, and the pooling's own margin costs no copy.
        _expect(layer, padding="valid")
        margin = onnx.numpy_helper.to_array(writer.constants.pop())
        writer.nodes.pop()
        return writer.add("MaxPool", activated.output, **sizes, pads=[*margin[2:4], *margin[6:8]])
    return writer.add("MaxPool", names, **sizes, auto_pad=_pad(layer))


def _zero_padding(writer: _Writer, layer: Any, names: list[str], rank: int) -> str:
    (top, bottom), (left, right) = layer.padding
    return writer.add("Pad", [names[0], writer.constant([0, 0, top, left, 0, 0, bottom, right], np.int64)])


def _batch_normalisation(writer: _Writer, layer: Any, names: list[str], rank: int) -> str:
    _expect(layer, axis=-1 if layer.axis == -1 else rank - 1, scale=True, center=True)
    weights = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    return writer.add("BatchNormalization", [names[0], *(w.path for w in weights)], epsilon=layer.epsilon)


def _activation(writer: _Writer, layer: Any, names: list[str], rank: int) -> str:
    return _activated(writer, layer, names[0])


def _add(writer: _Writer, layer: Any, names: list[str], rank: int) -> str:
    return writer.add("Add", names)


def _dense(writer: _Writer, layer: Any, names: list[str], rank: int) -> str:
    product = writer.add("MatMul", [names[0], layer.kernel.path])
    return _activated(writer, layer, writer.add("Add", [product, layer.bias.path]))


def _activated(writer: _Writer, layer: Any, name: str) -> str:
    activation = layer.activation.__name__
    if activation not in ("relu", "linear"):
        raise ValueError(f"Expected relu or linear in {layer.name}. Received: {activation}.")
    return writer.add("Relu", [name]) if activation == "relu" else name


def _pad(layer: Any) -> str:
    return {"same": "SAME_UPPER", "valid": "VALID"}[layer.padding]


def _expect(layer: Any, **values: Any) -> None:
    for key, value in values.items():
        if getattr(layer, key) != value:
            raise ValueError(f"Expected {key} {value} in {layer.name}. Received: {getattr(layer, key)}.")


WRITERS: dict[str, Callable[[_Writer, Any, list[str], int], str]] = {
    "Activation": _activation,
    "Add": _add,
    "BatchNormalization": _batch_normalisation,
    "Concatenate": _concatenate,
    "Conv2D": _convolution,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise_convolution,
    "LogMeanExp": _log_mean_exp,
    "MaxPooling2D": _max_pooling,
    "ReLU": _clipped,
    "Rescaling": _rescaling,
    "ZeroPadding2D": _zero_padding,
}
"""How each kind of layer is written: writer, layer, names of its inputs, rank of the first → name of its output."""


def main() -> None:
    for spec in MODELS:
        path = GRAPHS / f"{spec.name}.onnx"
        path.write_bytes(to_onnx(build_model(spec), spec).SerializeToString(deterministic=True))
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
