"""The page. ``build_demo(engine)`` needs only an object with the engine's methods, so a test can hand in a fake."""

from lungapp.ui.demo import EXAMPLES, build_demo
from lungapp.ui.record import Recorded, start_log
from lungapp.ui.serving import run
from lungapp.ui.theme import page_options
from lungapp.ui.uploads import private_cache

__all__ = [
    "EXAMPLES",
    "Recorded",
    "build_demo",
    "page_options",
    "private_cache",
    "run",
    "start_log",
]
