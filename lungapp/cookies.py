"""A request's headers and cookies, and a cookie for its answer, as ASGI has them."""

from __future__ import annotations

from starlette.types import Message, Scope, Send


def header(scope: Scope, name: bytes) -> str:
    """All values of a request's header, a comma between them; empty where it has none."""
    return b", ".join(value for key, value in scope["headers"] if key == name).decode("latin-1")


def read_cookies(scope: Scope) -> dict[str, str]:
    """The cookies of a request by their names, whatever else is in its header; of two of a name the first counts.

    Other applications of a host set cookies that no standard allows (JSON, blanks): each is read on its own.
    """
    text = b"; ".join(value for name, value in scope["headers"] if name == b"cookie").decode("latin-1")
    cookies: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            cookies.setdefault(name.strip(), value.strip().strip('"'))
    return cookies


def is_secure(scope: Scope) -> bool:
    """Whether the browser speaks TLS, to this server or to the proxy before it."""
    return (header(scope, b"x-forwarded-proto").split(",")[0].strip() or scope["scheme"]) == "https"


def set_cookie(scope: Scope, name: str, value: str, seconds: int | None = None) -> tuple[bytes, bytes]:
    """The header that has the browser keep a cookie, closed to scripts, for ``seconds`` or until it is closed."""
    # Inside a Space the page is in a frame of another site, where only such a cookie comes back.
    rest = "SameSite=None; Secure; Partitioned" if is_secure(scope) else "SameSite=Lax"
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
