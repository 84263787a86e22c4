"""The ensemble: the mean of the members' calibrated probabilities, evaluated like a model, and its card.

    python -m train.ensemble

writes ``weights/ensemble.json`` from the members' cards and their committed logits on held-out slices; some seconds.
There is no weights file: the application averages what the members say.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lungapp.cards import ENSEMBLE, ModelCard, read_card, shipped, write_card
from lungapp.errors import LungAppError
from lungapp.settings import WEIGHTS
from train.calibrate import calibrate, fit_temperature, leaving_out, quality
from train.card import PREDICTIONS, crossval_of, judge, seeds_of, tested
from train.data import PROTOCOLS
from train.metrics import figures
from train.predict import Predictions, read_predictions


def mean_of(members: Sequence[Predictions], temperatures: Sequence[float]) -> Predictions:
    """The members' mean of probabilities, each over its own temperature, as logits: the logarithm of the mean.

    Its ``probabilities()`` at temperature 1 are that mean. Raises `ValueError` unless the members' rows are the same
    slices in the same order.
    """
    first = members[0]
    for other in members[1:]:
        same = other.files == first.files and np.array_equal(other.groups, first.groups)
        if not same or not np.array_equal(other.labels, first.labels):
            raise ValueError(
                f"Expected the members to score the same slices in the same order, {len(first.files)} beginning with "
                f"{first.files[0]}. Received: {len(other.files)} beginning with {other.files[0]}, or other labels."
            )
    pairs = zip(members, temperatures, strict=True)
    mean = np.mean([member.probabilities(temperature) for member, temperature in pairs], axis=0)
    return Predictions(first.files, np.log(np.maximum(mean, 1e-300)), first.labels, first.groups)


def mean_run(runs: Sequence[Path]) -> tuple[Predictions, Predictions]:
    """Validation and test slices of one split as the ensemble scores them; ``runs`` has one folder a member.

    Every member is calibrated on its own validation slices.
    """
    validations = [read_predictions(run / "validation.csv") for run in runs]
    temperatures = [round(fit_temperature(member), 4) for member in validations]
    tests = [read_predictions(run / "test.csv") for run in runs]
    return mean_of(validations, temperatures), mean_of(tests, temperatures)


def calibration_of_mean(runs: Sequence[Path], folds: Sequence[Predictions] = ()) -> dict[str, Any]:
    """The ensemble's ``calibration``, as `train.card.calibration_of` has a model's.

    The mean is calibrated by its members being so: its own temperature is 1, and ``before`` is the mean of what the
    members say at temperature 1. ``folds``, each the validation part of a `mean_run`, may choose the abstention
    threshold, see `calibrate`.
    """
    validation, test = mean_run(runs)
    raw = mean_of([read_predictions(run / "test.csv") for run in runs], [1.0] * len(runs))
    calibration = calibrate(validation, temperature=1.0, folds=leaving_out(folds, test.groups))
    return (
        calibration
        | tested(test, calibration)
        | {"before": quality(raw.probabilities(), raw.labels), "after": quality(test.probabilities(), test.labels)}
    )


def make_ensemble_card(
    cards: Sequence[ModelCard], runs: dict[str, list[list[Path]]], folds: Sequence[Predictions] = ()
) -> dict[str, Any]:
    """The ensemble's card.

    Parameters
    ----------
    cards : of the members, in the order of their scores' mean.
    runs : per protocol, for every seed one run folder a member; the seed of the first grouped ones is the weights'.
    folds : as in `calibration_of_mean`.
    """
    metrics = {}
    for protocol, seeds in runs.items():
        if seeds:
            tests = [mean_run(members)[1] for members in seeds]
            judged = judge(tests, [1.0] * len(tests), protocol)
            metrics[protocol] = {"seeds": seeds_of([members[0] for members in seeds]), **figures(judged)}
    return {
        "name": ENSEMBLE,
        "title": "Ensemble",
        "labels": list(cards[0].labels),
        "members": {card.name: card.weights_sha256 for card in cards},
        "calibration": calibration_of_mean(runs["grouped"][0], folds),
        "metrics": metrics,
        "created": datetime.now(UTC).date().isoformat(),
        "licence": cards[0].data["licence"],
    }


def shared_runs(cards: Sequence[ModelCard], predictions: Path = PREDICTIONS) -> dict[str, list[list[Path]]]:
    """Per protocol, for every seed that all members have run: their run folders; grouped only the weights' own seed.

    Raises `ValueError` where the members' weights are not of one seed, or their grouped runs are not all there.
    """
    own = {card.data["data"]["seed"] for card in cards}
    if len(own) != 1:
        raise ValueError(f"Expected the members' weights to come from runs of one seed. Received: {sorted(own)}")
    (seed,) = own
    found: dict[str, list[list[Path]]] = {}
    for protocol in PROTOCOLS:
        pattern = f"{cards[0].name}-seed{seed if protocol == 'grouped' else '*'}"
        seeds = seeds_of(sorted((predictions / protocol).glob(pattern)))
        candidates = [[predictions / protocol / f"{card.name}-seed{s}" for card in cards] for s in seeds]
        found[protocol] = [members for members in candidates if all(run.is_dir() for run in members)]
    if not found["grouped"]:
        raise ValueError(f"Expected a grouped run of every member with seed {seed}. Received: not all of them.")
    return found


def main() -> int:
    try:
        cards = [read_card(spec, WEIGHTS) for spec in shipped(WEIGHTS)]
        card = make_ensemble_card(cards, shared_runs(cards)) | crossval_of(ENSEMBLE)
    except (LungAppError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    write_card(card, WEIGHTS)
    shown = {protocol: found["balanced_accuracy"]["value"] for protocol, found in card["metrics"].items()}
    print(f"{ENSEMBLE}: balanced accuracy {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
