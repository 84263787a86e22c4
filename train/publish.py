"""Put trained runs into the project: grouped weights and cards into ``weights/``, held-out logits and plots beside.

    python -m train.publish MODEL [--runs runs] [--seed 0]

The weights are those of the ``grouped`` run; the image-level figures come from all finished
``image_level`` runs of the model.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np

from lungapp.cards import write_card
from lungapp.registry import MODELS, ModelSpec, get_spec
from lungapp.settings import WEIGHTS
from train.card import PREDICTIONS, make_card
from train.data import PROTOCOLS
from train.plots import plot_confusion


def publish(spec: ModelSpec, runs: Path, seed: int) -> None:
    """Copy what the project keeps of the runs of ``spec`` and write its card."""
    own = runs / "grouped" / f"{spec.name}-seed{seed}"
    weights = WEIGHTS / f"{spec.name}.safetensors"
    shutil.copyfile(own / "weights.safetensors", weights)
    shutil.copyfile(own / "history.png", WEIGHTS / f"{spec.name}-history.png")
    finished = (card.parent for card in (runs / "image_level").glob(f"{spec.name}-seed*/card.json"))
    chosen = [own, *sorted(finished)]
    for run in chosen:
        kept = PREDICTIONS / run.parent.name / run.name
        kept.mkdir(parents=True, exist_ok=True)
        for name in ("validation.csv", "test.csv", "run.json"):
            shutil.copyfile(run / name, kept / name)
    card = make_card(spec, weights, PREDICTIONS / "grouped" / own.name, kept_runs(spec, seed))
    write_card(card, WEIGHTS)
    for protocol, found in card["metrics"].items():
        path = WEIGHTS / f"{spec.name}-confusion-{protocol}.png"
        plot_confusion(np.array(found["confusion_matrix"]), spec.labels, f"{spec.title}, {protocol}", path)


def kept_runs(spec: ModelSpec, seed: int) -> dict[str, list[Path]]:
    """The committed predictions behind each protocol's figures: one grouped run, every image-level run."""
    patterns = {"grouped": f"{spec.name}-seed{seed}", "image_level": f"{spec.name}-seed*"}
    return {protocol: sorted((PREDICTIONS / protocol).glob(patterns[protocol])) for protocol in PROTOCOLS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=[spec.name for spec in MODELS])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--seed", type=int, default=0, help="of the grouped run that is shipped")
    options = parser.parse_args()
    publish(get_spec(options.model), options.runs, options.seed)


if __name__ == "__main__":
    main()
