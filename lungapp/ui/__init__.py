"""The page. ``build_demo(engine)`` needs only an object with the engine's methods, so a test can hand in a fake."""

from lungapp.ui.demo import EXAMPLES, build_demo
from lungapp.ui.record import Recorded, start_log
from lungapp.ui.serving import Server, build_application, run
from lungapp.ui.uploads import private_cache

__all__ = [
    "EXAMPLES",
    "Recorded",
    "Server",
    "build_application",
    "build_demo",
    "private_cache",
    "run",
    "start_log",
]
