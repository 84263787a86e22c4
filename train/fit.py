"""Train one model and write its run: weights, card, training curves, confusion matrix, held-out logits.

    python -m train.fit MODEL [--protocol grouped|image_level] [--seed N] [--pretrained imagenet|none|FILE]

A run lives in ``runs/<protocol>/<model>-seed<N>/`` and is resumed where it stopped. ``make train`` runs all of them
and `train.publish` copies the grouped weights into ``weights/`` and writes the cards. Costs: `train.recipes`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import keras
import numpy as np

from lungapp.errors import LungAppError
from lungapp.models import build_model
from lungapp.registry import MODELS, ModelSpec, get_spec
from lungapp.weights_io import digest_of, read_weights, write_weights
from train.card import make_card
from train.data import PROTOCOLS, find_dataset
from train.fused import with_fused_normalisation
from train.group_head import GROUP_LOSS, keep_largest_groups, with_group_head
from train.metrics import FIGURES
from train.net2net import TEACHER, grow
from train.pipeline import entries_of, group_classes, load_part, training_batches, validation_batches
from train.plots import plot_confusion, plot_history
from train.predict import logits_of, write_predictions
from train.pretrained import load_backbone
from train.recipes import Stage, recipe

RUNS = Path("runs")
LABEL_SMOOTHING = 0.05
WEIGHT_DECAY = 1e-3
AVERAGE_MOMENTUM = 0.998
"""Of averaged stages: some ten epochs of 50 steps."""


def fit(spec: ModelSpec, root: Path, run: Path, protocol: str, seed: int, pretrained: str, tensorboard: bool) -> None:
    """Run every stage of the recipe, then write ``weights.safetensors`` and the held-out logits into ``run``."""
    keras.utils.set_random_seed(seed)
    run.mkdir(parents=True, exist_ok=True)
    stages = recipe(spec.name, pretrained)
    from_scratch = spec.name == "resnet50" and pretrained == "none"
    teacher = run.parent / f"{TEACHER}-seed{seed}" / "weights.safetensors" if from_scratch else None
    model = with_fused_normalisation(build_model(spec))
    training, validation = (load_part(root, entries_of(protocol, part, seed), spec) for part in ("train", "validation"))
    groups = group_classes(training)
    trained = with_group_head(model, int(groups.max()) + 1)
    if teacher:
        grow(model, teacher, training.inputs)
    elif pretrained != "none":
        load_backbone(model, pretrained)
    for number, stage in enumerate(stages, start=1):
        if not (run / f"stage{number}.done").exists():
            _fit_stage(trained, stage, training, validation, run, number, seed, tensorboard)
        trained.load_weights(run / f"stage{number}.weights.h5")
    keep_largest_groups(model, trained, groups, training.labels)
    write_weights(model, run / "weights.safetensors")
    settings = {"model": spec.name, "protocol": protocol, "seed": seed, "pretrained": pretrained}
    if teacher:
        settings["teacher"] = {"model": TEACHER, "weights_sha256": digest_of(teacher)}
    (run / "run.json").write_text(json.dumps(settings, indent=2) + "\n")
    _conclude(spec, root, run, protocol, seed)


def _conclude(spec: ModelSpec, root: Path, run: Path, protocol: str, seed: int) -> None:
    """Judge the weights as they will be served: read back from the file, in float32."""
    keras.mixed_precision.set_global_policy("float32")
    served = build_model(spec)
    read_weights(served, run / "weights.safetensors")
    for part in ("validation", "test"):
        loaded = load_part(root, entries_of(protocol, part, seed), spec)
        write_predictions(run / f"{part}.csv", loaded, logits_of(served, loaded.inputs))
    card = make_card(spec, run / "weights.safetensors", run, {protocol: [run]})
    (run / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    own = card["metrics"][protocol]
    plot_history(run)
    plot_confusion(np.array(own["confusion_matrix"]), spec.labels, f"{spec.title}, {protocol}", run / "confusion.png")
    print(f"{spec.name} {protocol}: " + ", ".join(f"{name} {own[name]['value']:.3f}" for name in FIGURES))


def _fit_stage(model, stage: Stage, training, validation, run: Path, number: int, seed: int, tensorboard: bool) -> None:
    _set_trainable(model, stage.trainable)
    rate: float | keras.optimizers.schedules.LearningRateSchedule = stage.learning_rate
    if not stage.averaged:
        steps = -(-len(training.labels) // stage.batch)
        rate = keras.optimizers.schedules.CosineDecay(
            rate / 20, stage.epochs * steps, warmup_target=rate, warmup_steps=2 * steps
        )
    average = {"use_ema": True, "ema_momentum": AVERAGE_MOMENTUM} if stage.averaged else {}
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY, clipnorm=1.0, **average),
        loss={name: keras.losses.CategoricalCrossentropy(label_smoothing=LABEL_SMOOTHING) for name in model.output},
        loss_weights={"probabilities": 1.0, "groups": GROUP_LOSS},
        weighted_metrics={"probabilities": ["accuracy"]},
        jit_compile=False,
    )
    callbacks = [
        keras.callbacks.BackupAndRestore(run / f"stage{number}.backup"),
        keras.callbacks.ModelCheckpoint(
            run / f"stage{number}.weights.h5",
            monitor="val_loss",
            save_best_only=not stage.averaged,
            save_weights_only=True,
        ),
        keras.callbacks.CSVLogger(run / f"stage{number}.csv", append=True),
        keras.callbacks.TerminateOnNaN(),
    ]
    if stage.averaged:  # behind the backup, which needs the weights themselves; before the checkpoint, which does not
        callbacks.insert(1, keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    else:
        patience = max(10, stage.epochs // 2)
        callbacks.append(keras.callbacks.EarlyStopping(monitor="val_loss", patience=patience, verbose=1))
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(run / "tensorboard" / f"stage{number}"))
    model.fit(
        training_batches(training, stage.batch, seed),
        validation_data=validation_batches(validation, model.output["groups"].shape[-1]),
        epochs=stage.epochs,
        shuffle=False,  # the dataset shuffles
        callbacks=callbacks,
        verbose="auto" if sys.stdout.isatty() else 2,
    )
    (run / f"stage{number}.done").touch()


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


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=[spec.name for spec in MODELS])
    parser.add_argument("--protocol", choices=PROTOCOLS, default="grouped")
    parser.add_argument("--seed", type=int, default=0, help="of the training, and of the image-level split")
    parser.add_argument("--pretrained", default=None, help="resnet50 only: imagenet (default), none, or a weights file")
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--precision", choices=("float32", "mixed_bfloat16"), default="mixed_bfloat16")
    parser.add_argument("--tensorboard", action="store_true", help="also log for TensorBoard (pip install tensorboard)")
    parser.add_argument("--devices", choices=("auto", "data-parallel"), default="auto", help="data-parallel: untested")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    pretrained = options.pretrained or ("imagenet" if options.model == "resnet50" else "none")
    if options.model != "resnet50" and pretrained != "none":
        sys.exit("Expected --pretrained with resnet50 only.")
    strategy(options.devices)
    keras.mixed_precision.set_global_policy(options.precision)
    run = options.runs / options.protocol / f"{options.model}-seed{options.seed}"
    try:
        root = find_dataset(options.data)
        fit(get_spec(options.model), root, run, options.protocol, options.seed, pretrained, options.tensorboard)
    except LungAppError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
