"""The page in a process of its own, as ``app.py`` serves it, with an engine that takes its time.

    python -m tests.slow_page SECONDS

Says "begun" for every slice it begins with.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from lungapp.results import Analysis
from lungapp.settings import Settings
from lungapp.startup import leave
from lungapp.ui import build_demo, private_cache, run
from tests.fakes import FakeEngine


class Slow(FakeEngine):
    def analyse(self, *args: Any, **options: Any) -> Analysis:
        print("begun", flush=True)
        time.sleep(float(sys.argv[1]))
        return super().analyse(*args, **options)


if __name__ == "__main__":
    settings, engine, cache = Settings.from_env(), Slow(), private_cache()
    page = build_demo(engine, settings)  # type: ignore[arg-type]
    run(page, engine, settings)  # type: ignore[arg-type]
    leave()
