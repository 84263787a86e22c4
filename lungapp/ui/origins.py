"""Whether a request comes from the page itself, or from another site that has the visitor's browser send it."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.types import Scope

from lungapp.cookies import header

OURS = ("same-origin", "none")
"""Of ``Sec-Fetch-Site``: by the page itself, or typed by the visitor."""


def is_foreign(scope: Scope, origins: Collection[str]) -> bool:
    """Whether another site sent it; ``origins`` are sites that may. A link that leads here is no such request.

    Browsers tell by ``Sec-Fetch-Site`` where they speak TLS or to this machine, and else by ``Origin``; a program that
    sends neither carries no visitor's cookies.

    References
    ----------
    Fetch Metadata Request Headers, W3C; RFC 6454.
    """
    origin = header(scope, b"origin")
    if origin in origins:
        return False
    if site := header(scope, b"sec-fetch-site"):
        follows_link = scope["method"] in ("GET", "HEAD") and header(scope, b"sec-fetch-mode") == "navigate"
        return site not in OURS and not follows_link
    return bool(origin) and _host(origin) != header(scope, b"host").lower()


def _host(origin: str) -> str:
    """Host and port of an origin; empty for what is none, such as "null"."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
