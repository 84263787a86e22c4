"""Replicas that are asked to end: idle ones do so at once, though pages are open."""

from __future__ import annotations

import httpx

from tests.hostile import Wire
from tests.replicas.conftest import replicas


def test_idle_replicas_end_without_their_grace(needs_serve: None) -> None:
    """The fixture waits a fraction of the grace for them, and fails where they are still there."""
    with replicas(LUNGAPP_GRACE="3600") as url:
        page = Wire(url).head("GET", "/gradio_api/heartbeat/a")
        assert page.status() == 200
    page.close()


def test_a_probe_reaches_a_replica(address: str) -> None:
    assert httpx.get(f"{address}/ready", timeout=60).json() == {"ready": True, "reasons": []}


def test_half_open_heads_are_closed_by_the_proxy(address: str) -> None:
    wire = Wire(address)
    wire.send(b"GET / HTTP/1.1\r\n")
    assert wire.status() == 0
    wire.close()
