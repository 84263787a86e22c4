"""How places are shared: no client has all of them, and whoever has had fewest goes first.

A client is an address and, where one is known, a visitor at it. An address cannot be had for nothing, a new visitor's
cookie can; so a visitor has a share within the larger share of their address.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.types import Scope

from lungapp.errors import Busy
from lungapp.ui.guard import PROGRAM

Client = tuple[str, ...]
"""Names of who asks, each within the one before: an address, and a visitor at it."""

ADDRESS, VISITOR = 0.75, 0.5
"""Of all places, what the clients of one address, and one of them, may have at a time; each at least one."""

REMEMBERED = 10_000
"""Clients whose last turn is remembered."""


def address_of(scope: Scope) -> str:
    """Of whoever asks; of an IPv6 address the network, of which everybody has as many addresses as they like.

    uvicorn has put in what a proxy says, where ``FORWARDED_ALLOW_IPS`` names that proxy.
    """
    text = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return str(text)
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else text


def client_of(scope: Scope) -> Client:
    """Whoever asks; all programs at an address that keep no cookie are the address, not one visitor at it."""
    address, visitor = address_of(scope), scope.get("lungapp.visitor", "")
    return (address,) if visitor in ("", PROGRAM) else (address, visitor)


@dataclass
class Shares:
    """Who has how many of ``places``. Used by one thread."""

    places: int
    _taken: Counter[Client] = field(default_factory=Counter)
    _turns: OrderedDict[Client, int] = field(default_factory=OrderedDict)
    _turn: int = 0

    def allows(self, client: Client) -> bool:
        """Whether ``client`` may have one more."""
        return len(self) < self.places and all(
            self._taken[name] < max(1, int(self.places * share))
            for name, share in zip(_names(client), (ADDRESS, VISITOR), strict=False)
        )

    def rank(self, client: Client) -> tuple[int, ...]:
        """Lowest for whoever is to be next: their address has fewest places, and its last turn is longest ago."""
        return tuple(number for name in _names(client) for number in (self._taken[name], self._turns.get(name, 0)))

    def take(self, client: Client) -> None:
        self._turn += 1
        for name in _names(client):
            self._taken[name] += 1
            self._turns[name] = self._turn
            self._turns.move_to_end(name)
        while len(self._turns) > REMEMBERED:
            self._turns.popitem(last=False)

    def give_back(self, client: Client) -> None:
        for name in _names(client):
            self._taken[name] -= 1
            if self._taken[name] <= 0:
                del self._taken[name]

    def __len__(self) -> int:
        """How many are taken."""
        return sum(count for name, count in self._taken.items() if len(name) == 1)


def _names(client: Client) -> list[Client]:
    return [client[: end + 1] for end in range(len(client))]


class Room:
    """Places for work and for waiting, in one event loop.

    Parameters
    ----------
    places : worked on at a time.
    waiting : who may wait besides.
    """

    def __init__(self, places: int, waiting: int) -> None:
        self._inside, self._entered = Shares(places), Shares(places + waiting)
        self._queue: list[tuple[Client, asyncio.Future[None]]] = []

    @property
    def counts(self) -> tuple[int, int]:
        """How many are worked on, and how many wait."""
        return len(self._inside), len(self._queue)

    @asynccontextmanager
    async def place(self, client: Client) -> AsyncIterator[None]:
        """To be held while ``client`` is worked for; first it waits. Raises `Busy` where its share is used up."""
        if not self._entered.allows(client):
            most = self._entered.places - self._inside.places
            raise Busy(
                "Expected at most {most} requests to wait, of one client a part of them. Received: one more.", most=most
            )
        self._entered.take(client)
        try:
            await self._wait(client)
            try:
                yield
            finally:
                self._inside.give_back(client)
        finally:
            self._entered.give_back(client)
            self._let_in()

    async def _wait(self, client: Client) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((client, turn))
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._inside.give_back(client)
            else:
                self._queue.remove((client, turn))
            raise

    def _let_in(self) -> None:
        while allowed := [entry for entry in self._queue if self._inside.allows(entry[0]) and not entry[1].done()]:
            client, turn = entry = min(allowed, key=lambda entry: self._inside.rank(entry[0]))
            self._queue.remove(entry)
            self._inside.take(client)
            turn.set_result(None)
