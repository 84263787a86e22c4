"""Draw docs/images/preprocessing.png: what each step from slice to model input makes of a phantom.

python -m docs.preprocessing_picture
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from examples.phantoms import phantom
from lungapp.anatomy import Anatomy
from lungapp.preprocessing import to_input
from lungapp.registry import MODELS
from lungapp.slices import Slice, SliceInfo, Window

TARGET = Path(__file__).parent / "images" / "preprocessing.png"
DIM = Window(0, 2500)
"""A wide window, in which a chest looks dim."""


def steps() -> list[tuple[str, np.ndarray]]:
    """Titles and pictures, grey (rows, columns) in [0, 1] or RGB, in the order of the way."""
    # A wide slice with a margin: what a screenshot of a viewer looks like.
    pixels = np.pad(phantom("mass", seed=2), ((0, 0), (60, 140)), constant_values=-1250)
    picture = Slice(np.rint(255 * DIM.apply(pixels)), "grey", SliceInfo("PNG"))
    anatomy = Anatomy(picture)
    return [
        ("1  as uploaded", picture.windowed()),
        ("2  greys on one scale", anatomy.grey),
        ("3  body, lungs and their hull,\nthe thoracic cavity", _outlined(anatomy)),
        ("4  outside removed, cropped,\nletterboxed: the model's input", to_input(anatomy, MODELS[0])[..., 0]),
    ]


def _outlined(anatomy: Anatomy) -> np.ndarray:
    picture = np.repeat(np.rint(255 * anatomy.grey).astype(np.uint8)[..., None], 3, axis=2)
    for mask, colour in ((anatomy.body, (255, 210, 0)), (anatomy.lungs, (0, 200, 80)), (anatomy.cavity, (255, 60, 60))):
        edges, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, edges, -1, colour, 3)
    return picture


def main() -> None:
    figure = Figure(figsize=(14, 4.8), layout="constrained", facecolor="white")
    for axes, (title, picture) in zip(figure.subplots(1, 4), steps(), strict=True):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axes.set_title(f"{title}, {picture.shape[1]} x {picture.shape[0]}", fontsize=11)
        axes.axis("off")
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET, dpi=80)


if __name__ == "__main__":
    main()
