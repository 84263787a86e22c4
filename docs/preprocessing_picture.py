"""Draw docs/images/preprocessing.png: what each step from slice to training input makes of a phantom.

python -m docs.preprocessing_picture
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from examples.phantoms import phantom
from lungapp.anatomy import body_mask, lung_mask
from lungapp.preprocessing import MODEL_WINDOW, prepare
from lungapp.registry import MODELS
from lungapp.slices import Slice
from train.augment import jitter_greys, move
from train.conditions import keep_lungs, noise_level
from train.recipes import LESS_TO_LEAN_ON

TARGET = Path(__file__).parent / "images" / "preprocessing.png"


def steps() -> list[tuple[str, np.ndarray]]:
    """Titles and grey pictures in [0, 1], in the order of the pipeline."""
    # A wide slice with a margin: what a screenshot of a viewer looks like.
    item = Slice(np.pad(phantom("mass", seed=2), ((0, 0), (60, 140)), constant_values=-1250), "HU")
    grey = item.windowed(MODEL_WINDOW)
    body, lungs = body_mask(grey), lung_mask(grey)
    picture, _ = prepare(item, MODELS[0])
    square = picture[..., 0]
    random, how, level = np.random.default_rng(3), LESS_TO_LEAN_ON, 1.5 * noise_level(square)
    return [
        ("1  windowed, as uploaded", grey),
        ("2  body and lungs found", np.where(lungs, 0.35 * grey + 0.6, np.where(body, grey, 0.3 * grey))),
        ("3  outside removed, cropped,\nletterboxed: the model's input", square),
        ("4  moved (training)", move(square, how, random)),
        ("5  greys jittered (training)", jitter_greys(square, how, level, random)),
        ("6  lungs alone, moved, jittered", jitter_greys(move(keep_lungs(square), how, random), how, level, random)),
    ]


def main() -> None:
    figure = Figure(figsize=(12, 8), layout="constrained", facecolor="white")
    for axes, (title, picture) in zip(figure.subplots(2, 3).ravel(), steps(), strict=True):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axes.set_title(f"{title}, {picture.shape[1]} x {picture.shape[0]}", fontsize=11)
        axes.axis("off")
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET, dpi=80)


if __name__ == "__main__":
    main()
