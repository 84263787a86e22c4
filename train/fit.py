"""Train one model and write its run: weights, card, training curves, confusion matrix, held-out logits.

    python -m train.fit MODEL [--protocol grouped|image_level] [--seed N] [--pretrained imagenet|none|FILE]

A run lives in ``runs/<protocol>/<model>-seed<N>/`` and is resumed where it stopped. ``make train`` runs all of them
and `train.publish` copies the grouped weights into ``weights/`` and writes the cards. Costs: `train.recipes`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lungapp.errors import LungAppError
from lungapp.models import build_model
from lungapp.registry import MODELS, ModelSpec, get_spec
from lungapp.weights_io import digest_of, read_weights, write_weights
from train.card import make_card
from train.data import PROTOCOLS, find_dataset, read_split
from train.fused import with_fused_normalisation
from train.group_head import keep_largest_groups, with_group_head
from train.metrics import FIGURES
from train.net2net import TEACHER, grow
from train.pipeline import Part, entries_in, group_classes, load_part, training_batches, validation_batches
from train.plots import plot_confusion, plot_history
from train.predict import logits_of, write_predictions
from train.pretrained import load_backbone
from train.recipes import Recipe, Stage, changed, recipe

RUNS = Path("runs")
AVERAGED_SHARE = 0.25
"""Over what share of an averaged stage's steps its moving average looks back."""


@dataclass(frozen=True, eq=False)
class Run:
    """One training: which slices, how, and the folder it lives in.

    ``parts`` (file → part of the split) decides what is learnt from and what is held out; ``protocol`` and ``seed``
    only name it. ``pretrained`` is "imagenet", "none" or a file; ``teacher`` the Advanced CNN a ResNet-50 without
    pretrained weights starts as; ``start`` weights of the same network, as served, to run the last stage on.
    """

    spec: ModelSpec
    folder: Path
    parts: Mapping[str, str]
    protocol: str
    seed: int
    recipe: Recipe
    pretrained: str = "none"
    teacher: Path | None = None
    start: Path | None = None


def fit(run: Run, root: Path, tensorboard: bool = False) -> None:
    """Run every stage of the recipe, write ``weights.safetensors`` and the held-out logits; a finished run stays."""
    if (run.folder / "test.csv").exists():
        return
    keras.utils.set_random_seed(run.seed)
    run.folder.mkdir(parents=True, exist_ok=True)
    model = with_fused_normalisation(build_model(run.spec))
    training, validation = (load_part(root, entries_in(run.parts, part), run.spec) for part in ("train", "validation"))
    groups = group_classes(training)
    if run.start:
        read_weights(model, run.start)
    elif run.teacher:
        grow(model, run.teacher, training.inputs)
    elif run.pretrained != "none":
        load_backbone(model, run.pretrained)
    two_headed = with_group_head(model, int(groups.max()) + 1)
    as_served = keras.Model(model.input, {"probabilities": model.output}, name=model.name)
    for number, stage in enumerate(run.recipe.stages, start=1):
        trained = two_headed if stage.group_head else as_served
        if not (run.folder / f"stage{number}.done").exists() and not (run.start and stage != run.recipe.stages[-1]):
            _fit_stage(trained, run, stage, number, training, validation, tensorboard)
        if (run.folder / f"stage{number}.done").exists():
            trained.load_weights(run.folder / f"stage{number}.weights.h5")
            if stage.group_head:
                keep_largest_groups(model, trained, groups, training.labels)
    write_weights(model, run.folder / "weights.safetensors")
    (run.folder / "run.json").write_text(json.dumps(describe_run(run), indent=2) + "\n")
    _judge(run, root)


def describe_run(run: Run) -> dict[str, Any]:
    """What ``run.json`` keeps of a run: all that decides it, but for the slices."""
    settings: dict[str, Any] = {
        "model": run.spec.name,
        "protocol": run.protocol,
        "seed": run.seed,
        "size": run.spec.size,
        "pretrained": run.pretrained,
        "recipe": asdict(run.recipe),
    }
    for name, path, model in (("teacher", run.teacher, TEACHER), ("start", run.start, run.spec.name)):
        if path:
            settings[name] = {"model": model, "weights_sha256": digest_of(path)}
    return settings


def served(run: Run) -> keras.Model:
    """The weights of a finished run as they will be served: read back from the file, in float32."""
    keras.mixed_precision.set_global_policy("float32")
    model = build_model(run.spec)
    read_weights(model, run.folder / "weights.safetensors")
    return model


def _judge(run: Run, root: Path) -> None:
    """Write the logits on the held-out slices; the test ones last, as they mark the run as finished."""
    model = served(run)
    for part in ("validation", "test"):
        loaded = load_part(root, entries_in(run.parts, part), run.spec)
        write_predictions(run.folder / f"{part}.csv", loaded, logits_of(model, loaded.inputs))


def conclude(run: Run) -> None:
    """Write the run's card and plots, and print its figures."""
    card = make_card(run.spec, run.folder / "weights.safetensors", run.folder, {run.protocol: [run.folder]})
    (run.folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    own = card["metrics"][run.protocol]
    plot_history(run.folder)
    title = f"{run.spec.title}, {run.protocol}"
    plot_confusion(np.array(own["confusion_matrix"]), run.spec.labels, title, run.folder / "confusion.png")
    print(f"{run.spec.name} {run.protocol}: " + ", ".join(f"{name} {own[name]['value']:.3f}" for name in FIGURES))


def _fit_stage(
    model: keras.Model, run: Run, stage: Stage, number: int, training: Part, validation: Part, tensorboard: bool
) -> None:
    _set_trainable(model, stage.trainable)
    steps = -(-len(training.labels) // stage.batch)
    rate = keras.optimizers.schedules.CosineDecay(
        stage.learning_rate / 20, stage.epochs * steps, warmup_target=stage.learning_rate, warmup_steps=2 * steps
    )
    momentum = max(0.0, 1 - 1 / (AVERAGED_SHARE * stage.epochs * steps))
    average = {"use_ema": True, "ema_momentum": momentum} if stage.averaged else {}
    weights = {"probabilities": 1.0, "groups": run.recipe.group_loss}
    group_count = model.output["groups"].shape[-1] if stage.group_head else 0
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=run.recipe.weight_decay, clipnorm=1.0, **average),
        loss={
            name: keras.losses.CategoricalCrossentropy(label_smoothing=run.recipe.label_smoothing)
            for name in model.output
        },
        loss_weights={name: weights[name] for name in model.output},
        weighted_metrics={"probabilities": ["accuracy"]},
        jit_compile=False,
    )
    model.fit(
        training_batches(training, run.recipe, stage, run.seed),
        validation_data=validation_batches(validation, group_count, run.recipe),
        epochs=stage.epochs,
        shuffle=False,  # the dataset shuffles
        callbacks=_callbacks(run.folder, stage, number, tensorboard),
        verbose="auto" if sys.stdout.isatty() else 2,
    )
    (run.folder / f"stage{number}.done").touch()


def _callbacks(folder: Path, stage: Stage, number: int, tensorboard: bool) -> list[keras.callbacks.Callback]:
    callbacks = [
        keras.callbacks.BackupAndRestore(folder / f"stage{number}.backup"),
        keras.callbacks.ModelCheckpoint(
            folder / f"stage{number}.weights.h5",
            monitor="val_loss",
            save_best_only=not stage.averaged,
            save_weights_only=True,
        ),
        keras.callbacks.CSVLogger(folder / f"stage{number}.csv", append=True),
        keras.callbacks.TerminateOnNaN(),
    ]
    if stage.averaged:  # behind the backup, which needs the weights themselves; before the checkpoint, which does not
        callbacks.insert(1, keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    else:
        patience = max(10, stage.epochs // 2)
        callbacks.append(keras.callbacks.EarlyStopping(monitor="val_loss", patience=patience, verbose=1))
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard" / f"stage{number}"))
    return callbacks


def _set_trainable(model: keras.Model, trainable: str) -> None:
    heads = ("logits", "group_logits")
    prefixes = {"all": ("",), "conv5": ("conv5", *heads), "head": heads}[trainable]
    for layer in model.layers:
        # Frozen batch normalisation also keeps its statistics, as fine-tuning wants it.
        layer.trainable = layer.name.startswith(prefixes)


def strategy(devices: str) -> None:
    """Choose how training spreads over accelerators: "auto" (whatever Keras picks) or "data-parallel".

    Data-parallel goes through `keras.distribution` and has NOT been tested on several accelerators: none were at hand.
    """
    if devices == "data-parallel":
        keras.distribution.set_distribution(keras.distribution.DataParallel())


def precision(asked: str) -> str:
    """Keras' policy for ``asked``: "auto" is bfloat16 where a GPU or the processor computes in it, else float32."""
    if asked != "auto":
        return asked
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    native = "amx_bf16" in flags or bool(tf.config.list_physical_devices("GPU"))
    return "mixed_bfloat16" if native else "float32"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that all commands which train have in common."""
    parser.add_argument("model", choices=[spec.name for spec in MODELS])
    parser.add_argument("--pretrained", default=None, help="resnet50 only: imagenet (default), none, or a weights file")
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="change the recipe: a trial")
    parser.add_argument("--precision", choices=("auto", "float32", "mixed_bfloat16"), default="auto")


def pretrained_of(options: argparse.Namespace) -> str:
    """Where the backbone starts from; exits where that is not for the model."""
    pretrained = options.pretrained or ("imagenet" if options.model == "resnet50" else "none")
    if options.model != "resnet50" and pretrained != "none":
        sys.exit("Expected --pretrained with resnet50 only.")
    return pretrained


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--protocol", choices=PROTOCOLS, default="grouped")
    parser.add_argument("--seed", type=int, default=0, help="of the training, and of the image-level split")
    parser.add_argument("--start", type=Path, help="weights (.safetensors) of the same model to go on from")
    parser.add_argument("--tensorboard", action="store_true", help="also log for TensorBoard (pip install tensorboard)")
    parser.add_argument("--devices", choices=("auto", "data-parallel"), default="auto", help="data-parallel: untested")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    pretrained = pretrained_of(options)
    strategy(options.devices)
    keras.mixed_precision.set_global_policy(precision(options.precision))
    folder = options.runs / options.protocol / f"{options.model}-seed{options.seed}"
    from_scratch = options.model == "resnet50" and pretrained == "none" and not options.start
    try:
        root = find_dataset(options.data)
        run = Run(
            get_spec(options.model),
            folder,
            read_split(options.protocol, options.seed),
            options.protocol,
            options.seed,
            changed(recipe(options.model, pretrained, options.protocol), options.set),
            pretrained,
            folder.parent / f"{TEACHER}-seed{options.seed}" / "weights.safetensors" if from_scratch else None,
            options.start,
        )
        fit(run, root, options.tensorboard)
        conclude(run)
    except LungAppError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
