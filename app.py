"""Serves the page: ``python app.py``. On Hugging Face Spaces this file is the entry point."""

from __future__ import annotations

import signal
import sys

from lungapp.engine import Engine
from lungapp.errors import LungAppError
from lungapp.hub import weights_at
from lungapp.reading.workers import workers
from lungapp.settings import Settings
from lungapp.startup import keep_memory, keep_private, leave, place, require_temporary_folder, sweep, without_stubs

try:
    settings = Settings.from_env()
    keep_private()
    require_temporary_folder()
    if __name__ == "__main__":
        keep_memory()
        place()
        workers.start()
    # Gradio takes seconds to import, and ends without words where there is no temporary folder.
    with without_stubs():
        from lungapp.ui import Recorded, build_demo, private_cache, run, start_log

    start_log(settings.log)
    weights = weights_at(settings.weights, settings.weights_repo, settings.weights_revision)
    engine = Recorded(Engine(weights, settings.precision))
    sweep()
    cache = private_cache()
except LungAppError as error:
    sys.exit(f"LungApp cannot start. {error}")
demo = build_demo(engine, settings)

if __name__ == "__main__":
    # A plain end on SIGTERM, which stops a container, until `run` sees to it; so uploads are deleted on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        run(demo, engine, settings)  # type: ignore[arg-type]
    except LungAppError as error:
        sys.exit(f"LungApp cannot start. {error}")
    leave()
