"""Serves the page: ``python app.py``. On Hugging Face Spaces this file is the entry point."""

from __future__ import annotations

import signal
import sys
import threading

from lungapp.engine import Engine
from lungapp.settings import Settings
from lungapp.ui import build_demo, page_options, private_cache, sweep

settings = Settings.from_env()
engine = Engine(settings.weights)
sweep()
cache = private_cache()
demo = build_demo(engine, settings)

if __name__ == "__main__":
    # A plain end on SIGTERM, which stops a container, so that uploads are deleted on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # The page is there at once; the first score need not wait for TensorFlow if it comes a little later.
    threading.Thread(target=engine.warm_up, name="warm-up", daemon=True).start()
    demo.launch(**page_options(settings))
