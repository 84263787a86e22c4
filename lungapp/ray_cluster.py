"""A Ray of our own, or a cluster that is there: started, joined and left in one place. Ray is optional."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from lungapp.errors import InvalidSetting

OBJECT_STORE = 256 * 2**20
"""Bytes that a Ray of our own shares between processes: paths, rows, parts of requests; no pixels of an archive."""

KNOCK_SECONDS = 10.0


@contextmanager
def joined(cpus: int, needed: Sequence[str], missing: str, address: str = "", told: bool = False) -> Iterator[None]:
    """A Ray of our own with ``cpus``, or the cluster at ``address``; one that this process has joined is left as it is.

    ``needed`` are modules of Ray's and others without which there is no use in it, ``missing`` what is said then;
    ``told`` shows what workers write, on the error output. Raises `InvalidSetting` where Ray is not installed, or does
    not start or answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray

            for name in needed:
                import_module(name)
    except ImportError as error:
        raise InvalidSetting(missing) from error
    if ray.is_initialized():
        yield
        return
    for name in ("ray", *needed):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    quiet: dict[str, Any] = {"log_to_driver": told, "configure_logging": False}
    own = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": OBJECT_STORE}
    try:
        if address:
            _knock(address)
        with _silent():
            ray.init(address=address or "local", **quiet, **({} if address else own))
    except Exception as error:
        what = "the cluster at --address" if address else "Ray on this machine"
        raise InvalidSetting(f"Expected {what} to answer. Received: {type(error).__name__}.") from error
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nothing listens at ``address``: Ray itself would wait for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS).close()


@contextmanager
def _silent() -> Iterator[None]:
    """Drop what is written to the error output, libraries' own writing included; errors are raised all the same."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
