"""An engine for replicas, which import it from here."""

from __future__ import annotations

from lungapp.settings import Settings
from tests.fakes import FakeEngine


def toy(settings: Settings) -> FakeEngine:
    """Without TensorFlow and weights, so that two replicas are light."""
    return FakeEngine()
