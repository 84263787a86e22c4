"""Model cards: one JSON file beside each weights file, and everything the application knows about it."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lungapp.calibration import Calibration, read_calibration
from lungapp.errors import WeightsMismatch, WeightsMissing
from lungapp.registry import LABELS, MODELS, ModelSpec
from lungapp.results import Prediction, status_of
from lungapp.weights_io import digest_of

ENSEMBLE = "ensemble"
"""Names the mean of all models' calibrated probabilities, and its card."""

REQUIRED = ("name", "labels", "input", "target_layer", "weights_sha256", "calibration", "metrics")
MOST_LEVELS = 20
"""Of lists and objects inside one another; a card has eight."""

REQUIRED_OF_ENSEMBLE = ("name", "labels", "members", "calibration", "metrics")


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
        """Divisor of the logits (Guo et al. 2017)."""
        return self.calibration.temperature

    @cached_property
    def calibration(self) -> Calibration:
        """What the card promises. Raises ValueError where that is damaged; no card that was read is."""
        return read_calibration(self.data.get("calibration"), with_temperature=self.name != ENSEMBLE)

    @property
    def members(self) -> dict[str, str]:
        """Of an ensemble's card: the weights' digest by model name."""
        return self.data["members"]

    def predict(self, probabilities: np.ndarray, precision: str = "f32") -> Prediction:
        """The answer that calibrated ``probabilities`` (labels,) float come to; ``precision`` as in `Prediction`."""
        answer_set = self.calibration.answer_set(self.labels, probabilities)
        return Prediction(self.name, self.labels, probabilities, answer_set, status_of(answer_set), precision)


def shipped(folder: Path) -> tuple[ModelSpec, ...]:
    """The specs that have a card in ``folder``, in the registry's order."""
    return tuple(spec for spec in MODELS if (folder / f"{spec.name}.json").is_file())


def read_card(spec: ModelSpec, folder: Path) -> ModelCard:
    """The card of ``spec``. Raises `WeightsMissing`, or `WeightsMismatch` where it belongs to another spec."""
    path = folder / f"{spec.name}.json"
    data = _read(path, REQUIRED)
    expected = describe(spec)
    for key, value in expected.items():
        if data[key] != value:
            raise WeightsMismatch(
                "Expected {what} in {file}. Received: {found}",
                what=f"{key} {value}",
                file=path.name,
                found=str(data[key]),
            )
    if not isinstance(data["weights_sha256"], str):
        raise WeightsMismatch("Expected {file} to name its weights' digest. Received: no text.", file=path.name)
    if not isinstance(metrics := data["metrics"], dict):
        what, found = "an object of metrics", type(metrics).__name__
        raise WeightsMismatch("Expected {what} in {file}. Received: {found}", what=what, file=path.name, found=found)
    return _calibrated(ModelCard(data), path)


def checked_weights(spec: ModelSpec, folder: Path) -> tuple[Path, ModelCard]:
    """The weights file of ``spec`` in ``folder`` and its card, which names just these bytes.

    Raises
    ------
    WeightsMissing : card or weights file is absent.
    WeightsMismatch : the card belongs to another spec or another file.
    """
    card = read_card(spec, folder)
    path = folder / f"{spec.name}.safetensors"
    if not path.is_file():
        raise WeightsMissing(
            "Expected the weights file {file} beside its card. Received: no such file.", file=path.name
        )
    try:
        digest = digest_of(path)
    except OSError as error:
        raise WeightsMissing(
            "Expected {file} to be readable. Received: {kind}.", file=path.name, kind=type(error).__name__
        ) from error
    if digest != card.weights_sha256:
        raise WeightsMismatch(
            "Expected {file} to have the digest its card names. Received: another file.", file=path.name
        )
    return path, card


def read_ensemble_card(folder: Path) -> ModelCard:
    """The ensemble's card, ``ensemble.json``.

    Raises
    ------
    WeightsMissing : it or a member's card is absent.
    WeightsMismatch : it or its calibration is damaged, or it is of other weights than the members' cards name.
    """
    path = folder / f"{ENSEMBLE}.json"
    data = _read(path, REQUIRED_OF_ENSEMBLE)
    for key, value in {"name": ENSEMBLE, "labels": list(LABELS)}.items():
        if data[key] != value:
            raise WeightsMismatch(
                "Expected {what} in {file}. Received: {found}",
                what=f"{key} {value}",
                file=path.name,
                found=str(data[key]),
            )
    specs = {spec.name: spec for spec in MODELS}
    members = data["members"]
    if not isinstance(members, dict) or not members or not members.keys() <= specs.keys():
        raise WeightsMismatch(
            "Expected members out of {known} in {file}. Received: {found}",
            known=", ".join(specs),
            file=path.name,
            found=str(members),
        )
    for name, digest in members.items():
        if read_card(specs[name], folder).weights_sha256 != digest:
            raise WeightsMismatch(
                "Expected {file} to name the weights of {model}. Received: another digest.", file=path.name, model=name
            )
    return _calibrated(ModelCard(data), path)


def _calibrated(card: ModelCard, path: Path) -> ModelCard:
    """``card``, whose calibration can be used. Raises `WeightsMismatch`: a damaged one must promise nothing."""
    try:
        _ = card.calibration  # read and checked once
    except ValueError as error:
        raise WeightsMismatch(
            "Expected the calibration in {file} to state a temperature, a level, and a threshold from 0 to 1 for each "
            "class. Received: something else.",
            file=path.name,
        ) from error
    return card


def _read(path: Path, required: tuple[str, ...]) -> dict[str, Any]:
    try:
        found = path.stat()
        data = _parsed(path, found.st_mtime_ns, found.st_size)
    except FileNotFoundError as error:
        raise WeightsMissing("Expected the model card {file}. Received: no such file.", file=path.name) from error
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsMismatch(
            "Expected {file} to be a JSON model card. Received: unreadable text.", file=path.name
        ) from error
    missing = [key for key in required if not isinstance(data, dict) or key not in data]
    if missing:
        raise WeightsMismatch(
            "Expected {file} to state {keys}. Missing: {missing}",
            file=path.name,
            keys=", ".join(required),
            missing=", ".join(missing),
        )
    return data


@lru_cache(maxsize=16)
def _parsed(path: Path, changed: int, size: int) -> Any:
    """Every answer needs all cards, so a file is parsed anew only where it was written anew."""
    data = json.loads(path.read_text(encoding="utf-8"))
    _check_values(data)
    return data


def _check_values(value: Any, depth: int = 0) -> None:
    """Raise `ValueError` for a number that is none, or for more levels than any card has."""
    if depth > MOST_LEVELS or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inside:
        _check_values(item, depth + 1)


def write_card(data: dict[str, Any], folder: Path) -> None:
    """Write ``weights/<name>.json``, readable and stable under version control: lists of numbers take one line."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    text = re.sub(r"\[\n([-+.,\d\senul]+?)\n\s*\]", lambda found: f"[{' '.join(found[1].split())}]", text)
    (folder / f"{data['name']}.json").write_text(text + "\n", encoding="utf-8")


def describe(spec: ModelSpec) -> dict[str, Any]:
    """The part of a card that must equal the code's own spec."""
    return {
        "name": spec.name,
        "labels": list(spec.labels),
        "input": {"size": spec.size, "channels": 1, "range": [0, 1]},
        "target_layer": spec.target_layer,
    }
