"""One analysis and its parts, against the usual way, the bare forward pass, and the same graph on other runtimes.

    make bench        (python -m benchmarks.one_analysis [--repeats 15])

- whole: from the bytes of a 512 x 512 PNG to the PNG of the overlay: read, gate, prepare, forward, maps, rendering.
- (a) the usual way: ``model.predict``, then tf-keras-vis Gradcam, on the model input that lies ready.
- (b) the bare forward pass: the served graph on the model input that lies ready, in the same precision.
- (c) that graph on other runtimes: TensorFlow, ONNX Runtime, OpenVINO in each precision (`benchmarks.runtimes`).

All take turns, so that a machine whose speed drifts slows all of them; ratios are those of the medians. Aims: whole at
least 15 times faster than (a), and no more than 1.5 times (b), for ResNet-50; (b) no more than 1.3 times OpenVINO's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.utils.scores import CategoricalScore

from benchmarks import row
from benchmarks.frozen import frozen
from benchmarks.runtimes import WAYS, opened, with_weights
from examples.phantoms import phantom
from lungapp.anatomy import Anatomy
from lungapp.cards import shipped
from lungapp.engine import Engine
from lungapp.models import load_model
from lungapp.preprocessing import to_input
from lungapp.reading import read_slice
from lungapp.registry import ModelSpec
from lungapp.rendering import render_grey, to_png
from lungapp.report.picture import shown_overlay
from lungapp.runtime import EXACT, FAST
from lungapp.settings import WEIGHTS
from lungapp.slices import Slice

T = TypeVar("T")
Step = Callable[[], object]
PARTS = {"read": "read", "quality": "gate", "prepare": "prepare", "forward": "forward", "maps": "maps"}
"""The engine's names of the parts, and what they are called here."""


def usual_way(spec: ModelSpec, picture: np.ndarray) -> Step:
    """``model.predict`` and tf-keras-vis's Gradcam on one input, as peers write it."""
    model, _ = load_model(spec, WEIGHTS)
    explainer = Gradcam(keras.Model(model.input, model.get_layer("logits").output), clone=False)
    batch = picture[None]

    def run() -> None:
        label = int(np.argmax(model.predict(batch, verbose=0)))
        explainer(
            CategoricalScore(label), batch, penultimate_layer=spec.target_layer, seek_penultimate_conv_layer=False
        )

    return run


def timed(step: Callable[[], T]) -> tuple[T, float]:
    """What ``step`` gives, and its milliseconds."""
    start = time.perf_counter()
    given = step()
    return given, (time.perf_counter() - start) * 1000


def ways(
    engines: dict[str, Engine], spec: ModelSpec, file: Path, folder: Path, parts: dict[str, list[float]]
) -> dict[str, Step]:
    """Everything that is compared, by its name; the whole notes its ``parts``, by precision and name."""
    picture = to_input(Anatomy(read_slice(file)), spec)

    def whole(precision: str) -> None:
        item, read = timed(lambda: read_slice(file))
        analysis = engines[precision].analyse(item, spec.name)
        _, drawn = timed(lambda: to_png(shown_overlay(analysis)))
        for name, ms in {"read": read, **analysis.timings_ms}.items():
            if name in PARTS:
                parts[f"{precision} {PARTS[name]}"].append(ms)
        parts[f"{precision} rendering"].append(drawn)

    found: dict[str, Step] = {"usual": usual_way(spec, picture)}
    for precision, engine in engines.items():
        loaded = engine._model(spec)
        found[f"whole {precision}"] = partial(whole, precision)
        found[f"bare {precision}"] = partial(loaded.run_batch, picture[None])
    graph = frozen(load_model(spec, WEIGHTS)[0], spec)
    found["tensorflow"] = lambda: graph(picture[None])
    (folder / f"{spec.name}.onnx").write_bytes(with_weights(spec.name))
    for way in WAYS:
        run = opened(way, folder / f"{spec.name}.onnx")
        found[way] = lambda run=run: run(picture[None])  # type: ignore[misc]
    return found


def compare(
    engines: dict[str, Engine], spec: ModelSpec, file: Path, folder: Path, repeats: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds of every way, and of the parts of the whole: medians."""
    parts: dict[str, list[float]] = defaultdict(list)
    steps = ways(engines, spec, file, folder, parts)
    times: dict[str, list[float]] = defaultdict(list)
    for step in steps.values():
        step()
    parts.clear()
    for _ in range(repeats):
        for name, step in steps.items():
            times[name].append(timed(step)[1])
    return _medians(times), _medians(parts)


def _medians(times: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    started, load = time.strftime("%Y-%m-%d %H:%M"), os.getloadavg()[0]
    engines = {precision: Engine(precision=precision) for precision in (EXACT, FAST)}
    print(f"{started}, {os.cpu_count()} cores, load before {load:.2f}; milliseconds, median of {repeats}\n")
    print(row("Model", "Precision", "Whole", "(a) usual", "(b) bare", "(a) / whole", "whole / (b)", "Parts"))
    print("|" + 8 * " --- |")
    runtimes = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "slice.png"
        file.write_bytes(to_png(render_grey(Slice(phantom("mass", seed=1), "HU"))))
        for spec in shipped(WEIGHTS):
            ms, parts = compare(engines, spec, file, folder, repeats)
            for precision in engines:
                whole, bare = ms[f"whole {precision}"], ms[f"bare {precision}"]
                shown = [f"{one:.1f}" for one in (whole, ms["usual"], bare, ms["usual"] / whole)]
                told = [f"{part.split()[1]} {found:.1f}" for part, found in parts.items() if precision in part]
                print(row(spec.name, precision, *shown, f"{whole / bare:.2f}", ", ".join(told)), flush=True)
            others = [f"{ms[way]:.1f}" for way in (f"bare {EXACT}", f"bare {FAST}", "tensorflow", *WAYS)]
            ratios = [f"{ms[f'bare {way}'] / ms['openvino f32']:.2f}" for way in (EXACT, FAST)]
            runtimes.append(row(spec.name, *others, *ratios))
    ratios = [f"(b) {way} / OpenVINO f32" for way in (EXACT, FAST)]
    heads = (f"(b) {EXACT}", f"(b) {FAST}", "tensorflow", *WAYS, *ratios)
    print("\n" + row("Model", *heads))
    print("|" + (len(heads) + 1) * " --- |", *runtimes, sep="\n")


if __name__ == "__main__":
    main()
