"""Cross-validation of a model: k folds, so that every slice is held out once.

    python -m train.crossval MODEL --protocol image_level|grouped [--folds 5] [--size 96] [--set NAME=NUMBER]

Stratified k-fold for ``image_level``, stratified group k-fold for ``grouped`` (no similarity group on two sides). An
eighth of what is not held out is each fold's validation part; temperature and thresholds come from it alone. A fold
lives in ``runs/crossval/<protocol>/fold<K>/<model>/``, is resumed where it stopped and never trained twice. Under the
grouped protocol the shortcut audit's pictures are scored by the fold's weights too.

``--keep`` copies the held-out logits into ``train/results/crossval/``; `train.crossval_table` makes the tables of them.
A ResNet-50 without pretrained weights starts as the same fold's Advanced CNN, so that one comes first.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import keras

from lungapp.errors import LungAppError
from lungapp.registry import LABELS, get_spec
from train.audit import predict_conditions
from train.data import PROTOCOLS, find_dataset, read_manifest
from train.fit import Run, add_options, fit, precision, pretrained_of, served
from train.folds import FOLDS, KEPT, SHORTCUTS, fold_parts
from train.net2net import TEACHER
from train.pipeline import entries_in, load_part
from train.recipes import SHORT, changed

SIZE = 96
"""Side of the pictures, less than half of what is served: a fold then costs a fifth, and on two cores thirty
folds cannot be had otherwise."""


def fold_run(options: argparse.Namespace, fold: int) -> Run:
    """The training of one fold."""
    pretrained = pretrained_of(options)
    folder = options.runs / "crossval" / options.protocol / f"fold{fold}" / options.model
    from_scratch = options.model == "resnet50" and pretrained == "none"
    return Run(
        replace(get_spec(options.model), size=options.size),
        folder,
        fold_parts(read_manifest(), options.protocol, fold, options.folds),
        options.protocol,
        fold,
        changed(SHORT[options.model], options.set),
        pretrained,
        folder.parent / TEACHER / "weights.safetensors" if from_scratch else None,
    )


def audit_fold(run: Run, root: Path) -> None:
    """Score the audit's pictures of the held-out slices; ``audit.csv`` has a row per condition and slice."""
    path = run.folder / "audit.csv"
    if path.exists():
        return
    part = load_part(root, entries_in(run.parts, "test"), run.spec)
    found = predict_conditions(served(run), part, SHORTCUTS)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("condition", "file", "label", "group", *LABELS))
        for condition, logits in found.items():
            for name, label, group, row in zip(part.files, part.labels, part.groups, logits, strict=True):
                writer.writerow((condition, name, LABELS[label], group, *(f"{value:.3f}" for value in row)))


def keep(run: Run) -> None:
    """Copy what the project keeps of a finished fold into ``train/results/crossval/``."""
    kept = KEPT / run.protocol / f"fold{run.seed}" / run.spec.name
    kept.mkdir(parents=True, exist_ok=True)
    for name in ("validation.csv", "test.csv", "run.json", "audit.csv"):
        if (run.folder / name).exists():
            shutil.copyfile(run.folder / name, kept / name)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--protocol", choices=PROTOCOLS, default="grouped")
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--fold", type=int, action="append", help="only this one (from 0); may be repeated")
    parser.add_argument("--size", type=int, default=SIZE, help="side of the pictures in pixels")
    parser.add_argument("--keep", action="store_true", help="copy the held-out logits into train/results/crossval/")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    policy = precision(options.precision)
    try:
        root = find_dataset(options.data)
        for fold in options.fold or range(options.folds):
            run = fold_run(options, fold)
            keras.mixed_precision.set_global_policy(policy)
            fit(run, root)
            if options.protocol == "grouped":
                audit_fold(run, root)
            if options.keep:
                keep(run)
            print(f"{run.spec.name} {options.protocol}: fold {fold} of {options.folds} done", flush=True)
    except LungAppError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
