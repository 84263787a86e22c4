"""Put trained runs into the project: grouped weights and cards into ``weights/``, held-out logits and plots beside.

    python -m train.publish MODEL [--runs runs] [--seed 0]

The weights are those of the ``grouped`` run; the image-level figures come from all finished ``image_level`` runs of the
model. Where there is no run, the card is made anew from what the project keeps.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from lungapp.cards import read_card, write_card
from lungapp.errors import WeightsError
from lungapp.registry import MODELS, ModelSpec, get_spec
from lungapp.settings import WEIGHTS
from train.card import PREDICTIONS, make_card
from train.data import PROTOCOLS


def publish(spec: ModelSpec, runs: Path, seed: int) -> None:
    """Copy what the project keeps of the runs of ``spec`` and write its card; without runs the card alone."""
    own = runs / "grouped" / f"{spec.name}-seed{seed}"
    weights = WEIGHTS / f"{spec.name}.safetensors"
    if (own / "test.csv").exists():
        shutil.copyfile(own / "weights.safetensors", weights)
        finished = (card.parent for card in (runs / "image_level").glob(f"{spec.name}-seed*/card.json"))
        for run in (own, *sorted(finished)):
            _keep(run)
    card = make_card(spec, weights, PREDICTIONS / "grouped" / own.name, kept_runs(spec, seed))
    write_card(card | _audit_kept(spec, card["weights_sha256"]), WEIGHTS)


def _keep(run: Path) -> None:
    kept = PREDICTIONS / run.parent.name / run.name
    kept.mkdir(parents=True, exist_ok=True)
    for path in (run / "validation.csv", run / "test.csv", run / "run.json", *run.glob("stage*.csv")):
        shutil.copyfile(path, kept / path.name)


def _audit_kept(spec: ModelSpec, digest: str) -> dict[str, Any]:
    """What stays of the card's audit: all of it for the same weights, else what it says of those "before".

    That cannot be recomputed once they are gone.
    """
    try:
        card = read_card(spec, WEIGHTS)
    except WeightsError:
        return {}
    audit = card.data.get("audit", {})
    if card.weights_sha256 == digest:
        return {"audit": audit} if audit else {}
    return {"audit": {"before": audit["before"]}} if "before" in audit else {}


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
