"""One analysis (gate, score and map) against the usual way: ``model.predict``, then tf-keras-vis Gradcam.

    make bench        (python -m benchmarks.one_analysis [--repeats 15])

Both take the same model input of the same phantom and give probabilities and a Grad-CAM for the predicted class; ours
also judges the slice, prepares the input and brings the map back onto the slice. They alternate, so that a machine
whose speed drifts slows both; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.utils.scores import CategoricalScore

from examples.phantoms import phantom
from lungapp.cards import shipped
from lungapp.engine import Engine
from lungapp.models import load_model
from lungapp.preprocessing import to_input
from lungapp.registry import ModelSpec
from lungapp.settings import WEIGHTS
from lungapp.slices import Slice


def usual_way(spec: ModelSpec, picture: np.ndarray) -> Callable[[], None]:
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


def milliseconds(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return (time.perf_counter() - start) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    item = Slice(phantom("mass", seed=1), "HU")
    engine = Engine()
    print(f"One analysis of a 512 x 512 slice, median of {repeats}, {os.cpu_count()} cores")
    print(f"{'model':14}{'usual way':>12}{'this':>10}{'ratio':>9}   parts")
    for spec in shipped(WEIGHTS):
        usual = usual_way(spec, to_input(item, spec))
        steps: list[dict[str, float]] = []

        def ours(name: str = spec.name, steps: list[dict[str, float]] = steps) -> None:
            steps.append(engine.analyse(item, name).timings_ms)

        usual()
        ours()
        pairs = [(milliseconds(usual), milliseconds(ours)) for _ in range(repeats)]
        a, b = (statistics.median(times) for times in zip(*pairs, strict=True))
        parts = {name: statistics.median(step[name] for step in steps[1:]) for name in steps[-1] if name != "total"}
        shown = ", ".join(f"{name} {ms:.1f}" for name, ms in parts.items() if name != "load")
        print(f"{spec.name:14}{a:9.0f} ms{b:7.1f} ms{a / b:8.1f}x   {shown}")


if __name__ == "__main__":
    main()
