"""``python -m lungapp.replicas``, with engines of no weight: ``python -m tests.replicas.server``."""

from __future__ import annotations

import sys

from lungapp.replicas.__main__ import main
from tests.replicas.engines import toy

if __name__ == "__main__":
    sys.exit(main(make=toy))  # type: ignore[arg-type]
