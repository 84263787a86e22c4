"""Who may show the page in a frame: a Space's page may, any other site may not."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.fakes import SERVER_WARNINGS

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]


@pytest.fixture
def framing(fake_address: str) -> Iterator[str]:
    """A page of another origin that shows ours in a frame."""

    class Frame(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(f'<iframe src="{fake_address}" width="1200" height="800"></iframe>'.encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Frame)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_another_site_cannot_show_the_page_in_a_frame(chromium: Browser, framing: str) -> None:
    context = chromium.new_context()
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.goto(framing)
    page.wait_for_timeout(1500)
    assert any("frame-ancestors" in text for text in said)
    context.close()


def test_a_space_can(chromium: Browser, fake_address: str) -> None:
    """A stand-in for huggingface.co shows the page; Chromium wants to be asked before it lets a site do so."""
    context = chromium.new_context(permissions=["local-network-access"])
    page = context.new_page()
    frame = f'<iframe src="{fake_address}" allow="local-network-access" width="1200" height="800"></iframe>'
    page.route("https://huggingface.co/**", lambda route: route.fulfill(body=frame, content_type="text/html"))
    page.goto("https://huggingface.co/spaces/owner/name")
    page.frame_locator("iframe").get_by_role("heading", name="No slice yet").wait_for(timeout=120_000)
    context.close()
