"""Cookies of a request, and the page's own in an answer."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

from starlette.types import Scope


def header(scope: Scope, name: bytes) -> str:
    """All values of a request's header, a comma between them; empty where it has none."""
    return b", ".join(value for key, value in scope["headers"] if key == name).decode("latin-1")


def cookies(scope: Scope) -> dict[str, str]:
    text = b"; ".join(value for name, value in scope["headers"] if name == b"cookie").decode("latin-1")
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(text).items()}
    except CookieError:
        return {}


def set_cookie(scope: Scope, name: str, value: str, seconds: int | None = None) -> tuple[bytes, bytes]:
    """The header that has the browser keep a cookie, for ``seconds`` or until it is closed."""
    secure = (header(scope, b"x-forwarded-proto").split(",")[0].strip() or scope["scheme"]) == "https"
    # Inside a Space the page is in a frame of another site, where only such a cookie comes back.
    rest = "SameSite=None; Secure; Partitioned" if secure else "SameSite=Lax"
    age = "" if seconds is None else f"; Max-Age={seconds}"
    return b"set-cookie", f"{name}={value}; Path=/{age}; HttpOnly; {rest}".encode("ascii")
