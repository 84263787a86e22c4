"""A network's graph on OpenVINO, which serves the models: no Keras, no TensorFlow.

The graphs in ``lungapp/graphs/`` hold no weights (`train.graphs` writes them); those come from the weights files, by
name. Against TensorFlow on the same weights, OpenVINO starts in a tenth of the time, takes a fifth of the memory and is
faster (docs/speed.md); that both agree to 1e-4 is tested.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import openvino
from openvino import opset13

from lungapp.weights_io import check_tensors

GRAPHS = Path(__file__).with_name("graphs")

EXACT, FAST = "f32", "bf16"
"""What a graph may be computed in. bf16 is nearly twice as fast where the processor has instructions for it."""

IN_FAST = ("resnet50",)
"""Models that bf16 is for, and of which the stem, up to the first pooling, stays in float32 all the same: bf16 would
keep 8 binary digits of a slice's greys. The others are quick as they are, and stay in float32."""

LANES = 4
"""The most lanes for a crowd; with more cores each has several threads."""

CPUINFO = Path("/proc/cpuinfo")

PICTURES = "slice"
"""The graphs' input that is no weight: (n, 1, size, size) float32. With the one channel last, OpenVINO takes many
times as long to scale the greys."""

Graph = Callable[[np.ndarray], list[np.ndarray]]
"""Pictures (n, size, size, 1) float32 → the graph's outputs, (n, …) float32 each: features and logits.

To be called by one thread at a time."""


def open_graphs(
    name: str, tensors: Mapping[str, np.ndarray], precision: str = EXACT, threads: int = 0
) -> tuple[Graph, ...]:
    """The graph of the model ``name`` with its weights, compiled: for who is alone, and for a crowd.

    Parameters
    ----------
    tensors : float16 or float32 arrays by their Keras paths, laid out as Keras has them.
    precision : `EXACT`, or `FAST` for the models in `IN_FAST`.
    threads : of the processor; as many as it has cores where 0.

    Returns
    -------
    First one graph that spreads over all threads. Where these are several, then lanes, up to `LANES`, that have a share
    of the threads each and may run beside one another: together they answer more slices a second, since none waits for
    threads that are busy elsewhere, but each of them later.

    Raises
    ------
    WeightsMismatch : names or shapes are not exactly the graph's.
    """
    core = openvino.Core()
    model = core.read_model(GRAPHS / f"{name}.onnx")
    _fill(model, name, tensors)
    precisions, parts = [EXACT], [model]
    if precision == FAST and name in IN_FAST:
        precisions, parts = [EXACT, FAST], _at_first_pooling(model)
    graphs: list[Graph] = []
    lanes = min(LANES, threads or os.cpu_count() or 1)
    for streams in (1, lanes) if lanes > 1 else (1,):
        # Pinned to cores, several processes would all take the same ones.
        options = {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
        compiled = [
            core.compile_model(part, "CPU", {**options, "INFERENCE_PRECISION_HINT": way})
            for part, way in zip(parts, precisions, strict=True)
        ]
        graphs += [_graph([part.create_infer_request() for part in compiled]) for _ in range(streams)]
    return tuple(graphs)


def _graph(requests: Sequence[openvino.InferRequest]) -> Graph:
    def run(pictures: np.ndarray) -> list[np.ndarray]:
        values = channel_first(pictures)
        for request in requests:
            request.infer([values], share_inputs=True)
            values = request.output_tensors[0].data
        return [np.array(tensor.data) for tensor in requests[-1].output_tensors]  # the next call overwrites them

    return run


def channel_first(pictures: np.ndarray) -> np.ndarray:
    """(n, size, size, 1) → (n, 1, size, size) float32, as the graphs take pictures; nothing is copied."""
    count, rows, columns, _ = pictures.shape
    return np.ascontiguousarray(pictures, np.float32).reshape(count, 1, rows, columns)


def fastest(cpuinfo: Path = CPUINFO) -> str:
    """`FAST` where the processor computes with bf16 itself (AVX-512 BF16, AMX), else `EXACT`."""
    with contextlib.suppress(OSError):
        if re.search(r"^flags\b.*\b(avx512_bf16|amx_bf16)\b", cpuinfo.read_text(), re.MULTILINE):
            return FAST
    return EXACT


def _at_first_pooling(model: openvino.Model) -> list[openvino.Model]:
    """``model`` in two parts: up to its first pooling, and what takes that from there."""
    pooled = next(node for node in model.get_ordered_ops() if node.get_type_name() == "MaxPool").output(0)
    between = opset13.parameter(pooled.get_partial_shape(), np.float32)
    for target in pooled.get_target_inputs():
        target.replace_source_output(between.output(0))
    return [
        openvino.Model([opset13.result(pooled)], model.get_parameters()),
        openvino.Model(model.get_results(), [between]),
    ]


def _fill(model: openvino.Model, name: str, tensors: Mapping[str, np.ndarray]) -> None:
    """Put the weights in the place of the inputs that stand for them."""
    inputs = {node.friendly_name: node for node in model.get_parameters() if node.friendly_name != PICTURES}
    check_tensors(name, {path: tuple(node.shape) for path, node in inputs.items()}, tensors)
    for path, node in inputs.items():
        constant = opset13.constant(tensors[path].astype(np.float32))
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(constant.output(0))
        model.remove_parameter(node)
