"""All folds of a model: every slice is held out once, by similarity group or slice by slice.

    python -m train.crossval MODEL [--protocol grouped|image_level] [--fold K …] [--set NAME=NUMBER …] [--keep]

Needs ``runs/backbones/MODEL.safetensors`` (`train.backbone`). By similarity group a head is taught on cached features:
the first run draws and reads all pictures (`train.features`); a fold then takes about a minute on two cores. Slice by
slice the network itself is thawed, which takes some minutes a fold. A finished fold is not taught again: weights and
logits on its held-out slices lie in ``runs/<protocol>/fold<K>/<model>/``. ``--keep`` copies the logits into
``train/results/``, and prints the figures; `train.publish` ships the weights of the first grouped fold.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np

from lungapp.errors import LungAppError
from lungapp.preprocessing import EDGE, SOFTENED
from lungapp.registry import LABELS, MODELS, ModelSpec, get_spec
from lungapp.weights_io import digest_of, read_tensors, write_weights
from train.data import PROTOCOLS, distinct_entries, find_dataset
from train.features import RUNS, Features, features
from train.fit import fit, fit_thawed
from train.folds import FOLDS, fold_parts
from train.pictures import MOVES
from train.predict import RESULTS, Predictions, inputs_of, logits_of, write_conditions, write_predictions
from train.recipes import Recipe, changed, recipe


def head_of(model: keras.Model) -> keras.Model:
    """What stands behind the backbone: maps (n, rows, columns, channels) → logits (n, labels)."""
    first = model.get_layer("neck_bn")
    return keras.Model(first.input, model.get_layer("logits").output)


Teach = Callable[[np.ndarray, np.ndarray, Recipe, int], tuple[keras.Model, dict[str, np.ndarray]]]
"""Slices to learn from, slices held out, recipe, seed → the network, and its logits on the second: as served under
"test", and where they were measured under "moved_0", "moved_1"."""


def with_frozen_body(spec: ModelSpec, made: Features, backbone: Path) -> Teach:
    """Teaches a head on cached features."""
    labels, groups = truth()

    def teach(train: np.ndarray, test: np.ndarray, how: Recipe, seed: int) -> tuple[keras.Model, dict[str, np.ndarray]]:
        model = fit(spec, read_tensors(backbone), made, labels, groups, train, how, seed)
        rows = {"test": made.rows(test, "as served")}
        rows |= {f"moved_{move}": made.rows(test, "moved", move) for move in range(len(MOVES))}
        head = head_of(model)
        said = {name: head.predict(made.maps[own].astype(np.float32), verbose=0) for name, own in rows.items()}
        return model, said

    return teach


def with_thawed_body(spec: ModelSpec, inputs: np.ndarray, backbone: Path) -> Teach:
    """Teaches a network from its middle on, on ``inputs`` (slices, size, size, 1)."""
    labels, _ = truth()

    def teach(train: np.ndarray, test: np.ndarray, how: Recipe, seed: int) -> tuple[keras.Model, dict[str, np.ndarray]]:
        model = fit_thawed(spec, read_tensors(backbone), inputs[train], labels[train], how, seed)
        return model, {"test": logits_of(model, inputs[test])}

    return teach


def truth() -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups of all slices, (slices,) int."""
    entries = distinct_entries()
    return np.array([LABELS.index(entry.label) for entry in entries]), np.array([entry.group for entry in entries])


def run_fold(
    spec: ModelSpec, teach: Teach, backbone: Path, protocol: str, fold: int, how: Recipe, folder: Path
) -> None:
    """Teach one fold; write weights, recipe and logits on the held-out slices.

    A fold that was finished with the same recipe and backbone stays.
    """
    settings = {"model": spec.name, "protocol": protocol, "fold": fold, "recipe": asdict(how)}
    settings |= {"backbone_sha256": digest_of(backbone), "input": {"softened": SOFTENED, "edge": EDGE}}
    if (folder / "run.json").exists() and json.loads((folder / "run.json").read_text()) == settings:
        return
    entries = distinct_entries()
    parts = fold_parts(entries, protocol, fold)
    test = np.array([place for place, entry in enumerate(entries) if parts[entry.file] == "test"])
    model, said = teach(np.setdiff1d(np.arange(len(entries)), test), test, how, fold)
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(model, folder / "weights.safetensors")
    files, (labels, groups) = tuple(entries[place].file for place in test), truth()
    answers = {name: Predictions(files, logits, labels[test], groups[test]) for name, logits in said.items()}
    write_predictions(folder / "test.csv", answers.pop("test"))
    if answers:
        write_conditions(folder / "moved.csv", answers)
    (folder / "run.json").write_text(json.dumps(settings, indent=2) + "\n")  # last: it says that the fold is done


def keep(folder: Path, protocol: str, fold: int, model: str) -> None:
    """Copy what the project keeps of a fold."""
    kept = RESULTS / protocol / f"fold{fold}" / model
    kept.mkdir(parents=True, exist_ok=True)
    for name in ("test.csv", "moved.csv", "run.json"):
        (kept / name).unlink(missing_ok=True)
        if (folder / name).is_file():
            shutil.copyfile(folder / name, kept / name)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=[spec.name for spec in MODELS])
    parser.add_argument("--protocol", choices=PROTOCOLS, default="grouped")
    parser.add_argument("--fold", type=int, action="append", help="only this one (from 0); may be repeated")
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="change the recipe: a trial")
    parser.add_argument("--keep", action="store_true", help="copy the held-out logits into train/results/")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    spec, backbone = get_spec(options.model), options.runs / "backbones" / f"{options.model}.safetensors"
    try:
        how, root = changed(recipe(options.protocol), options.set), find_dataset(options.data)
        if how.thawed:
            teach = with_thawed_body(spec, inputs_of(root, distinct_entries(), spec), backbone)
        else:
            teach = with_frozen_body(spec, features(spec, backbone, root, options.runs), backbone)
        for fold in options.fold or range(FOLDS):
            folder = options.runs / options.protocol / f"fold{fold}" / spec.name
            run_fold(spec, teach, backbone, options.protocol, fold, how, folder)
            if options.keep:
                keep(folder, options.protocol, fold, spec.name)
            print(f"{spec.name} {options.protocol}: fold {fold} of {FOLDS} done", flush=True)
    except LungAppError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
