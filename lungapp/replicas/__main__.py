"""Serve the page from several replicas through Ray Serve, with one address for all of them.

    python -m lungapp.replicas [--replicas N] [--most N] [--pages N] [--cpus X] [--address CLUSTER]

Host, port and everything else are set as for app.py: GRADIO_SERVER_NAME, GRADIO_SERVER_PORT and LUNGAPP_… . Ray starts
on this machine and ends with the command; with --address it is a cluster's, on whose machines the settings are read.

Exit status: 0 when it was asked to end, 1 when it could not start.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import signal
import sys
import threading

from lungapp.errors import InvalidSetting, LungAppError
from lungapp.ray_cluster import joined
from lungapp.replicas.deployment import LOGGING, Scale, build
from lungapp.replicas.door import VALUE, VARIABLE
from lungapp.replicas.page import MakeEngine, make_engine
from lungapp.settings import Settings
from lungapp.startup import place, require_temporary_folder, sweep

NAME = "lungapp"

LEAVE_SECONDS = 1.0
"""For replicas to hear that they are to end."""

NEEDED = ("ray.serve",)
NOT_THERE = (
    "Expected Ray Serve, which replicas need. Received: a Python without it. "
    "Install it with: pip install -r requirements-replicas.txt"
)


def main(arguments: list[str] | None = None, make: MakeEngine = make_engine) -> int:
    """Run the command line until it is told to end; returns the exit status."""
    options = _parse(arguments)
    try:
        scale = Scale.read({name: text for name in Scale.__dataclass_fields__ if (text := getattr(options, name))})
        told = Settings.from_env().log != "off"
        require_temporary_folder()
        host, port = place()
        os.environ[VARIABLE] = VALUE
        cpus = math.ceil(max(scale.replicas, scale.most) * scale.cpus)
        with joined(cpus, NEEDED, NOT_THERE, options.address, told):
            _serve(scale, make, host, port)
    except LungAppError as error:
        print(f"LungApp cannot start. {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _serve(scale: Scale, make: MakeEngine, host: str, port: int) -> None:
    """Until somebody interrupts. Raises `InvalidSetting` where the replicas do not come up."""
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # in place of Ray's, which prints a trace
    try:
        serve.start(http_options={"host": host, "port": port}, logging_config=LOGGING)
        serve.run(build(scale, make), name=NAME)
    except Exception as error:
        raise InvalidSetting(
            f"Expected {scale.replicas} replicas to start. Received: {type(error).__name__}. Ray's logs say more."
        ) from error
    print(f"LungApp is on http://{host}:{port} ({scale.replicas} replicas).", flush=True)
    try:
        threading.Event().wait()
    finally:
        with contextlib.suppress(Exception):  # one that is gone already, or does not answer, is not waited for
            serve.get_app_handle(NAME).broadcast("leave").results(timeout_s=LEAVE_SECONDS)
        serve.delete(NAME)
        sweep()  # of replicas on this machine that did not end in order


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lungapp.replicas", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicas", metavar="N", help="processes with the page and its models each (default 2)")
    parser.add_argument("--most", metavar="N", help="add replicas up to so many (default: none are added)")
    parser.add_argument("--pages", metavar="N", help="open pages for which a replica is added (default 50)")
    parser.add_argument("--cpus", metavar="X", help="what Ray sets aside for a replica (default 1)")
    parser.add_argument("--address", default="", metavar="CLUSTER", help="join this Ray cluster; LungApp must be on it")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
