"""What a frozen backbone makes of every training picture, once for all folds, kept in ``runs/features/``.

    python -m train.features MODEL [--data FOLDER] [--runs runs]

Costs on two cores: three minutes for the Advanced CNN, one for the Basic CNN, half an hour for ResNet-50; 0.5 to 1.5 GB
on disk.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import keras
import numpy as np

from lungapp.models import BACKBONE, build_model
from lungapp.registry import LABELS, MODELS, ModelSpec, get_spec
from lungapp.weights_io import digest_of, read_tensors
from train.backbone import assign, compiled
from train.data import distinct_entries, find_dataset
from train.pictures import Kind, Picture, crops_of, drawn, training_pictures

RUNS = Path("runs")


@dataclass(frozen=True, eq=False)
class Features:
    """Backbone outputs of all training pictures.

    ``maps`` (n, rows, columns, channels) float16, ``lesions`` (n, feature rows, feature columns) float16: the share of
    each place of the last feature maps that is drawn lesion; ``slices`` (n,) int and ``kinds`` (n,) str say of what.
    """

    maps: np.ndarray
    lesions: np.ndarray
    slices: np.ndarray
    kinds: np.ndarray
    numbers: np.ndarray

    def rows(self, slices: np.ndarray, kind: Kind, number: int = 0) -> np.ndarray:
        """(m,) int: where the picture of that kind and number is of each of ``slices`` (m,)."""
        found = np.flatnonzero((self.kinds == kind) & (self.numbers == number))
        return found[np.argsort(self.slices[found])][np.searchsorted(np.sort(self.slices[found]), slices)]


def backbone_of(spec: ModelSpec, weights: Path) -> keras.Model:
    """The network of ``spec`` up to the end of its backbone, with ``weights`` (.safetensors)."""
    model = build_model(spec)
    assign(model, read_tensors(weights))
    return keras.Model(model.input, model.get_layer(BACKBONE[spec.name]).output, name="backbone")


def compute(spec: ModelSpec, weights: Path, root: Path) -> Features:
    """Draw every training picture of the dataset below ``root`` and ask the backbone about it."""
    entries = distinct_entries()
    pictures = training_pictures(np.array([LABELS.index(entry.label) for entry in entries]))
    ask = compiled(backbone_of(spec, weights))
    places = build_model(spec).get_layer(spec.target_layer).output.shape[1:3]
    maps, lesions = [], []
    for greys, covers in drawn(pictures, crops_of(root, entries, spec)):
        maps.append(ask(greys)[0].astype(np.float16))
        lesions.append(np.stack([cv2.resize(cover, places[::-1], interpolation=cv2.INTER_AREA) for cover in covers]))
    return Features(np.concatenate(maps), np.concatenate(lesions).astype(np.float16), *_described(pictures))


def _described(pictures: list[Picture]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.array([picture.slice for picture in pictures]),
        np.array([picture.kind for picture in pictures]),
        np.array([picture.number for picture in pictures]),
    )


def features(spec: ModelSpec, weights: Path, root: Path, runs: Path = RUNS) -> Features:
    """`compute`, kept on disk for these ``weights``."""
    path = runs / "features" / f"{spec.name}-{digest_of(weights)[:12]}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = compute(spec, weights, root)
        np.savez(path, **vars(made))
    with np.load(path) as file:
        return Features(**{name: file[name] for name in file.files})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=[spec.name for spec in MODELS])
    parser.add_argument("--data")
    parser.add_argument("--runs", type=Path, default=RUNS)
    options = parser.parse_args()
    spec = get_spec(options.model)
    weights = options.runs / "backbones" / f"{spec.name}.safetensors"
    made = features(spec, weights, find_dataset(options.data), options.runs)
    print(f"{spec.name}: {made.maps.shape}")


if __name__ == "__main__":
    main()
