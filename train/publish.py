"""Put the weights of the shipped fold and all cards into ``weights/``.

    python -m train.publish [MODEL …] [--runs runs]

The weights are those of ``runs/grouped/fold0``; where there are none, the card is made anew of the weights that are
shipped. The figures come from the logits in ``train/results/``; a model without those of every grouped fold is left as
it is. The ensemble's card follows from its members'. Some seconds a model.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from lungapp.cards import ENSEMBLE, read_card, shipped, write_card
from lungapp.errors import LungAppError
from lungapp.registry import MODELS, ModelSpec, get_spec
from lungapp.settings import WEIGHTS
from train.card import make_card
from train.ensemble import make_ensemble_card
from train.features import RUNS
from train.folds import SHIPPED
from train.predict import read_folds


def publish(spec: ModelSpec, runs: Path = RUNS, folder: Path = WEIGHTS, results: Path | None = None) -> bool:
    """Ship what ``runs`` hold of ``spec``, with a card; where a grouped fold is missing write nothing, return False."""
    if not read_folds(spec.name, "grouped", results):
        return False
    taught = runs / "grouped" / f"fold{SHIPPED}" / spec.name / "weights.safetensors"
    weights = folder / f"{spec.name}.safetensors"
    if taught.is_file():
        shutil.copyfile(taught, weights)
    write_card(make_card(spec, weights, results), folder)
    return True


def publish_ensemble(folder: Path = WEIGHTS, results: Path | None = None) -> bool:
    """Write the ensemble's card; False where a shipped model lacks a grouped fold."""
    cards = [read_card(spec, folder) for spec in shipped(folder)]
    if not all(read_folds(card.name, "grouped", results) for card in cards):
        return False
    write_card(make_ensemble_card(cards, results), folder)
    return True


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [spec.name for spec in MODELS]
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"default: {' '.join(names)}")
    parser.add_argument("--runs", type=Path, default=RUNS)
    options = parser.parse_args(arguments)
    try:
        done = {name: publish(get_spec(name), options.runs) for name in options.models or names}
        done[ENSEMBLE] = publish_ensemble()
    except (LungAppError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for name, published in done.items():
        print(f"{name}: {'published' if published else 'left as it is, for a grouped fold has no logits'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
