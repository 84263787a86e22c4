"""The bodies of requests, as ASGI has them."""

from __future__ import annotations

from starlette.types import Message, Receive, Scope


def declared_bytes(scope: Scope) -> int:
    """What a request says of its length; nothing where it does not."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


async def read_body(receive: Receive, most: int) -> bytes | None:
    """The whole body, or None where it is larger than ``most`` bytes."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > most:
            return None
        if not message.get("more_body"):
            return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """``receive`` of a request whose ``body`` was read already."""
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again
