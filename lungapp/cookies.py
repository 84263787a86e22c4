"""A request's headers and cookies, and a cookie for its answer, as ASGI has them."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

from starlette.types import Message, Scope, Send


def header(scope: Scope, name: bytes) -> str:
    """All values of a request's header, a comma between them; empty where it has none."""
    return b", ".join(value for key, value in scope["headers"] if key == name).decode("latin-1")


def read_cookies(scope: Scope) -> dict[str, str]:
    """The cookies of a request by their names; none where they cannot be read."""
    text = b"; ".join(value for name, value in scope["headers"] if name == b"cookie").decode("latin-1")
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(text).items()}
    except CookieError:
        return {}


def set_cookie(scope: Scope, name: str, value: str, seconds: int | None = None) -> tuple[bytes, bytes]:
    """The header that has the browser keep a cookie, closed to scripts, for ``seconds`` or until it is closed."""
    secure = (header(scope, b"x-forwarded-proto").split(",")[0].strip() or scope["scheme"]) == "https"
    # Inside a Space the page is in a frame of another site, where only such a cookie comes back.
    rest = "SameSite=None; Secure; Partitioned" if secure else "SameSite=Lax"
    age = "" if seconds is None else f"; Max-Age={seconds}"
    return b"set-cookie", f"{name}={value}; Path=/{age}; HttpOnly; {rest}".encode("ascii")


def with_cookie(scope: Scope, send: Send, name: str, value: str) -> Send:
    """``send`` of an answer that also sets a cookie, gone when the browser is closed."""
    cookie = set_cookie(scope, name, value)

    async def setting(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], cookie]
        await send(message)

    return setting
