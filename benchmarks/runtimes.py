"""A model on several runtimes: TensorFlow, OpenVINO and ONNX Runtime.

    python -m benchmarks.runtimes [--models resnet50 …] [--repeats 15]

TensorFlow runs the Keras model, frozen; the others read the served graph with its weights in it. Prints, each runtime
in a process of its own: seconds until the first answer from files on the disk, imports included; resident memory then;
milliseconds of one slice and, of a batch of eight, of a slice; and how far logits and feature maps are from
TensorFlow's, the latter as a share of their highest value.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import onnx

from lungapp.registry import DEFAULT_MODEL, get_spec
from lungapp.runtime import GRAPHS, PICTURES, channel_first
from lungapp.settings import WEIGHTS
from lungapp.weights_io import read_tensors

ROOT = Path(__file__).resolve().parents[1]
Run = Callable[[np.ndarray], Sequence[np.ndarray]]

WAYS = ("onnxruntime", "openvino f32", "openvino bf16", "openvino f16")
"""To run a graph."""

MIB = 2**20


def with_weights(model: str) -> bytes:
    """The served graph of ``model`` with its weights in it, as an ONNX file."""
    found = onnx.load(GRAPHS / f"{model}.onnx")
    tensors = read_tensors(WEIGHTS / f"{model}.safetensors")
    pictures = [item for item in found.graph.input if item.name == PICTURES]
    del found.graph.input[:]
    found.graph.input.extend(pictures)
    found.graph.initializer.extend(
        onnx.numpy_helper.from_array(values.astype(np.float32), name) for name, values in tensors.items()
    )
    return found.SerializeToString()


def opened(way: str, path: Path) -> Run:
    """The graph in ``path`` by one of `WAYS`, compiled, with the threads that the runtime finds right."""
    if way == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda pictures: session.run(None, {name: channel_first(pictures)})
    import openvino

    precision = way.partition(" ")[2]
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    request = openvino.Core().compile_model(path, "CPU", options).create_infer_request()

    def run(pictures: np.ndarray) -> list[np.ndarray]:
        request.infer([channel_first(pictures)], share_inputs=True)
        return [np.array(tensor.data) for tensor in request.output_tensors]

    return run


def milliseconds(run: Run, pictures: np.ndarray, repeats: int) -> float:
    """Of one slice, the median."""
    run(pictures)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run(pictures)
        times.append((time.perf_counter() - start) * 1000 / len(pictures))
    return statistics.median(times)


def resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def measure(way: str, model: str, folder: Path, repeats: int) -> dict[str, float]:
    """What a process of its own prints; writes its answers beside the graph."""
    start, before = time.perf_counter(), resident()
    pictures = np.load(folder / "pictures.npy")
    if way == "tensorflow":
        from benchmarks.frozen import frozen
        from lungapp.models import load_model

        run: Run = frozen(load_model(get_spec(model), WEIGHTS)[0], get_spec(model))
    else:
        run = opened(way, folder / f"{model}.onnx")
    answers = run(pictures)
    facts = {"start": time.perf_counter() - start, "memory": resident() - before}
    np.savez(folder / f"{model} {way}.npz", features=answers[0], logits=answers[1])
    facts["one"] = milliseconds(run, pictures[:1], repeats)
    facts["eight"] = milliseconds(run, pictures, max(3, repeats // 3))
    return facts


def convert(models: list[str], folder: Path) -> None:
    """Write the graphs, and eight phantoms as inputs."""
    from examples.phantoms import phantom
    from lungapp.anatomy import Anatomy
    from lungapp.preprocessing import to_input
    from lungapp.slices import Slice

    items = [Slice(phantom("mass" if seed % 2 else None, seed), "HU") for seed in range(8)]
    np.save(folder / "pictures.npy", np.stack([to_input(Anatomy(item), get_spec(models[0])) for item in items]))
    for model in models:
        (folder / f"{model}.onnx").write_bytes(with_weights(model))


def row(way: str, model: str, folder: Path, repeats: int) -> str:
    command = [sys.executable, "-m", "benchmarks.runtimes", "--one", way, model, str(folder), "--repeats", str(repeats)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout.splitlines()[-1])
    ours, theirs = (np.load(folder / f"{model} {one}.npz") for one in ("tensorflow", way))
    logits = float(np.abs(ours["logits"] - theirs["logits"]).max())
    features = float(np.abs(ours["features"] - theirs["features"]).max() / ours["features"].max())
    return (
        f"| {model} | {way} | {facts['start']:.1f} | {facts['memory']:.0f} | {facts['one']:.1f} | {facts['eight']:.1f} "
        f"| {logits:.1e} | {features:.1e} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet50", DEFAULT_MODEL, "basic_cnn"])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        way, model, folder = options.one
        print(json.dumps(measure(way, model, Path(folder), options.repeats)))
        return
    print("| Model | Runtime | Start s | Memory MiB | One, ms | Of eight, ms | Logits off | Features off |")
    print("|" + 8 * " --- |")
    with tempfile.TemporaryDirectory() as name:
        convert(options.models, Path(name))
        for model in options.models:
            for way in ["tensorflow", *WAYS]:
                print(row(way, model, Path(name), options.repeats), flush=True)


if __name__ == "__main__":
    main()
