"""A request's cookies, and a cookie for its answer, as ASGI has them."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

from starlette.types import Message, Scope, Send


def read_cookies(scope: Scope) -> dict[str, str]:
    """The cookies of a request by their names; none where they cannot be read."""
    text = b"; ".join(value for name, value in scope["headers"] if name == b"cookie").decode("latin-1")
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(text).items()}
    except CookieError:
        return {}


def with_cookie(scope: Scope, send: Send, name: str, value: str) -> Send:
    """``send`` of an answer that also sets a cookie; closed to scripts, and gone when the browser is closed."""
    forwarded = dict(scope["headers"]).get(b"x-forwarded-proto", b"").decode("latin-1").split(",")[0].strip()
    secure = (forwarded or scope["scheme"]) == "https"
    # Inside a Space the page is in a frame of another site, where only such a cookie comes back.
    rest = "SameSite=None; Secure; Partitioned" if secure else "SameSite=Lax"
    cookie = f"{name}={value}; Path=/; HttpOnly; {rest}"

    async def setting(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"set-cookie", cookie.encode("ascii"))]
        await send(message)

    return setting
