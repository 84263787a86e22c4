"""An engine for replicas, which import it from here."""

from __future__ import annotations

import os

from lungapp.settings import Settings
from tests.fakes import FakeEngine


class Toy(FakeEngine):
    """Without TensorFlow and weights, so that two replicas are light; ``/health`` tells its process."""

    def states(self) -> dict[str, tuple[str, str]]:
        return {name: (state, str(os.getpid())) for name, (state, _) in super().states().items()}


def toy(settings: Settings) -> Toy:
    return Toy()
