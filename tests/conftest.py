"""Shared pieces: the dataset where it is there, phantoms, and toy weights for every model."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from benchmarks.cold_start import free_port

# Whatever starts without a port of its own finds a free one: the application may run beside the tests.
os.environ["GRADIO_SERVER_PORT"] = str(free_port())

from pathlib import Path

import numpy as np
import pytest

from examples.phantoms import phantom
from lungapp.registry import LABELS, MODELS, ModelSpec
from lungapp.slices import Slice

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="session")
def dataset() -> Path:
    """The IQ-OTH/NCCD folder; tests that need it are skipped where LUNGAPP_DATA is not set."""
    if not os.environ.get("LUNGAPP_DATA"):
        pytest.skip("LUNGAPP_DATA does not name the IQ-OTH/NCCD dataset")
    from train.data import find_dataset

    return find_dataset(os.environ["LUNGAPP_DATA"])


@pytest.fixture(scope="session")
def thorax() -> Slice:
    """A phantom in HU with a mass, 256 x 256."""
    return Slice(phantom("mass", seed=3, size=256), "HU")


def write_toy(spec: ModelSpec, folder: Path, seed: int = 11) -> None:
    """Untrained weights of ``spec`` and a card that fits them."""
    import keras

    from lungapp.cards import describe, write_card
    from lungapp.models import build_model
    from lungapp.weights_io import digest_of, write_weights
    from tests.fakes import make_calibration

    keras.utils.set_random_seed(seed)
    path = folder / f"{spec.name}.safetensors"
    write_weights(build_model(spec), path)
    card = {
        **describe(spec),
        "weights_sha256": digest_of(path),
        "calibration": make_calibration(),
        "metrics": {},
    }
    write_card(card, folder)


@pytest.fixture(scope="session")
def toy_weights(tmp_path_factory) -> Path:
    """A weights folder with all three models, untrained."""
    folder = tmp_path_factory.mktemp("weights")
    for spec in MODELS:
        write_toy(spec, folder)
    return folder


def write_dataset(root: Path, counts: tuple[int, int, int], size: int = 96) -> Path:
    """A little dataset in the published layout: soft noise pictures as PNG, every class with a grey of its own."""
    from PIL import Image

    random = np.random.default_rng(0)
    for label, folder, count in zip(LABELS, ("Normal cases", "Bengin cases", "Malignant cases"), counts, strict=True):
        (root / folder).mkdir(parents=True)
        for index in range(1, count + 1):
            coarse = random.uniform(40, 200, (6, 6)).astype(np.uint8)
            picture = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
            picture.save(root / folder / f"{label} case ({index}).png")
    return root
