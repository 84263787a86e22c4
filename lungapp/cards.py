"""Model cards: one JSON file beside each weights file, and everything the application knows about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungapp.errors import WeightsMismatch, WeightsMissing
from lungapp.registry import MODELS, ModelSpec

REQUIRED = ("name", "labels", "input", "target_layer", "weights_sha256", "calibration", "metrics")


@dataclass(frozen=True)
class ModelCard:
    """What ``weights/<name>.json`` says. ``data`` is the whole card, read-only by agreement."""

    data: dict[str, Any]

    @property
    def name(self) -> str:
        return self.data["name"]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.data["labels"])

    @property
    def weights_sha256(self) -> str:
        return self.data["weights_sha256"]

    @property
    def temperature(self) -> float:
        """Divisor of the logits, fitted on the validation split (Guo et al. 2017)."""
        return float(self.data["calibration"]["temperature"])

    @property
    def confident_above(self) -> float:
        """Calibrated probability from which a prediction counts as confident."""
        return float(self.data["calibration"]["confident_above"])


def shipped(folder: Path) -> tuple[ModelSpec, ...]:
    """The specs that have a card in ``folder``, in the registry's order."""
    return tuple(spec for spec in MODELS if (folder / f"{spec.name}.json").is_file())


def read_card(spec: ModelSpec, folder: Path) -> ModelCard:
    """The card of ``spec``. Raises `WeightsMissing`, or `WeightsMismatch` where it belongs to another spec."""
    path = folder / f"{spec.name}.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsMissing(f"Expected the model card {path.name}. Received: no such file.") from error
    except (OSError, ValueError) as error:
        raise WeightsMismatch(f"Expected {path.name} to be a JSON model card. Received: unreadable text.") from error
    missing = [key for key in REQUIRED if not isinstance(data, dict) or key not in data]
    if missing:
        raise WeightsMismatch(f"Expected {path.name} to state {', '.join(REQUIRED)}. Missing: {', '.join(missing)}")
    expected = describe(spec)
    for key, value in expected.items():
        if data[key] != value:
            raise WeightsMismatch(f"Expected {key} {value} in {path.name}. Received: {data[key]}")
    return ModelCard(data)


def write_card(data: dict[str, Any], folder: Path) -> None:
    """Write ``weights/<name>.json``, readable and stable under version control."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    (folder / f"{data['name']}.json").write_text(text + "\n", encoding="utf-8")


def describe(spec: ModelSpec) -> dict[str, Any]:
    """The part of a card that must equal the code's own spec."""
    return {
        "name": spec.name,
        "labels": list(spec.labels),
        "input": {"size": spec.size, "channels": 1, "range": [0, 1]},
        "target_layer": spec.target_layer,
    }
